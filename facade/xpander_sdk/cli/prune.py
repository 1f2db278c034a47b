"""Command `prune`: delete old tasks."""

from datetime import timedelta

import click

from xpander_sdk.cli.options import PERIOD, examples, store_command
from xpander_sdk.cli.render.text import count_noun


@click.command(epilog=examples("xpander-report prune --keep 90d"))
@store_command
@click.option(
    "--keep", type=PERIOD, metavar="PERIOD", required=True, help="Age of the oldest task that is kept: 90d, 24h."
)
def prune(store: str, keep: timedelta) -> None:
    """Delete old tasks; their metrics stay.

    The age of a task is the time since its creation, in whole hours.
    """
    from xpander_server.admin import delete_older_than

    click.echo(f"Deleted {count_noun(delete_older_than(store, keep), 'task')}. Their metrics are still there.")
