"""Command `audit`: show who erased which tasks."""

import click

from xpander_sdk.cli.options import examples, json_option, organization_option, store_command
from xpander_sdk.cli.render.output import new_table, print_json, print_table
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

    entries = read_audit_log(store, organization_id, limit)
    if as_json:
        for entry in entries:
            print_json(entry)
    elif entries:
        table = new_table()
        for name in ("time (UTC)", "who", "action", "details"):
            table.add_column(name, overflow="fold")
        for entry in entries:
            details = ", ".join(f"{name}: {value}" for name, value in entry["details"].items())
            time = entry["at"][:19].replace("T", " ")
            table.add_row(time, plain_text(entry["actor"]), entry["action"], plain_text(details))
        print_table(table)
    else:
        click.echo("No entries.")
