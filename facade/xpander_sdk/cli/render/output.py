"""Functions that print tables and JSON."""

import json

import click
from rich.console import Console, RenderableType
from rich.table import Table

from xpander_sdk.cli.render.text import plain_text, status_text
from xpander_sdk.reporting.json_encoder import to_jsonable


def new_table(*, has_header: bool = True) -> Table:
    """Return an empty table without borders."""
    return Table(box=None, pad_edge=False, show_header=has_header, header_style="bold")


def key_value_table(values: dict[str, str]) -> Table:
    """Return a table with a row for each name and its value."""
    table = new_table(has_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, status_text(value) if name == "status" else plain_text(value))
    return table


def print_table(table: RenderableType) -> None:
    """Print a table, a tree or a text on standard output."""
    Console().print(table)


def print_json(value: object) -> None:
    """Print a value as one line of JSON in ASCII, which each terminal and pipe can carry."""
    click.echo(json.dumps(to_jsonable(value), ensure_ascii=True))
