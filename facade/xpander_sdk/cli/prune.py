"""Command `prune`: delete old tasks."""

from datetime import timedelta

import click

from xpander_sdk.cli.options import PERIOD, confirm, examples, store_command, yes_option
from xpander_sdk.cli.render.text import count_noun


@click.command(epilog=examples("xpander-report prune --keep 90d"))
@store_command
@click.option(
    "--keep", type=PERIOD, metavar="PERIOD", required=True, help="Age of the oldest task that is kept: 90d, 24h."
)
@yes_option
def prune(store: str, keep: timedelta, yes: bool) -> None:
    """Delete old tasks; their metrics stay.

    The age of a task is the time since its creation, in whole hours. A period of less than an hour deletes all tasks,
    and the command asks first.
    """
    if keep < timedelta(hours=1):
        confirm("Delete all tasks of the store?", is_confirmed=yes)
    from xpander_server.admin import delete_older_than

    click.echo(f"Deleted {count_noun(delete_older_than(store, keep), 'task')}. Their metrics are still there.")
