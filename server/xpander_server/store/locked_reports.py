"""Reports of tasks that another transaction has locked, such as one of a server that is frozen.

They wait here and are repeated on their own, so that they do not delay the reports of other tasks.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from xpander_server.store.commit import Submission, TaskKey
from xpander_server.store.engine.errors import RowLocked

RETRY_SECONDS = 0.2
"""Time between two attempts."""
GIVE_UP_SECONDS = 10.0
"""Time after which a report fails with `RowLocked`."""
MAX_COUNT = 1_000
"""Largest number of reports."""
MAX_SIZE = 16_000_000
"""Number of characters of reports from which no further one is added."""


class _HasSubmission(Protocol):
    @property
    def submission(self) -> Submission: ...


E = TypeVar("E", bound=_HasSubmission)
O = TypeVar("O")  # noqa: E741 - the outcome of a report


class LockedReports(Generic[E]):
    """Queue of reports whose tasks are locked. One thread uses it; others may read its length."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, E]] = deque()  # with the time at which the report fails
        self._keys: set[TaskKey] = set()
        self._size = 0
        self._next_attempt = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def timeout(self) -> float | None:
        """Seconds until the next attempt; None without a report."""
        return max(0.0, self._next_attempt - time.monotonic()) if self._waiting else None

    def contains(self, key: TaskKey) -> bool:
        """Return whether a report of the task waits; later reports of the task must wait as well."""
        return key in self._keys

    def add(self, entry: E) -> bool:
        """Add a report; return False if too many wait."""
        if len(self._waiting) >= MAX_COUNT or self._size >= MAX_SIZE:
            return False
        now = time.monotonic()
        if not self._waiting:
            self._next_attempt = now + RETRY_SECONDS
        self._put(now + GIVE_UP_SECONDS, entry)
        return True

    def _put(self, deadline: float, entry: E) -> None:
        self._waiting.append((deadline, entry))
        self._keys.add(entry.submission.key)
        self._size += entry.submission.size

    def retry(
        self, commit: Callable[[Sequence[Submission]], Sequence[O]], *, is_last: bool = False
    ) -> list[tuple[E, O | RowLocked]]:
        """Repeat the reports if it is time, and return those that are done, with their outcomes.

        The first commit has one report, and each further one twice as many, up to a commit of locked reports only. So
        an attempt is short while all tasks stay locked.

        Args:
            commit: Function that commits reports without waiting for locks, and returns an outcome for each.
            is_last: Whether this is the last attempt: reports that are still locked then fail.
        """
        now = time.monotonic()
        if not self._waiting or (now < self._next_attempt and not is_last):
            return []
        waiting, self._waiting = self._waiting, deque()
        self._keys.clear()
        self._size = 0
        done: list[tuple[E, O | RowLocked]] = []
        still_locked: list[tuple[float, E]] = []
        size = 1
        while waiting and size:
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            outcomes = commit([entry.submission for _, entry in batch])
            for item, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, RowLocked):
                    still_locked.append(item)
                else:
                    done.append((item[1], outcome))
            size = 0 if all(isinstance(outcome, RowLocked) for outcome in outcomes) else 2 * size
        # The next attempt begins with the reports that this one has not reached.
        for deadline, entry in (*waiting, *still_locked):
            if is_last or deadline <= now:
                done.append((entry, RowLocked("another transaction has locked the task")))
            else:
                self._put(deadline, entry)
        self._next_attempt = time.monotonic() + RETRY_SECONDS
        return done
