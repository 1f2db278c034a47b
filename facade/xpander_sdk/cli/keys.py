"""Commands `keys …`: manage the API keys of a store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.table import Table

from xpander_sdk.cli.options import (
    PERIOD,
    confirm,
    creating_store_command,
    examples,
    json_option,
    organization_option,
    store_command,
    yes_option,
)
from xpander_sdk.cli.render.output import new_table, print_json, print_rows
from xpander_sdk.cli.render.text import plain_text


@click.group(
    epilog=examples(
        "xpander-report keys create ci --scope report --expires 90d",
        "xpander-report keys list",
        "xpander-report keys rotate ci --grace 24h",
    )
)
def keys() -> None:
    """Manage API keys of a store.

    Running servers apply changes within seconds.
    """


@keys.command(
    epilog=examples(
        "xpander-report keys create ci --scope report --expires 90d",
        "xpander-report keys create me --scope read --store sqlite:///runs.db",
    )
)
@click.argument("name")
@creating_store_command
@organization_option
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["report", "read", "admin"]),
    multiple=True,
    help="Permission of the key: report sends reports, read reads tasks and metrics, admin reads the server's state "
    "and erases tasks. Repeatable. Default: report and read.",
)
@click.option("--expires", type=PERIOD, metavar="PERIOD", help="Period after which the key expires. Default: never.")
@yes_option
@json_option
def create(
    store: str,
    name: str,
    organization_id: str,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Create a key and show it once.

    If the store does not exist yet, the command asks before it creates one.
    """
    from xpander_server.admin import missing_file, open_keys

    if (path := missing_file(store)) is not None:
        confirm(f"There is no store at {path}. Create one?", is_confirmed=yes)
    with open_keys(store) as table:
        expires_at = None if expires is None else datetime.now(UTC) + expires
        secret = table.create(
            name,
            organization_id,
            scopes=scopes or ("report", "read"),
            expires_at=None if expires_at is None else round(expires_at.timestamp() * 1_000_000),
        )
    _print_secret(name, organization_id, secret, as_json)


@keys.command("list", epilog=examples("xpander-report keys list --all"))
@store_command
@click.option("--organization-id", metavar="ID", help="Only keys of this organization.")
@click.option("--all", "include_ended", is_flag=True, help="Include keys that are revoked or expired.")
@json_option
def list_keys(store: str, organization_id: str | None, include_ended: bool, as_json: bool) -> None:
    """List keys without their secrets.

    During a rotation, a key has two lines: one for the old secret and one for the new secret.
    """
    from xpander_server.admin import format_timestamp, open_keys

    with open_keys(store) as table:
        now = round(datetime.now(UTC).timestamp() * 1_000_000)
        rows = [
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
            if include_ended or row.is_active(now)
        ]
    print_rows(rows, _keys_table, "No keys.", as_json=as_json)


@keys.command(epilog=examples("xpander-report keys rotate ci --grace 24h"))
@click.argument("name")
@store_command
@organization_option
@click.option(
    "--grace",
    type=PERIOD,
    metavar="PERIOD",
    default="24h",
    show_default=True,
    help="Period in which the old secret stays valid.",
)
@json_option
def rotate(store: str, name: str, organization_id: str, grace: timedelta, as_json: bool) -> None:
    """Replace the secret of a key.

    The new secret is shown once. Name, scopes and expiry of the key stay.
    """
    from xpander_server.admin import open_keys

    with open_keys(store) as table:
        secret = table.rotate(name, organization_id, grace=grace // timedelta(microseconds=1))
    _print_secret(name, organization_id, secret, as_json)


@keys.command(epilog=examples("xpander-report keys revoke ci"))
@click.argument("name")
@store_command
@organization_option
def revoke(store: str, name: str, organization_id: str) -> None:
    """Revoke a key.

    During a rotation, the old secret is revoked too.
    """
    from xpander_server.admin import open_keys

    with open_keys(store) as table:
        table.revoke(name, organization_id)
    click.echo(f"Revoked the key {name!r} of {organization_id!r}.")


def _print_secret(name: str, organization_id: str, secret: str, as_json: bool) -> None:
    if as_json:
        print_json({"organization_id": organization_id, "name": name, "key": secret})
    else:
        click.echo(f"The key {name!r} of {organization_id!r}, shown only once:\n\n  {secret}\n")


def _keys_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = new_table()
    for column in ("organization", "name", "scopes", "state", "created (UTC)", "last used", "expires"):
        table.add_column(column)
    for row in rows:
        times = (row["created_at"], row["last_used_at"], row["expires_at"])
        table.add_row(
            plain_text(row["organization_id"]),
            plain_text(row["name"]),
            " ".join(row["scopes"]),
            row["state"],
            *((time or "–")[:16].replace("T", " ") for time in times),
        )
    return table
