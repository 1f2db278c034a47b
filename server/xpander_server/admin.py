"""Administration of a store: API keys, backup, deletion of old tasks. Works while servers use the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from xpander_server.auth.api_keys import ApiKeys
from xpander_server.clock import format_timestamp
from xpander_server.maintenance.backup import backup, restore
from xpander_server.maintenance.retention import prune
from xpander_server.store import Store, StoreError, StoreUnavailable, missing_file

__all__ = [
    "StoreError",
    "StoreUnavailable",
    "backup",
    "delete_older_than",
    "format_timestamp",
    "missing_file",
    "open_keys",
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
