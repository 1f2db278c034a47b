"""Commands `prices …`: manage the prices that an organization has set for models."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from xpander_sdk.cli.options import examples, json_option, organization_option, store_command
from xpander_sdk.cli.render.output import new_table, print_rows
from xpander_sdk.cli.render.text import plain_text

if TYPE_CHECKING:
    from xpander_server.admin import OwnPrice

_NANODOLLARS = 1_000_000_000
_MAX_DOLLARS = 1_000_000


class _Dollars(click.ParamType[int]):
    """Price in dollars; the value is in nano-dollars."""

    name = "dollars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            dollars = Decimal(str(value))
        except InvalidOperation:
            dollars = Decimal("NaN")
        if not dollars.is_finite() or not 0 <= dollars <= _MAX_DOLLARS:
            self.fail(f"a price must be dollars from 0 to {_MAX_DOLLARS:,}, got {value!r}; write 2.50", param, ctx)
        return round(dollars * _NANODOLLARS)


class _Name(click.ParamType[str]):
    """Name of a model or a provider, in lower case."""

    name = "name"

    def __init__(self, kind: str, max_length: int) -> None:
        self._kind = kind
        self._max_length = max_length

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).strip().lower()
        if not 0 < len(name) <= self._max_length or not name.isprintable():
            self.fail(
                f"the {self._kind} must be 1 to {self._max_length} printable characters, got {value!r}", param, ctx
            )
        return name


_DOLLARS = _Dollars()
_MODEL = _Name("model", 255)

_provider_option = click.option(
    "--provider",
    type=_Name("provider", 100),
    metavar="NAME",
    default=None,
    help="Provider to which the price applies. Default: any provider.",
)


@click.group(
    epilog=examples(
        "xpander-report prices set my-model --input 0.50 --output 1.50",
        "xpander-report prices list",
    )
)
def prices() -> None:
    """Manage an organization's prices of models.

    An own price takes precedence over the price list. Running servers apply changes within seconds, to runs that are
    reported afterwards; `reprice` applies them to stored runs.
    """


@prices.command(
    "set",
    epilog=examples(
        "xpander-report prices set my-llama --input 0.20 --output 0.60",
        "xpander-report prices set 'ft:gpt-4o*' --provider openai --input 3.75 --output 15 --cache-read 1.875",
    ),
)
@click.argument("model", type=_MODEL)
@store_command
@organization_option
@_provider_option
@click.option("--input", "prompt", type=_DOLLARS, metavar="DOLLARS", required=True, help="Price of input tokens.")
@click.option("--output", "completion", type=_DOLLARS, metavar="DOLLARS", required=True, help="Price of output tokens.")
@click.option(
    "--cache-read", type=_DOLLARS, metavar="DOLLARS", help="Price of tokens read from the cache. Default: --input."
)
@click.option(
    "--cache-write", type=_DOLLARS, metavar="DOLLARS", help="Price of tokens written to the cache. Default: --input."
)
def set_price(
    store: str,
    organization_id: str,
    model: str,
    provider: str | None,
    prompt: int,
    completion: int,
    cache_read: int | None,
    cache_write: int | None,
) -> None:
    """Set the price of a model.

    Prices are in dollars for a million tokens. A MODEL that ends with "*" stands for all models whose names begin so.
    Of several prices, the one of the longest name applies, and the one of a provider before the one of any provider.
    """
    from xpander_server.admin import OwnPrice, open_prices

    price = OwnPrice(
        provider=provider or "",
        model=model,
        prompt=prompt,
        completion=completion,
        cache_read=cache_read,
        cache_write=cache_write,
    )
    with open_prices(store) as table:
        table.set(organization_id, price)
    click.echo(f"Set the price of {model!r} for {organization_id!r}. Command `reprice` applies it to stored runs.")


@prices.command("list", epilog=examples("xpander-report prices list --json"))
@store_command
@organization_option
@json_option
def list_prices(store: str, organization_id: str, as_json: bool) -> None:
    """List the prices of an organization.

    Prices are in dollars for a million tokens.
    """
    from xpander_server.admin import open_prices

    with open_prices(store) as table:
        rows = [_to_json(price) for price in table.list_prices(organization_id)]
    print_rows(rows, _prices_table, "No prices.", as_json=as_json)


@prices.command(epilog=examples("xpander-report prices remove my-llama"))
@click.argument("model", type=_MODEL)
@store_command
@organization_option
@_provider_option
def remove(store: str, organization_id: str, model: str, provider: str | None) -> None:
    """Remove the price of a model."""
    from xpander_server.admin import open_prices

    with open_prices(store) as table:
        table.remove(organization_id, provider or "", model)
    click.echo(f"Removed the price of {model!r} for {organization_id!r}.")


def _to_json(price: "OwnPrice") -> dict[str, Any]:
    def dollars(nanodollars: int | None) -> float | None:
        return None if nanodollars is None else nanodollars / _NANODOLLARS

    return {
        "model": price.model,
        "provider": price.provider or None,
        "input": dollars(price.prompt),
        "output": dollars(price.completion),
        "cache_read": dollars(price.cache_read),
        "cache_write": dollars(price.cache_write),
    }


def _prices_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = new_table()
    table.add_column("model")
    table.add_column("provider")
    amounts = ("input", "output", "cache_read", "cache_write")
    for name in amounts:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        numbers = ("–" if row[name] is None else f"{row[name]:,.9f}".rstrip("0").rstrip(".") for name in amounts)
        table.add_row(plain_text(row["model"]), plain_text(row["provider"] or "any"), *numbers)
    return table
