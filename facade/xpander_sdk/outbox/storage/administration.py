"""Changes to whole destinations: their reports are discarded, or moved to another destination."""

import sqlite3
import time
from collections.abc import Iterable, Iterator

from xpander_sdk.outbox.storage import sql
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import DestinationKey
from xpander_sdk.outbox.storage.stats import execute_for_each, record_drops

_ROWS_PER_TRANSACTION = 5_000  # Other processes wait while a transaction is open.


class Administration:
    """Pending reports and dead letters by destination. Safe to share between threads.

    Reports that a process is sending stay at their destination.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def owners(self) -> list[str]:
        """Return the identifiers of all processes that have a lease."""
        return [owner for (owner,) in self._database.fetch(sql.OWNERS)]

    def record_error(self, error: str) -> None:
        """Store the last error of all destinations with pending reports, without a wait."""
        self._database.fetch(sql.RECORD_ERROR, {"error": error})

    def discard(self, destination_ids: Iterable[int]) -> int:
        """Delete all reports and dead letters of destinations, count them as dropped, and return their number."""
        count = 0
        for destination_id in destination_ids:
            for select, delete in (
                (sql.REPORTS_WITHOUT_LEASE_OF, sql.DELETE_REPORT),
                (sql.DEAD_LETTERS_OF, sql.DELETE_DEAD_LETTER),
            ):
                for connection, seqs in self._transactions(destination_id, select):
                    count += execute_for_each(connection, delete, seqs)
                    record_drops(connection, seqs, "discarded")
        return count

    def move(self, destination_ids: Iterable[int], key: DestinationKey) -> int:
        """Assign all reports and dead letters of destinations to another one, and return their number."""
        base_url, organization_id, credentials = key
        parameters = {"base_url": base_url, "organization_id": organization_id, "credentials": credentials}
        with self._database.transaction() as connection:
            connection.execute(sql.ADD_DESTINATION, parameters)
            (new_id,) = connection.execute(sql.DESTINATION_ID, parameters).fetchone()
        count = 0
        for destination_id in destination_ids:
            if destination_id == new_id:
                continue
            for select, update in (
                (sql.REPORTS_WITHOUT_LEASE_OF, sql.MOVE_REPORT),
                (sql.DEAD_LETTERS_OF, sql.MOVE_DEAD_LETTER),
            ):
                for connection, seqs in self._transactions(destination_id, select):
                    connection.executemany(update, [{"seq": seq, "destination_id": new_id} for seq in seqs])
                    count += len(seqs)
        return count

    def _transactions(self, destination_id: int, select: str) -> Iterator[tuple[sqlite3.Connection, list[int]]]:
        """Yield a connection with an open transaction and sequence numbers of the destination, until none is left.

        The caller must remove the rows of these numbers from the destination.
        """
        is_last = False
        while not is_last:
            parameters = {
                "destination_id": destination_id, "now": time.time_ns() // 1_000, "limit": _ROWS_PER_TRANSACTION,
            }  # fmt: skip
            with self._database.transaction() as connection:
                seqs = [seq for (seq,) in connection.execute(select, parameters)]
                is_last = len(seqs) < _ROWS_PER_TRANSACTION
                yield connection, seqs
                connection.execute(sql.DELETE_LEASES_WITHOUT_REPORTS_OF, parameters)
                if is_last:
                    connection.execute(sql.RESET_DESTINATION, parameters)
