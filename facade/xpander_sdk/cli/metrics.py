"""Command `metrics`: print the metrics of an agent or of the organization."""

import click

from xpander_sdk import Backend, Configuration
from xpander_sdk.cli.metric_series import Bucket, load_metrics, load_series
from xpander_sdk.cli.options import (
    advise_on_all_agents,
    examples,
    find_agent_id,
    json_option,
    reading_backend_options,
    since_option,
    until_option,
)
from xpander_sdk.cli.render.output import print_json, print_table
from xpander_sdk.cli.render.tables import metrics_table, series_table
from xpander_sdk.reporting.validation import parse_datetime


@click.command(
    epilog=examples(
        "xpander-report metrics agent-123 --since 2026-01-01",
        "xpander-report metrics agent-123 --by day",
    )
)
@click.argument("agent_id", required=False)
@since_option
@until_option
@click.option(
    "--by",
    "bucket",
    type=click.Choice(["hour", "day"]),
    help="Print one line for each hour or day in UTC, at most 100. Default range: 24 hours or 14 days.",
)
@json_option
@reading_backend_options
def metrics(
    configuration: Configuration,
    as_json: bool,
    agent_id: str | None,
    since: str | None,
    until: str | None,
    bucket: Bucket | None,
) -> None:
    """Show metrics of an agent, or of all agents.

    AGENT_ID defaults to XPANDER_AGENT_ID. If neither is given, the metrics are those of all agents.
    """
    backend, agent_id = Backend(configuration), find_agent_id(configuration, agent_id)
    if bucket is not None:
        start, end = parse_datetime("since", since), parse_datetime("until", until)
        with advise_on_all_agents(agent_id):
            points = load_series(backend, agent_id, bucket, start, end)
        if as_json:
            for point in points:
                print_json(point)
        else:
            print_table(series_table(points, bucket))
        return
    with advise_on_all_agents(agent_id):
        totals = load_metrics(backend, agent_id, since, until)
    if as_json:
        print_json(totals)
    else:
        print_table(metrics_table(totals))
