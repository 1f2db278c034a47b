"""Command `history`: list tasks, and follow new ones."""

import time
from contextlib import suppress
from functools import partial

import click

from xpander_sdk import Configuration
from xpander_sdk.cli.exit_codes import TRANSIENT_ERRORS
from xpander_sdk.cli.follow import HistoryFollower
from xpander_sdk.cli.options import examples, json_option, reading_backend_options
from xpander_sdk.cli.render.output import print_json, print_table
from xpander_sdk.cli.render.tables import follow_table, history_table
from xpander_sdk.cli.render.text import printable
from xpander_sdk.cli.task_selection import TaskSelection, selection_options


@click.command(
    epilog=examples(
        "xpander-report history agent-123 --status failed --limit 50",
        "xpander-report history --user user-7 --since 7d",
        "xpander-report history agent-123 --since 7d --sort cost --limit 5",
        "xpander-report history agent-123 --follow",
    )
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of tasks.")
@click.option(
    "--sort",
    type=click.Choice(["time", "duration", "tokens", "cost"]),
    default="time",
    show_default=True,
    help="Order of the tasks. Backends sort by a figure within the newest tasks only: `xpander-report serve` within "
    "10,000; use --since and the filters for a smaller selection. Tasks without the figure come last.",
)
@click.option(
    "--order",
    type=click.Choice(["desc", "asc"]),
    default="desc",
    show_default=True,
    help="desc: newest or largest first. asc: oldest or smallest first.",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Keep printing new tasks and changes of status until Ctrl-C, newest last."
)
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two requests of --follow.",
)
@json_option
@reading_backend_options
@selection_options
def history(
    configuration: Configuration,
    as_json: bool,
    selection: TaskSelection,
    limit: int,
    sort: str,
    order: str,
    follow: bool,
    interval: float,
) -> None:
    """List tasks of an agent, a user or all agents.

    The newest task is the first line, unless --sort or --order says otherwise. Below the id of a task are its duration,
    tokens and cost; beside them its model and user. AGENT_ID defaults to XPANDER_AGENT_ID. If neither is given,
    nor --user, the tasks of all agents are listed.
    """
    selection = selection.in_order(None if sort == "time" else sort, is_ascending=order == "asc")
    if follow:
        if selection.is_sorted:
            raise ValueError("--follow prints tasks in the order of time; leave out --sort and --order")
        follower = HistoryFollower(partial(selection.list, configuration))
        with suppress(KeyboardInterrupt):
            _follow(follower, limit, interval, as_json)
        return
    items = selection.list_sorted(configuration, limit)
    if as_json:
        for item in items:
            print_json(item)
    elif items:
        print_table(history_table(items))
        if sort != "time" and all(getattr(item, sort) is None for item in items):
            click.echo(f"The order is that of the backend: none of these tasks has a value for {sort}.", err=True)
        if len(items) == limit:
            which = f"first {limit} by {sort}" if selection.is_sorted else f"newest {limit}"
            click.echo(f"These are the {which}. Use --limit to list more.", err=True)
    else:
        click.echo("No tasks.")
    if items.sorted_since is not None:
        click.echo(
            f"Sorted among the newest tasks only: those created at {items.sorted_since:%Y-%m-%d %H:%M:%S} (UTC) or "
            "later. Use --since, --until or a filter to sort fewer tasks.",
            err=True,
        )


def _follow(follower: HistoryFollower, limit: int, interval: float, as_json: bool) -> None:
    items, is_first, is_unreachable = follower.read_initial(limit), True, False
    while True:
        if as_json:
            for item in items:
                print_json(item)
        elif items or is_first:
            print_table(follow_table(items, has_header=is_first))
        is_first = False
        time.sleep(interval)
        try:
            items = follower.poll()
            is_unreachable = False
        except TRANSIENT_ERRORS as error:
            items = []
            # One message for each outage, however long it is.
            if not is_unreachable:
                click.echo(f"{printable(str(error))}; retrying", err=True)
            is_unreachable = True
