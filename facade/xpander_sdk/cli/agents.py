"""Command `agents`: list the agents of the organization with their runs."""

import click

from xpander_sdk import Backend, Configuration
from xpander_sdk.cli.options import examples, json_option, reading_backend_options, since_option, until_option
from xpander_sdk.cli.render.output import print_json, print_table
from xpander_sdk.cli.render.tables import agents_table


@click.command(epilog=examples("xpander-report agents", "xpander-report agents --since 7d --sort failed"))
@since_option
@until_option
@click.option(
    "--sort",
    type=click.Choice(["runs", "failed", "name"]),
    default="runs",
    show_default=True,
    help="Order: most runs first, most failed runs first, or by name.",
)
@json_option
@reading_backend_options
def agents(configuration: Configuration, as_json: bool, since: str | None, until: str | None, sort: str) -> None:
    """List agents with their numbers of runs.

    The list has the agents with runs in the given time. "(other agents)" sums up those beyond the server's limit.
    """
    runs_by_agent = Backend(configuration).organization_metrics(since, until).agents or {}
    keys = {
        "runs": lambda item: (-item[1].total, item[0]),
        "failed": lambda item: (-item[1].failed, item[0]),
        "name": lambda item: item[0],
    }
    rows = sorted(runs_by_agent.items(), key=keys[sort])
    if as_json:
        for agent_id, runs in rows:
            print_json({"agent_id": agent_id, "runs": runs.to_dict()})
    elif rows:
        print_table(agents_table(rows))
    else:
        click.echo("No agents with runs.")
