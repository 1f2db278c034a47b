"""Functions that print tables and JSON."""

import json
from collections.abc import Callable, Sequence
from typing import Any

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


def print_rows(
    rows: Sequence[dict[str, Any]],
    to_table: Callable[[Sequence[dict[str, Any]]], Table],
    no_rows: str,
    *,
    as_json: bool,
) -> None:
    """Print rows as a table or as lines of JSON.

    Args:
        rows: The rows.
        to_table: Function that returns the table of the rows.
        no_rows: Sentence that is printed in place of an empty table.
        as_json: Whether to print JSON, one line for each row.
    """
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(to_table(rows))
    else:
        click.echo(no_rows)


def print_json(value: object) -> None:
    """Print a value as one line of JSON in ASCII, which each terminal and pipe can carry."""
    click.echo(json.dumps(to_jsonable(value), ensure_ascii=True))
