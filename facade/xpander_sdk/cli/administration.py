"""Commands on a store itself, whether or not it is being served: its keys, copies of it, what is old."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from xpander_sdk.cli.common import (
    REFUSED,
    SPAN,
    TRY_AGAIN,
    USAGE,
    as_json_option,
    cell,
    fail,
    fail_without_server,
    print_json,
    print_table,
    store_option,
)
from xpander_sdk.settings.base_url import without_password


def on_store(command: Callable[..., None]) -> Callable[..., None]:
    """The option that names the store; failures as exit codes."""

    @store_option
    @wraps(command)
    def run(**arguments: Any) -> None:
        try:
            from xpander_server.admin import StoreError, StoreUnavailable
        except ModuleNotFoundError as missing:
            fail_without_server(missing)
        try:
            command(**arguments)
        except StoreUnavailable as unavailable:
            fail(f"the store does not answer: {unavailable}", TRY_AGAIN)
        except LookupError as unknown:
            fail(str(unknown.args[0]), REFUSED)
        except (StoreError, ValueError) as error:
            fail(str(error), USAGE)

    return run


_of_organization = click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    default="local",
    show_default=True,
    help="Whose key. Default: XPANDER_ORGANIZATION_ID, else",
)


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys. Running servers notice within seconds."""


@keys.command()
@click.argument("name")
@on_store
@_of_organization
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["report", "read", "admin"]),
    multiple=True,
    help="What it may do: send reports; read tasks and metrics; look into the server. As often as you like. Default: "
    "report and read.",
)
@click.option("--expires", type=SPAN, metavar="SPAN", help="After how long it ends: 90d, 24h. Default: never.")
@as_json_option
def create(
    store: str, name: str, organization_id: str, scopes: tuple[str, ...], expires: timedelta | None, as_json: bool
) -> None:
    """Make a key, and show it this once."""
    from xpander_server.admin import open_keys

    with open_keys(store) as table:
        expires_at = None if expires is None else datetime.now(UTC) + expires
        secret = table.create(
            name,
            organization_id,
            scopes=scopes or ("report", "read"),
            expires_at=None if expires_at is None else round(expires_at.timestamp() * 1_000_000),
        )
    _show(name, organization_id, secret, as_json)


@keys.command("list")
@on_store
@click.option("--organization-id", metavar="ID", help="Only those of this organisation.")
@click.option("--all", "also_ended", is_flag=True, help="Those that were revoked or have expired, too.")
@as_json_option
def list_keys(store: str, organization_id: str | None, also_ended: bool, as_json: bool) -> None:
    """List keys: never themselves, only what is known of them. A key that is being rotated is there twice."""
    from xpander_server.admin import format_timestamp, open_keys

    with open_keys(store) as table:
        now = round(datetime.now(UTC).timestamp() * 1_000_000)
        found = [
            {
                "organization_id": row.organization_id,
                "name": row.name,
                "scopes": row.scopes,
                "state": "live" if row.is_active(now) else "expired" if row.revoked_at is None else "revoked",
                "created_at": format_timestamp(row.created_at),
                "last_used_at": format_timestamp(row.last_used_at),
                "expires_at": format_timestamp(row.expires_at),
                "revoked_at": format_timestamp(row.revoked_at),
            }
            for row in table.list_keys(organization_id)
            if also_ended or row.is_active(now)
        ]
    if as_json:
        for key in found:
            print_json(key)
    elif found:
        print_table(_table(found))
    else:
        click.echo("No keys.")


@keys.command()
@click.argument("name")
@on_store
@_of_organization
@click.option(
    "--grace", type=SPAN, metavar="SPAN", default="24h", show_default=True, help="How long the old one is still good."
)
@as_json_option
def rotate(store: str, name: str, organization_id: str, grace: timedelta, as_json: bool) -> None:
    """Give a key a new secret, and show it this once. Its name, scopes and expiry stay."""
    from xpander_server.admin import open_keys

    with open_keys(store) as table:
        secret = table.rotate(name, organization_id, grace=grace // timedelta(microseconds=1))
    _show(name, organization_id, secret, as_json)


@keys.command()
@click.argument("name")
@on_store
@_of_organization
def revoke(store: str, name: str, organization_id: str) -> None:
    """End a key, and its old secret, if it is being rotated."""
    from xpander_server.admin import open_keys

    with open_keys(store) as table:
        table.revoke(name, organization_id)
    click.echo(f"Revoked the key {name!r} of {organization_id!r}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@on_store
def backup(store: str, file: Path) -> None:
    """Copy a SQLite store into FILE, keys included, whether or not it is being served."""
    from xpander_server.admin import backup

    tasks = backup(store, file)
    click.echo(f"{tasks:,} tasks, as they were at one moment, are in {file}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@on_store
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def restore(store: str, file: Path, is_sure: bool) -> None:
    """Put the copy FILE in the place of all that is in a SQLite store, whether or not it is being served."""
    from xpander_server.admin import restore as put_back

    shown = without_password(store)
    if not is_sure:
        click.confirm(f"Replace all tasks and keys in {shown} by those of {file}?", abort=True)
    click.echo(f"{put_back(store, file):,} tasks of {file} are in {shown}.")


@click.command()
@on_store
@click.option("--keep", type=SPAN, metavar="SPAN", required=True, help="How long a task is kept: 90d, 24h.")
def prune(store: str, keep: timedelta) -> None:
    """Delete the tasks that were first seen longer ago, by whole hours; their metrics stay."""
    from xpander_server.admin import delete_older_than

    click.echo(f"Deleted {delete_older_than(store, keep):,} tasks. Their metrics are still there.")


def _show(name: str, organization_id: str, secret: str, as_json: bool) -> None:
    if as_json:
        print_json({"organization_id": organization_id, "name": name, "key": secret})
    else:
        click.echo(f"The key {name!r} of {organization_id!r}, shown this once:\n\n  {secret}\n")


def _table(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("organisation", "name", "scopes", "state", "created (UTC)", "last used", "expires"):
        table.add_column(column)
    for key in found:
        moments = (key["created_at"], key["last_used_at"], key["expires_at"])
        table.add_row(
            cell(key["organization_id"]),
            cell(key["name"]),
            " ".join(key["scopes"]),
            key["state"],
            *((moment or "–")[:16].replace("T", " ") for moment in moments),
        )
    return table
