"""Commands for who runs things: what is wrong, and a server."""

import sys
from datetime import timedelta
from typing import Literal

import click

from xpander_sdk import Configuration
from xpander_sdk.cli.common import (
    REFUSED,
    SPAN,
    USAGE,
    as_json_option,
    fail,
    fail_without_server,
    print_json,
    printable,
    store_option,
    target,
)
from xpander_sdk.settings.base_url import without_password


@click.command()
@click.option("--agent-id", metavar="ID", help="An agent to look for. Default: XPANDER_AGENT_ID.")
@as_json_option
@target
def doctor(configuration: Configuration, as_json: bool, agent_id: str | None) -> None:
    """Look at each step on the way of a report, and explain what is wrong. Exit code 1 if anything is."""
    from xpander_sdk.doctor import run_checks

    is_well = True
    for finding in run_checks(configuration, agent_id):
        is_well = is_well and finding.state != "failed"
        if as_json:
            print_json(finding)
        else:
            mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}[finding.state]
            click.echo(f"{mark} {finding.check + ':':14} {printable(finding.told)}")
    sys.exit(0 if is_well else REFUSED)


@click.command()
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0 for any that is free.")
@click.option(
    "--api-key",
    envvar="XPANDER_API_KEY",
    metavar="KEY",
    help="A key that shall be let in, with every scope. Default: XPANDER_API_KEY, else the keys of the store; where it "
    "has none, one is made and shown once.",
)
@click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    help="The organisation of that key. Default: XPANDER_ORGANIZATION_ID, else local.",
)
@click.option("--tls-certificate", metavar="FILE", help="Speak HTTPS with this certificate (PEM, with its chain).")
@click.option("--tls-key", metavar="FILE", help="The key of that certificate (PEM).")
@click.option(
    "--behind-proxy",
    metavar="ADDRESS",
    multiple=True,
    help="A proxy, or a network of them, that speaks TLS for the server, and whose X-Forwarded-For is believed; * for "
    "any. As often as you like.",
)
@click.option("--allow-plain-http", is_flag=True, help="Listen beyond this machine without TLS and without a proxy.")
@click.option("--rate-limit", metavar="RATE", help="How often each key may be used: 100/s, 600/m. Default: no limit.")
@click.option(
    "--keep", type=SPAN, metavar="SPAN", help="How long a task is kept: 90d. Metrics stay. Default: for ever."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the log."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="info has a line for each request.",
)
def serve(
    store: str,
    host: str,
    port: int,
    api_key: str | None,
    organization_id: str | None,
    tls_certificate: str | None,
    tls_key: str | None,
    behind_proxy: tuple[str, ...],
    allow_plain_http: bool,
    rate_limit: str | None,
    keep: timedelta | None,
    log_format: Literal["text", "json"],
    log_level: str,
) -> None:
    """Serve a store over HTTP, to this SDK, the official one, and anything that speaks the contract."""
    try:
        from xpander_server import serve as server
    except ModuleNotFoundError as missing:
        fail_without_server(missing)

    def started(url: str, made_key: str | None) -> None:
        click.echo(f"Serving {without_password(store)} at {url}")
        if made_key is not None:
            click.echo(f"The store had no API key. This one was made, and is shown this once:\n\n  {made_key}\n")
        sys.stdout.flush()

    server.configure_logging(log_format, log_level.upper())
    try:
        server.serve(
            store,
            server.BindSettings(
                host=host,
                port=port,
                tls_certificate=tls_certificate,
                tls_key=tls_key,
                behind_proxy=behind_proxy,
                allow_plain_http=allow_plain_http,
            ),
            # An empty setting in the environment is none.
            api_key=api_key or None,
            organization_id=organization_id or None,
            rate=None if rate_limit is None else server.Rate.parse(rate_limit),
            max_age=keep,
            on_started=started,
        )
    except (server.StoreError, ValueError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"cannot listen at {host}:{port}: {error.strerror}", USAGE)
