"""Command `doctor`: check each step on the path of a report."""

import sys

import click

from xpander_sdk import Configuration
from xpander_sdk.cli.exit_codes import REJECTED
from xpander_sdk.cli.options import backend_options, examples, json_option
from xpander_sdk.cli.render.output import print_json
from xpander_sdk.cli.render.text import printable

_MARKS = {"ok": "ok     ", "failed": "FAILED ", "unknown": "?      ", "skipped": "-      "}


@click.command(epilog=examples("xpander-report doctor --agent-id agent-123"))
@click.option("--agent-id", metavar="ID", help="Agent to look up. [env: XPANDER_AGENT_ID]")
@json_option
@backend_options
def doctor(configuration: Configuration, as_json: bool, agent_id: str | None) -> None:
    """Find out why reports do not arrive.

    The command checks URL, proxy, DNS, TCP, TLS, API key, clock, organization, outbox, agent, and whether the server
    has refused spans of OpenTelemetry lately; for a database URL, the store, the outbox, the agent and refused spans.
    It names the origin of each setting. It records nothing: the key is checked with a report that is invalid. A check
    is marked with ? if the backend's response does not show the answer. The exit code is 1 if a check fails.
    """
    from xpander_sdk.doctor.checks import run_checks

    is_healthy = True
    for finding in run_checks(configuration, agent_id):
        is_healthy = is_healthy and finding.state != "failed"
        if as_json:
            print_json(finding)
        else:
            origin = "" if finding.source is None else f" [{finding.source}]"
            click.echo(f"{_MARKS[finding.state]} {finding.check + ':':14} {printable(finding.message + origin)}")
    sys.exit(0 if is_healthy else REJECTED)
