"""Command `serve`: run the server."""

import sys
from datetime import timedelta
from typing import Literal

import click

from xpander_sdk.cli.exit_codes import USAGE, fail, fail_without_server
from xpander_sdk.cli.options import PERIOD, examples, store_option
from xpander_sdk.settings.base_url import without_password


@click.command(
    epilog=examples(
        "xpander-report serve",
        "xpander-report serve --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key --keep 90d",
    )
)
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8100,
    show_default=True,
    help="Port to listen on; 0 for a free one.",
)
@click.option(
    "--api-key",
    envvar="XPANDER_API_KEY",
    metavar="KEY",
    help="API key that the server accepts, with all scopes. Default: the keys of the store; if it has none, the server "
    "creates one and shows it once. [env: XPANDER_API_KEY]",
)
@click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    help="Organization of that key. [env: XPANDER_ORGANIZATION_ID; default: local]",
)
@click.option("--tls-certificate", metavar="FILE", help="Certificate chain for HTTPS (PEM).")
@click.option("--tls-key", metavar="FILE", help="Private key of the certificate (PEM).")
@click.option(
    "--behind-proxy",
    metavar="ADDRESS",
    multiple=True,
    help="Address or network of a proxy that terminates TLS. The server trusts its X-Forwarded-For; * trusts all. "
    "Repeatable.",
)
@click.option(
    "--allow-plain-http", is_flag=True, help="Accept connections from other machines without TLS and without a proxy."
)
@click.option(
    "--rate-limit", metavar="RATE", help="Maximum number of requests for each API key: 100/s, 600/m. Default: no limit."
)
@click.option(
    "--keep", type=PERIOD, metavar="PERIOD", help="Delete tasks after this period: 90d. Metrics stay. Default: never."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format of the log."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Least severe level in the log; info logs each request.",
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
    """Run the server with its API and web pages.

    Clients are this SDK, the official SDK, and each program that follows the OpenAPI contract.
    """
    try:
        from xpander_server import serve as server
    except ModuleNotFoundError as missing:
        fail_without_server(missing)

    def print_url(url: str, new_key: str | None) -> None:
        click.echo(f"Serving {without_password(store)} at {url}")
        if new_key is not None:
            click.echo(f"The store had no API key. This new key is shown only once:\n\n  {new_key}\n")
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
            # An empty environment variable means that the value is not set.
            api_key=api_key or None,
            organization_id=organization_id or None,
            rate=None if rate_limit is None else server.Rate.parse(rate_limit),
            max_age=keep,
            on_started=print_url,
        )
    except (server.StoreError, ValueError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}", USAGE)
