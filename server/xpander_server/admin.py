"""What an operator does with a store, whether or not it is being served."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from xpander_server.auth.api_keys import ApiKeys
from xpander_server.clock import format_timestamp
from xpander_server.maintenance.backup import backup, restore
from xpander_server.maintenance.retention import prune
from xpander_server.store import Store, StoreError, StoreUnavailable

__all__ = ["StoreError", "StoreUnavailable", "backup", "delete_older_than", "format_timestamp", "open_keys", "restore"]


@contextmanager
def open_keys(store_url: str) -> Iterator[ApiKeys]:
    """The keys of a store. Raises StoreError."""
    store = Store(store_url)
    try:
        yield ApiKeys(store.keys)
    finally:
        store.close()


def delete_older_than(store_url: str, max_age: timedelta) -> int:
    """Delete the tasks that were first seen longer ago than `keep`, by whole hours. Their metrics stay.

    Returns:
        How many there were.

    Raises:
        StoreError, StoreUnavailable: the store cannot be used, or not now.
    """
    store = Store(store_url)
    try:
        return prune(store, max_age)
    finally:
        store.close()
