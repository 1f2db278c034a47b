"""Command `serve`: run the server."""

import errno
import os
import shlex
import sys
from datetime import timedelta
from typing import Literal

import click

from xpander_sdk.cli.exit_codes import REJECTED, USAGE, fail, fail_without_server
from xpander_sdk.cli.options import PERIOD, examples, store_option
from xpander_sdk.settings.base_url import without_password


@click.command(
    epilog=examples(
        "xpander-report serve",
        "xpander-report serve --workers 4",
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
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that answer requests. --rate-limit holds for all of them together; each may open as many files and "
    "database connections as one server.",
)
@click.option(
    "--api-key",
    envvar="XPANDER_API_KEY",
    metavar="KEY",
    help="API key that the server accepts, with all scopes: at least 20 characters. Default: the keys of the store; if "
    "it has none, the server creates one and shows it once at a terminal. [env: XPANDER_API_KEY]",
)
@click.option(
    "--key-file",
    metavar="FILE",
    help="New file for the key that the server creates if the store has none. Only its owner can read it.",
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
    "--root-path",
    default="",
    metavar="PATH",
    help="Path below which a proxy publishes the server: /reports. The proxy may pass it on or remove it.",
)
@click.option(
    "--allow-plain-http", is_flag=True, help="Accept connections from other machines without TLS and without a proxy."
)
@click.option(
    "--max-connections-per-address",
    type=click.IntRange(1),
    metavar="N",
    help="Open connections of one client address, divided evenly among the workers; --behind-proxy exempts proxies. "
    "Default: a half of all.",
)
@click.option(
    "--rate-limit", metavar="RATE", help="Maximum number of requests for each API key: 100/s, 600/m. Default: no limit."
)
@click.option(
    "--keep", type=PERIOD, metavar="PERIOD", help="Delete tasks after this period: 90d. Metrics stay. Default: never."
)
@click.option(
    "--stale-after",
    type=PERIOD,
    metavar="PERIOD",
    help="Mark tasks as stale that are executing and were not changed for this period: 6h. Default: 24h.",
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
    workers: int,
    api_key: str | None,
    key_file: str | None,
    organization_id: str | None,
    tls_certificate: str | None,
    tls_key: str | None,
    behind_proxy: tuple[str, ...],
    root_path: str,
    allow_plain_http: bool,
    max_connections_per_address: int | None,
    rate_limit: str | None,
    keep: timedelta | None,
    stale_after: timedelta | None,
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

    notes: list[str] = []

    def show_key(key: str) -> None:
        if key_file is None:
            notes.append(f"The store had no API key. This new key is shown only once:\n\n  {key}\n")
        else:
            _write_key(key_file, key)
            notes.append(f"The store had no API key. The new key is in {key_file!r}")

    def print_url(url: str, has_key: bool) -> None:
        click.echo(f"Serving {without_password(store)} at {url}")
        if not has_key:
            # The command has the same default. A URL of PostgreSQL may contain a password.
            option = f" --store {shlex.quote(store)}" if store.startswith("sqlite:") else ""
            notes.append(f"The store has no API key. Create one with `xpander-report keys create NAME{option}`")
        for note in notes:
            click.echo(note)
        sys.stdout.flush()

    server.configure_logging(log_format, log_level.upper())
    try:
        server.serve(
            server.ServerSettings(
                store_url=store,
                bind=server.BindSettings(
                    host=host,
                    port=port,
                    tls_certificate=tls_certificate,
                    tls_key=tls_key,
                    behind_proxy=behind_proxy,
                    allow_plain_http=allow_plain_http,
                    max_connections_per_address=max_connections_per_address,
                    root_path=root_path,
                ),
                rate=None if rate_limit is None else server.Rate.parse(rate_limit),
                max_age=keep,
                stale_after=stale_after,
                log_format=log_format,
                log_level=log_level.upper(),
            ),
            workers=workers,
            # An empty environment variable means that the value is not set.
            api_key=api_key or None,
            organization_id=organization_id or None,
            # A pipe or a file, such as a journal, is read by others: a key must not be in it.
            show_key=show_key if key_file is not None or sys.stdout.isatty() else None,
            on_started=print_url,
        )
    except (server.StoreError, ValueError) as error:
        fail(str(error), USAGE)
    except server.WorkersFailed as error:
        fail(str(error), REJECTED)
    except FileExistsError as error:
        fail(f"--key-file must name a new file, got {error.filename!r}, which exists", USAGE)
    except OSError as error:
        if error.filename is not None:
            fail(f"cannot write {error.filename!r}: {error.strerror}", USAGE)
        advice = "; --port names another port" if error.errno == errno.EADDRINUSE else ""
        fail(f"cannot listen on {host}:{port}: {error.strerror}{advice}", USAGE)


def _write_key(path: str, key: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(f"{key}\n")
