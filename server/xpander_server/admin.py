"""Administration of a store: API keys, backup, deletion of old tasks. Works while servers use the store."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

from xpander_server.auth.api_keys import ApiKeys
from xpander_server.clock import format_timestamp, now, parse_timestamp
from xpander_server.domain.pricing import OwnPrice
from xpander_server.maintenance.backup import backup, restore
from xpander_server.maintenance.retention import prune
from xpander_server.store import ErasureSelection, Store, StoreError, StoreUnavailable, missing_file
from xpander_server.store.own_prices import OwnPriceTable
from xpander_server.store.repricing import Repriced

__all__ = [
    "OwnPrice",
    "StoreError",
    "StoreUnavailable",
    "backup",
    "delete_older_than",
    "erase_tasks",
    "format_timestamp",
    "missing_file",
    "open_keys",
    "open_prices",
    "read_audit_log",
    "reprice",
    "restore",
]


@contextmanager
def open_keys(store_url: str) -> Iterator[ApiKeys]:
    """Open a store and yield its API keys.

    Raises:
        StoreError: The store cannot be opened.
    """
    with closing(Store(store_url)) as store:
        yield ApiKeys(store.keys)


@contextmanager
def open_prices(store_url: str) -> Iterator[OwnPriceTable]:
    """Open a store and yield the prices that organizations have set.

    Raises:
        StoreError: The store cannot be opened.
    """
    with closing(Store(store_url)) as store:
        yield store.own_prices


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
    with closing(Store(store_url)) as store:
        return store.reprice(
            organization_id, since=_microseconds(since), model=model, is_all=is_all, is_dry_run=is_dry_run
        )


def delete_older_than(store_url: str, max_age: timedelta) -> int:
    """Delete the tasks that were created before `max_age` ago, rounded to whole hours. Their metrics stay.

    Returns:
        Number of deleted tasks.

    Raises:
        StoreError: The store cannot be opened.
        StoreUnavailable: The store is locked or unreachable at present.
    """
    with closing(Store(store_url)) as store:
        return prune(store, max_age)


def erase_tasks(
    store_url: str,
    organization_id: str,
    actor: str,
    *,
    task_id: str | None = None,
    user_id: str | None = None,
    agent_id: str | None = None,
    before: datetime | None = None,
) -> int:
    """Erase the contents of the tasks that meet all conditions; their metrics stay.

    Args:
        store_url: URL of the store.
        organization_id: Organization of the tasks.
        actor: Name of the user, for the audit log.
        task_id: Id of the task.
        user_id: User of the tasks.
        agent_id: Agent of the tasks.
        before: End of their times of creation, exclusive.

    Returns:
        Number of erased tasks.

    Raises:
        ValueError: No condition is set.
        StoreError: The store cannot be opened.
        StoreUnavailable: The store is locked or unreachable at present. Tasks that were erased before stay erased.
    """
    selection = ErasureSelection(
        organization_id=organization_id,
        task_id=task_id,
        user_id=user_id,
        agent_id=agent_id,
        before=_microseconds(before),
    )
    with closing(Store(store_url)) as store:
        return store.erase(selection, actor=actor, now=now())


def read_audit_log(store_url: str, organization_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the latest entries of an organization's audit log, newest first, with times as text.

    Raises:
        StoreError: The store cannot be opened.
        StoreUnavailable: The store is locked or unreachable at present.
    """
    with closing(Store(store_url)) as store:
        entries = store.audit_log(organization_id, limit)
    return [
        {
            "at": format_timestamp(entry["at"]),
            "actor": entry["actor"],
            "action": entry["action"],
            "details": {
                name: format_timestamp(value) if name == "before" else value for name, value in entry["details"].items()
            },
        }
        for entry in entries
    ]


def _microseconds(time: datetime | None) -> int | None:
    return None if time is None else parse_timestamp(time.isoformat())
