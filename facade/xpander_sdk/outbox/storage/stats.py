"""The books of the outbox, and its dead letters."""

import sqlite3
from collections.abc import Callable, Sequence

from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import DeadLetter, OutboxStats
from xpander_sdk.outbox.storage.sql import COLUMNS, delete, drop, select_destinations


class Books:
    """What the file says of itself. Each method is one transaction. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stats(self) -> OutboxStats:
        names = ("accepted", "delivered", "merged", "pending", "dead", "pending_bytes", "dead_bytes")

        def look(connection: sqlite3.Connection) -> OutboxStats:
            # One statement, so that what is said balances; no transaction, which would hold up who writes.
            rows = connection.execute(
                f"SELECT {', '.join(names)}, reason, amount FROM books LEFT JOIN drops ORDER BY reason"
            ).fetchall()
            oldest = connection.execute("SELECT accepted_at FROM reports ORDER BY seq LIMIT 1").fetchone()
            return OutboxStats(
                **dict(zip(names, rows[0], strict=False)),
                dropped={reason: amount for *_, reason, amount in rows if reason is not None},
                oldest=oldest and oldest[0],
                targets=select_destinations(connection),
            )

        return self._database.do(look)

    def dead_letters(self, limit: int = -1) -> list[DeadLetter]:
        """Newest first; -1 for all."""

        def look(connection: sqlite3.Connection) -> list[DeadLetter]:
            rows = connection.execute(
                "SELECT seq, base_url, agent_id, task_id, accepted_at, died_at, status, answer, body"
                " FROM dead JOIN targets ON targets.id = dead.target ORDER BY seq DESC LIMIT ?",
                (limit,),
            )
            names = ("seq", "base_url", "agent_id", "task_id", "accepted_at", "died_at", "status", "answer", "body")
            return [DeadLetter(**dict(zip(names, row, strict=True))) for row in rows]

        return self._database.do(look)

    def state(self, seq: int) -> str:
        """What became of a report: "pending", "delivered", "dead", "dropped", or "unknown"."""

        def look(connection: sqlite3.Connection) -> str:
            (found,) = connection.execute(
                "SELECT CASE WHEN EXISTS (SELECT 1 FROM reports WHERE seq = ?1) THEN 'pending'"
                " WHEN EXISTS (SELECT 1 FROM dead WHERE seq = ?1) THEN 'dead'"
                " WHEN EXISTS (SELECT 1 FROM dropped WHERE seq = ?1) THEN 'dropped'"
                " WHEN ?1 <= (SELECT forgotten FROM books) OR ?1 >= (SELECT next_seq FROM books) THEN 'unknown'"
                " ELSE 'delivered' END",
                (seq,),
            ).fetchone()
            return str(found)

        return self._database.do(look)

    def revive(self, seqs: Sequence[int] | None = None) -> int:
        """Let dead letters be delivered again: all of them, or these. Returns how many."""
        return self._take_from_dead(seqs, lambda connection, seq: self._revive_one(connection, seq))

    def _revive_one(self, connection: sqlite3.Connection, seq: int) -> None:
        connection.execute(f"INSERT INTO reports SELECT {COLUMNS} FROM dead WHERE seq = ?", (seq,))
        connection.execute("UPDATE books SET accepted = accepted - 1")  # it was, once

    def discard(self, seqs: Sequence[int] | None = None) -> int:
        """Give dead letters up: all of them, or these. Returns how many."""
        return self._take_from_dead(seqs, lambda connection, seq: drop(connection, [seq], "discarded"))

    def _take_from_dead(self, seqs: Sequence[int] | None, then: Callable[[sqlite3.Connection, int], None]) -> int:
        with self._database.transaction() as connection:
            there = [seq for (seq,) in connection.execute("SELECT seq FROM dead ORDER BY seq")]
            chosen = there if seqs is None else sorted(set(seqs) & set(there))
            for seq in chosen:
                then(connection, seq)
            delete(connection, "dead", chosen)
        return len(chosen)
