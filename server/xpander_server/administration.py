"""What an operator does with a store, whether or not it is being served."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from xpander_server.auth import Keys
from xpander_server.backups import back_up, restore
from xpander_server.housekeeping import prune
from xpander_server.store import Store, StoreError, StoreUnavailable
from xpander_server.views import timestamp

__all__ = ["StoreError", "StoreUnavailable", "back_up", "forget_older", "opened_keys", "restore", "timestamp"]


@contextmanager
def opened_keys(store_url: str) -> Iterator[Keys]:
    """The keys of a store. Raises StoreError."""
    store = Store(store_url)
    try:
        yield Keys(store.keys)
    finally:
        store.close()


def forget_older(store_url: str, keep: timedelta) -> int:
    """Delete the tasks that were first seen longer ago than `keep`, by whole hours. Their metrics stay.

    Returns:
        How many there were.

    Raises:
        StoreError, StoreUnavailable: the store cannot be used, or not now.
    """
    store = Store(store_url)
    try:
        return prune(store, keep)
    finally:
        store.close()
