"""Command `reprice`: compute the costs of stored runs at the prices that are known now."""

import click

from xpander_sdk.cli.options import examples, since_option, store_command
from xpander_sdk.cli.render.text import count_noun
from xpander_sdk.reporting.validation import parse_datetime


@click.command(
    epilog=examples(
        "xpander-report reprice",
        "xpander-report reprice --since 30d --model my-llama",
        "xpander-report reprice --since 2026-11-01 --all --dry-run",
    )
)
@store_command
@click.option("--organization-id", metavar="ID", help="Only runs of this organization.")
@since_option
@click.option("--model", metavar="NAME", help="All runs of this model, whether they have a cost or not.")
@click.option("--all", "is_all", is_flag=True, help="Include runs that have a cost.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Count the changes without making them.")
def reprice(
    store: str, organization_id: str | None, since: str | None, model: str | None, is_all: bool, is_dry_run: bool
) -> None:
    """Compute the costs of stored runs again.

    The prices are those that are known now.

    Without --all or --model, only runs without a cost are priced. A run keeps the price of the time at which it was
    recorded, where the price list has one. Metrics change by the exact difference. Servers may run meanwhile.
    """
    from xpander_server.admin import reprice as reprice_store

    result = reprice_store(
        store,
        organization_id,
        since=parse_datetime("since", since),
        model=model,
        is_all=is_all,
        is_dry_run=is_dry_run,
    )
    verb = "would change" if is_dry_run else "changed"
    click.echo(
        f"Examined {count_noun(result.examined, 'run')}; {verb} the cost of {result.changed:,}, "
        f"of which {result.priced:,} had none."
    )
