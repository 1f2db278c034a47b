"""Statements that both halves of the outbox's file use: the queue and the books."""

import sqlite3
from collections.abc import Sequence

from xpander_sdk.outbox.storage.models import Destination

COLUMNS = "seq, target, task_id, agent_id, reported_at, accepted_at, body"
_DROPPED_KEPT = 100_000


def select_destinations(connection: sqlite3.Connection, where: str = "", *values: object) -> list[Destination]:
    rows = connection.execute(
        f"SELECT id, base_url, organization_id, credentials, failures, next_at, trouble FROM targets {where}", values
    )
    return [Destination(number, url, organization_id or None, *rest) for number, url, organization_id, *rest in rows]


def delete(connection: sqlite3.Connection, table: str, seqs: Sequence[int]) -> int:
    if not seqs:
        return 0
    return connection.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in seqs]).rowcount


def drop(connection: sqlite3.Connection, seqs: Sequence[int], reason: str) -> None:
    # Or ignore: a signal handler that found the outbox full while room was made may have dropped them meanwhile.
    connection.executemany("INSERT OR IGNORE INTO dropped VALUES (?, ?)", [(seq, reason) for seq in seqs])
    oldest = connection.execute(
        "SELECT seq FROM dropped ORDER BY seq DESC LIMIT 1 OFFSET ?", (_DROPPED_KEPT,)
    ).fetchone()
    if oldest is not None:
        connection.execute("DELETE FROM dropped WHERE seq <= ?", oldest)
        connection.execute("UPDATE books SET forgotten = max(forgotten, ?)", oldest)
