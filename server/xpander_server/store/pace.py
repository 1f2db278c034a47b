"""Pace of deletions: short transactions with pauses between them, so that reports get half of the time."""

import time
from collections.abc import Callable
from functools import partial

CHUNK = 1_000
"""Largest number of tasks that one transaction deletes."""
_SMALLEST_CHUNK = 50
_CHUNK_SECONDS = 0.05


class Pace:
    """Size of the transactions of a deletion, and the pauses between them.

    While a transaction deletes from a SQLite file, reports wait; so it must be short. The pause after it is as long as
    the transaction.

    Attributes:
        chunk: Number of tasks to delete in the next transaction.
    """

    def __init__(self) -> None:
        self.chunk = CHUNK // 4

    def run(self, delete_chunk: Callable[[], int]) -> int:
        """Run one transaction, pause, and adapt the size of the next one; return the result of the transaction."""
        started_at = time.monotonic()
        count = delete_chunk()
        seconds = time.monotonic() - started_at
        time.sleep(min(seconds, 1.0))
        fitting = round(self.chunk * _CHUNK_SECONDS / max(seconds, 0.001))
        # At most twice as many as before: the time of one transaction may be an exception.
        self.chunk = max(_SMALLEST_CHUNK, min(CHUNK, 2 * self.chunk, fitting))
        return count

    def run_all(self, delete_chunk: Callable[[int], int]) -> int:
        """Run transactions until one deletes fewer tasks than it may, and return the number of all deleted tasks.

        Args:
            delete_chunk: Deletes up to a number of tasks in one transaction, and returns how many.
        """
        total = 0
        while True:
            limit = self.chunk
            count = self.run(partial(delete_chunk, limit))
            total += count
            if count < limit:
                return total
