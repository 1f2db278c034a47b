"""Counters and dead letters of an outbox file."""

import sqlite3
from collections.abc import Callable, Sequence

from xpander_sdk.outbox.storage import sql
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats

_COUNTERS = ("accepted", "delivered", "merged", "pending", "dead", "pending_bytes", "dead_bytes")
_LETTER_FIELDS = ("seq", "base_url", "agent_id", "task_id", "accepted_at", "died_at", "status", "error", "body")
_REMEMBERED_DROPS = 100_000


class Counters:
    """Numbers of reports by state, and the state of one report. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stats(self) -> OutboxStats:
        """Return all counters. No transaction is necessary, which would block writers."""
        rows = self._database.fetch(sql.STATS)
        oldest = self._database.fetch(sql.OLDEST_ACCEPTED_AT)
        return OutboxStats(
            **dict(zip(_COUNTERS, rows[0], strict=False)),
            dropped={reason: reports for *_, reason, reports in rows if reason is not None},
            oldest=oldest[0][0] if oldest else None,
            destinations=[Destination(*row) for row in self._database.fetch(sql.DESTINATIONS)],
        )

    def report_state(self, seq: int) -> str:
        """Return the state of a report: "pending", "delivered", "dead", "dropped" or "unknown"."""
        ((state,),) = self._database.fetch(sql.REPORT_STATE, {"seq": seq})
        return str(state)


class DeadLetters:
    """Reports that a backend rejected permanently. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, limit: int = -1) -> list[DeadLetter]:
        """Return at most `limit` dead letters, newest first; -1 for all of them."""
        rows = self._database.fetch(sql.DEAD_LETTERS, {"limit": limit})
        return [DeadLetter(**dict(zip(_LETTER_FIELDS, row, strict=True))) for row in rows]

    def revive(self, seqs: Sequence[int] | None = None) -> int:
        """Move dead letters back to the queue and return their number.

        Args:
            seqs: Sequence numbers; unknown ones are ignored. Default: all dead letters.
        """
        return self._remove(seqs, _move_to_reports)

    def discard(self, seqs: Sequence[int] | None = None) -> int:
        """Delete dead letters, count them as dropped, and return their number.

        Args:
            seqs: Sequence numbers; unknown ones are ignored. Default: all dead letters.
        """
        return self._remove(seqs, lambda connection, seq: record_drops(connection, [seq], "discarded"))

    def _remove(self, seqs: Sequence[int] | None, before: Callable[[sqlite3.Connection, int], None]) -> int:
        with self._database.transaction() as connection:
            existing = [seq for (seq,) in connection.execute(sql.DEAD_LETTER_SEQS)]
            chosen = existing if seqs is None else sorted(set(seqs) & set(existing))
            for seq in chosen:
                before(connection, seq)
            execute_for_each(connection, sql.DELETE_DEAD_LETTER, chosen)
        return len(chosen)


def record_drops(connection: sqlite3.Connection, seqs: Sequence[int], reason: str) -> None:
    """Count reports as dropped, and remember the numbers of the latest 100,000."""
    connection.executemany(sql.RECORD_DROP, [{"seq": seq, "reason": reason} for seq in seqs])
    row = connection.execute(sql.NEWEST_DROP_BEYOND, {"limit": _REMEMBERED_DROPS}).fetchone()
    if row is not None:
        connection.execute(sql.FORGET_DROPS, {"seq": row[0]})
        connection.execute(sql.SET_FORGOTTEN, {"seq": row[0]})


def delete_oldest_dead_letters(connection: sqlite3.Connection, max_reports: int, max_bytes: int) -> None:
    """Delete the oldest dead letters until the limits hold; keep at least one."""
    while True:
        dead, dead_bytes = connection.execute(sql.DEAD).fetchone()
        if dead <= 1 or (dead <= max_reports and dead_bytes <= max_bytes):
            return
        (oldest,) = connection.execute(sql.OLDEST_DEAD_LETTER).fetchone()
        execute_for_each(connection, sql.DELETE_DEAD_LETTER, [oldest])
        record_drops(connection, [oldest], "dead letters full")


def execute_for_each(connection: sqlite3.Connection, statement: str, seqs: Sequence[int]) -> int:
    """Execute a statement with the parameter `seq` for each number, and return the number of changed rows."""
    return connection.executemany(statement, [{"seq": seq} for seq in seqs]).rowcount if seqs else 0


def _move_to_reports(connection: sqlite3.Connection, seq: int) -> None:
    connection.execute(sql.MOVE_TO_REPORTS, {"seq": seq})
    connection.execute(sql.UNCOUNT_ACCEPTED)  # The trigger counts the report, which was accepted before.
