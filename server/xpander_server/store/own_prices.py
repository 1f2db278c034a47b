"""Own prices: the prices that organizations have set for models, and the cache of them that commits use."""

import time
from collections.abc import Sequence

from attrs import asdict, fields_dict
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from xpander_server.domain.pricing import OwnPrice, OwnPrices
from xpander_server.store.engine.database import Database
from xpander_server.store.schema.tables import own_prices

MAX_PRICES = 1_000
"""Largest number of prices of one organization."""

REFRESH_SECONDS = 5.0
"""Time after which a server notices a price that another process has set."""

_MAX_CACHED = 1_000  # organizations

_COLUMNS = [own_prices.c[name] for name in fields_dict(OwnPrice)]


class OwnPriceTable:
    """Own prices of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[str, tuple[float, OwnPrices]] = {}

    def list_prices(self, organization_id: str) -> list[OwnPrice]:
        """Return the prices of an organization, ordered by model and provider."""
        return [*self._database.read(lambda connection: _read(connection, organization_id))]

    def set(self, organization_id: str, price: OwnPrice) -> None:
        """Add a price, or replace the one of the same model and provider.

        Raises:
            ValueError: The organization has `MAX_PRICES` prices.
        """

        def set_price(connection: Connection) -> None:
            connection.execute(delete(own_prices).where(*_is_price(organization_id, price.provider, price.model)))
            is_organization = own_prices.c.organization_id == organization_id
            count = connection.scalar(select(func.count()).select_from(own_prices).where(is_organization)) or 0
            if count >= MAX_PRICES:
                raise ValueError(
                    f"the number of prices must be at most {MAX_PRICES:,}, got one more for {organization_id!r}; "
                    "remove prices, or set one for all models with the same beginning: 'ft:gpt-4o*'"
                )
            connection.execute(insert(own_prices).values(organization_id=organization_id, **asdict(price)))

        self._database.write(set_price)
        self._cache.pop(organization_id, None)

    def remove(self, organization_id: str, provider: str, model: str) -> None:
        """Remove a price.

        Raises:
            LookupError: The organization has no such price.
        """
        statement = delete(own_prices).where(*_is_price(organization_id, provider, model))
        removed = self._database.write(lambda connection: connection.execute(statement).rowcount)
        self._cache.pop(organization_id, None)
        if not removed:
            of_provider = f" of the provider {provider!r}" if provider else ""
            raise LookupError(f"the organization {organization_id!r} has no price for {model!r}{of_provider}")

    def of_organization(self, connection: Connection, organization_id: str) -> OwnPrices:
        """Return the prices of an organization, at most `REFRESH_SECONDS` old."""
        now = time.monotonic()
        cached = self._cache.get(organization_id)
        if cached is not None and now - cached[0] < REFRESH_SECONDS:
            return cached[1]
        prices = OwnPrices(_read(connection, organization_id))
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[organization_id] = (now, prices)
        return prices


def _read(connection: Connection, organization_id: str) -> Sequence[OwnPrice]:
    query = select(*_COLUMNS).where(own_prices.c.organization_id == organization_id)
    rows = connection.execute(query.order_by(own_prices.c.model, own_prices.c.provider))
    return [OwnPrice(**row._mapping) for row in rows]


def _is_price(organization_id: str, provider: str, model: str) -> tuple[ColumnElement[bool], ...]:
    return (
        own_prices.c.organization_id == organization_id,
        own_prices.c.provider == provider,
        own_prices.c.model == model,
    )
