"""Command `conform`: check which promises of the contract a backend keeps."""

import sys

import click

from xpander_sdk import Configuration
from xpander_sdk.cli.exit_codes import REJECTED
from xpander_sdk.cli.options import backend_options, examples, json_option
from xpander_sdk.cli.render.output import print_json
from xpander_sdk.cli.render.text import printable

_MARKS = {"kept": "kept    ", "broken": "BROKEN  ", "not offered": "-       "}


@click.command(
    epilog=examples(
        "xpander-report conform --base-url http://127.0.0.1:8100",
        "xpander-report conform --base-url https://controller.example.com --agent-id agent-123 --json",
    )
)
@click.option(
    "--agent-id",
    metavar="ID",
    help="Agent of the runs, for a backend that accepts only agents that it knows. Default: new agents.",
)
@json_option
@backend_options
def conform(configuration: Configuration, as_json: bool, agent_id: str | None) -> None:
    """Check that a backend keeps the contract.

    For people who write a backend, or upgrade one. The command reports about 35 runs whose ids start with "conform-",
    and compares tasks, history, metrics and errors with the contract. The runs stay in the backend, so use one for
    tests. The key needs the scopes to report and to read. The exit code is 1 if a promise is broken.
    """
    from xpander_sdk.conformance.runner import check_promises

    broken = 0
    for verdict in check_promises(configuration, agent_id):
        broken += verdict.state == "broken"
        if as_json:
            print_json(verdict)
        else:
            click.echo(f"{_MARKS[verdict.state]} {verdict.promise + ':':14} {verdict.text}")
            if verdict.reason:
                click.echo(f"{'':24}{printable(verdict.reason)}")
    sys.exit(REJECTED if broken else 0)
