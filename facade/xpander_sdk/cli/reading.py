"""Commands that show what a backend has."""

import time
from contextlib import suppress
from functools import partial

import click

from xpander_sdk import Backend, Configuration, Task
from xpander_sdk.cli.common import (
    TRANSIENT,
    agent_named,
    as_json_option,
    pairs,
    print_json,
    print_table,
    printable,
    target,
)
from xpander_sdk.cli.following import News
from xpander_sdk.cli.series import Step, series
from xpander_sdk.cli.tables import following_table, history_table, metrics_table, series_table, task_facts
from xpander_sdk.cli.tree import tree
from xpander_sdk.cli.wanted import Wanted, wanted_options
from xpander_sdk.reporting.validation import parse_datetime


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at the most.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is new, and what has another status, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks of --follow.",
)
@as_json_option
@target
@wanted_options
def history(
    configuration: Configuration, as_json: bool, wanted: Wanted, limit: int, follow: bool, interval: float
) -> None:
    """List the tasks of an agent, newest first; with --follow, newest last. Default of AGENT_ID: XPANDER_AGENT_ID."""
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(News(partial(wanted.items, configuration)), limit, interval, as_json)
        return
    found = list(wanted.items(configuration, limit))
    if as_json:
        for item in found:
            print_json(item)
    elif found:
        print_table(history_table(found))
        if len(found) == limit:
            click.echo(f"The newest {limit}; --limit shows more.", err=True)
    else:
        click.echo("No tasks.")


def _follow(news: News, limit: int, interval: float, as_json: bool) -> None:
    items, is_first, is_away = news.first(limit), True, False
    while True:
        if as_json:
            for item in items:
                print_json(item)
        elif items or is_first:
            print_table(following_table(items, is_first))
        is_first = False
        time.sleep(interval)
        try:
            items = news.look()
            is_away = False
        except TRANSIENT as error:
            items = []
            if not is_away:
                click.echo(f"{printable(str(error))}; looking again", err=True)
            is_away = True


@click.command()
@click.argument("task_id")
@click.option(
    "--depth",
    type=click.IntRange(0, 100),
    default=4,
    show_default=True,
    help="How many levels of the provider's response to unfold.",
)
@as_json_option
@target
def show(configuration: Configuration, as_json: bool, task_id: str, depth: int) -> None:
    """Show one task, the provider's response included."""
    task = Task.load(task_id, configuration)
    if as_json:
        print_json(task)
        return
    print_table(pairs(task_facts(task)))
    if task.llm_response is not None:
        click.echo()
        print_table(tree("llm_response", task.llm_response, depth))


@click.command()
@click.argument("agent_id", required=False)
@click.option("--since", metavar="TIME", help="Only tasks first seen at this time or later: ISO 8601, UTC by default.")
@click.option("--until", metavar="TIME", help="Only tasks first seen before this time.")
@click.option(
    "--by",
    type=click.Choice(["hour", "day"]),
    help="In steps of this length, in UTC: of the range, else of the last 24 hours or 14 days.",
)
@as_json_option
@target
def metrics(
    configuration: Configuration,
    as_json: bool,
    agent_id: str | None,
    since: str | None,
    until: str | None,
    by: Step | None,
) -> None:
    """Show what the runs of an agent add up to. Default of AGENT_ID: XPANDER_AGENT_ID."""
    backend, agent = Backend(configuration), agent_named(configuration, agent_id, "AGENT_ID")
    if by is not None:
        points = series(backend, agent, by, parse_datetime("since", since), parse_datetime("until", until))
        if as_json:
            for point in points:
                print_json(point)
        else:
            print_table(series_table(points, by))
        return
    found = backend.metrics(agent, since, until)
    if as_json:
        print_json(found)
    else:
        print_table(metrics_table(found))
