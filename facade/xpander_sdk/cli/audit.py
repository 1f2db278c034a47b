"""Command `audit`: show who erased which tasks."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from xpander_sdk.cli.options import examples, json_option, organization_option, store_command
from xpander_sdk.cli.render.output import new_table, print_rows
from xpander_sdk.cli.render.text import plain_text


@click.command(epilog=examples("xpander-report audit --limit 100"))
@store_command
@organization_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of entries.")
@json_option
def audit(store: str, organization_id: str, limit: int, as_json: bool) -> None:
    """Show who erased which tasks.

    The newest entry is the first line.
    """
    from xpander_server.admin import read_audit_log

    print_rows(read_audit_log(store, organization_id, limit), _audit_table, "No entries.", as_json=as_json)


def _audit_table(entries: Sequence[dict[str, Any]]) -> Table:
    table = new_table()
    for name in ("time (UTC)", "who", "action", "details"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        details = ", ".join(f"{name}: {value}" for name, value in entry["details"].items())
        time = entry["at"][:19].replace("T", " ")
        table.add_row(time, plain_text(entry["actor"]), entry["action"], plain_text(details))
    return table
