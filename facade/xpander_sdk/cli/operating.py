"""Commands for who runs things: what is wrong, and a server."""

import logging
import sys

import click

from xpander_sdk import Configuration
from xpander_sdk.cli.common import REFUSED, USAGE, as_json_option, fail, print_json, printable, target


@click.command()
@click.option("--agent-id", metavar="ID", help="An agent to look for. Default: XPANDER_AGENT_ID.")
@as_json_option
@target
def doctor(configuration: Configuration, as_json: bool, agent_id: str | None) -> None:
    """Look at each step on the way of a report, and explain what is wrong. Exit code 1 if anything is."""
    from xpander_sdk.doctor import examine

    is_well = True
    for finding in examine(configuration, agent_id):
        is_well = is_well and finding.state != "failed"
        if as_json:
            print_json(finding)
        else:
            mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}[finding.state]
            click.echo(f"{mark} {finding.check + ':':14} {printable(finding.told)}")
    sys.exit(0 if is_well else REFUSED)


@click.command()
@click.option("--store", metavar="URL", default="sqlite:///xpander.db", show_default=True, help="Where to keep tasks.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0 for any that is free.")
@click.option(
    "--api-key",
    envvar="XPANDER_API_KEY",
    metavar="KEY",
    help="A key that shall be let in. Default: XPANDER_API_KEY, else the keys of the store; where it has none, one is "
    "made and shown once.",
)
@click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    help="The organisation of that key. Default: XPANDER_ORGANIZATION_ID, else local.",
)
def serve(store: str, host: str, port: int, api_key: str | None, organization_id: str | None) -> None:
    """Serve a store over HTTP, to this SDK, the official one, and anything that speaks the contract."""
    try:
        from xpander_server.serve import StoreError
        from xpander_server.serve import serve as serve_store
    except ModuleNotFoundError as missing:
        fail(f"the server needs {missing.name}: pip install 'xpander-report[server]'", USAGE)

    def started(url: str, made_key: str | None) -> None:
        click.echo(f"Serving {store} at {url}")
        if made_key is not None:
            click.echo(f"The store had no API key. This one was made, and is shown this once:\n\n  {made_key}\n")
        sys.stdout.flush()

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        # An empty setting in the environment is none.
        serve_store(
            store,
            host=host,
            port=port,
            api_key=api_key or None,
            organization_id=organization_id or None,
            started=started,
        )
    except (StoreError, ValueError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"cannot listen at {host}:{port}: {error.strerror}", USAGE)
