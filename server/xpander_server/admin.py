"""Administration of a store: API keys, backup, deletion of old tasks. Works while servers use the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from xpander_server.auth.api_keys import ApiKeys
from xpander_server.clock import format_timestamp, parse_timestamp
from xpander_server.domain.pricing import OwnPrice
from xpander_server.maintenance.backup import backup, restore
from xpander_server.maintenance.retention import prune
from xpander_server.store import Store, StoreError, StoreUnavailable, missing_file
from xpander_server.store.own_prices import OwnPriceTable
from xpander_server.store.repricing import Repriced

__all__ = [
    "OwnPrice",
    "StoreError",
    "StoreUnavailable",
    "backup",
    "delete_older_than",
    "format_timestamp",
    "missing_file",
    "open_keys",
    "open_prices",
    "reprice",
    "restore",
]


@contextmanager
def open_keys(store_url: str) -> Iterator[ApiKeys]:
    """Open a store and yield its API keys.

    Raises:
        StoreError: The store cannot be opened.
    """
    store = Store(store_url)
    try:
        yield ApiKeys(store.keys)
    finally:
        store.close()


@contextmanager
def open_prices(store_url: str) -> Iterator[OwnPriceTable]:
    """Open a store and yield the prices that organizations have set.

    Raises:
        StoreError: The store cannot be opened.
    """
    store = Store(store_url)
    try:
        yield store.own_prices
    finally:
        store.close()


def reprice(
    store_url: str,
    organization_id: str | None,
    *,
    since: datetime | None = None,
    model: str | None = None,
    is_all: bool = False,
    is_dry_run: bool = False,
) -> Repriced:
    """Compute the costs of stored tasks at the prices that are known now.

    Args:
        store_url: URL of the store.
        organization_id: Organization; None for all of them.
        since: Time of the oldest task, with a time zone; None for no limit.
        model: Model whose tasks are repriced, whether they have a cost or not.
        is_all: Reprice tasks that have a cost, too.
        is_dry_run: Change nothing.

    Raises:
        StoreError: The store cannot be opened.
        StoreUnavailable: The store is locked or unreachable at present. Tasks that were repriced before stay repriced.
    """
    store = Store(store_url)
    try:
        return store.reprice(
            organization_id,
            since=None if since is None else parse_timestamp(since.isoformat()),
            model=model,
            is_all=is_all,
            is_dry_run=is_dry_run,
        )
    finally:
        store.close()


def delete_older_than(store_url: str, max_age: timedelta) -> int:
    """Delete the tasks that were created before `max_age` ago, rounded to whole hours. Their metrics stay.

    Returns:
        Number of deleted tasks.

    Raises:
        StoreError: The store cannot be opened.
        StoreUnavailable: The store is locked or unreachable at present.
    """
    store = Store(store_url)
    try:
        return prune(store, max_age)
    finally:
        store.close()
