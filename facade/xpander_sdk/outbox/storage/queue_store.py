"""The outbox's file: a queue in SQLite that processes share.

A report is a row that is inserted once and deleted once; what changes in between (who sends a run, when it is due
again) stands in a small row beside it.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence

from xpander_sdk.errors import OutboxFullError
from xpander_sdk.outbox.policy import MAX_WAIT
from xpander_sdk.outbox.storage.connection import OVERHEAD, Database
from xpander_sdk.outbox.storage.models import Batch, Destination
from xpander_sdk.outbox.storage.sql import COLUMNS, delete, drop, select_destinations
from xpander_sdk.reporting.report import Report

MERGED_REPORTS = 200
MERGED_BYTES = 4_000_000

_FORGET_TURN = """
DELETE FROM turns WHERE target = ? AND task_id = ? AND NOT EXISTS (
    SELECT 1 FROM reports WHERE reports.target = turns.target AND reports.task_id = turns.task_id)
"""


class QueueStore:
    """The queue. Each method is one transaction. Safe to share between threads."""

    def __init__(self, database: Database, clock: Callable[[], int] = lambda: time.time_ns() // 1_000) -> None:
        self.database = database
        self.clock = clock
        self._target_ids: dict[tuple[bytes, str, str, str], int] = {}

    # Reports in

    def put(
        self,
        target: Callable[[bytes], tuple[str, str, str]],
        report: Report,
        *,
        max_reports: int,
        max_bytes: int,
        drop_oldest: bool = False,
    ) -> int:
        """Keep a report, and return its number.

        Args:
            target: what this file, by its salt, calls the target.

        Raises:
            OutboxFullError: there is no room for it; it was not kept.
            OutboxError: the file cannot be written.
        """
        size = len(report.content) + OVERHEAD

        def insert(connection: sqlite3.Connection) -> int | None:
            # One statement, which is a transaction of its own: whoever interrupts this thread finds none half-done.
            cursor = connection.execute(
                "INSERT INTO reports (seq, target, task_id, agent_id, reported_at, accepted_at, body)"
                " SELECT next_seq, ?, ?, ?, ?, ?, ? FROM books WHERE pending < ? AND pending_bytes + ? <= ?",
                (
                    self._target_id(connection, target(self.database.salt)), report.id, report.agent_id,
                    report.reported_at, self.clock(), report.content, max_reports, size, max_bytes,
                ),
            )  # fmt: skip
            return cursor.lastrowid if cursor.rowcount == 1 else None

        self.database.leave_room(size)
        seq = self.database.do(insert)
        if seq is None and drop_oldest and size <= max_bytes:
            with self.database.transaction() as connection:
                self._make_room(connection, max_reports, max_bytes - size)
                seq = insert(connection)
        if seq is None:
            raise OutboxFullError(f"the outbox {self.database.path} is full", report_id=report.id)
        return seq

    def _make_room(self, connection: sqlite3.Connection, max_reports: int, max_bytes: int) -> None:
        """Drop the oldest that nobody sends now, a few more than must be."""
        now = self.clock()
        for _ in range(100):
            pending, taken = connection.execute("SELECT pending, pending_bytes FROM books").fetchone()
            if pending < max_reports and taken <= max_bytes:
                return
            few = max(1, min(50, pending // 10))
            oldest = connection.execute(
                "SELECT seq, target, task_id FROM reports LEFT JOIN turns USING (target, task_id)"
                " WHERE coalesce(held_until, 0) NOT BETWEEN ? AND ? ORDER BY seq LIMIT ?",
                (now + 1, now + MAX_WAIT, few),
            ).fetchall()
            if not oldest:
                return
            delete(connection, "reports", [seq for seq, _, _ in oldest])
            connection.executemany(_FORGET_TURN, [run for _, *run in oldest])
            drop(connection, [seq for seq, _, _ in oldest], "full")

    def _target_id(self, connection: sqlite3.Connection, target: tuple[str, str, str]) -> int:
        known = self._target_ids.get((self.database.salt, *target))
        if known is None:
            connection.execute(
                "INSERT OR IGNORE INTO targets (base_url, organization_id, credentials) VALUES (?, ?, ?)", target
            )
            (known,) = connection.execute(
                "SELECT id FROM targets WHERE base_url = ? AND organization_id = ? AND credentials = ?", target
            ).fetchone()
            self._target_ids[(self.database.salt, *target)] = known
        return known

    # Reports out

    def claim(self, holder: str, targets: Sequence[int], hold: int) -> Batch | None:
        """Take what waits of a run for `hold` microseconds: the oldest that is due at one of the targets, in the order
        given. None where there is nothing."""
        # Each turn has a name of its own: an answer that comes late, when its turn was lost, ends no other turn, not
        # even one that the same holder took since.
        turn = f"{holder}/{uuid.uuid4().hex}"
        with self.database.transaction() as connection:
            now = self.clock()
            for target in targets:
                found = self._claim_of(connection, turn, target, now, hold)
                if found is not None:
                    return found
        return None

    def _claim_of(self, connection: sqlite3.Connection, turn: str, target_id: int, now: int, hold: int) -> Batch | None:
        for target in select_destinations(connection, "WHERE id = ?", target_id):
            if not now < target.next_at <= now + MAX_WAIT:
                return self._claim_at(connection, turn, target, now, hold)
        return None  # it is left alone; or a new file, put in the old one's place, has none of this number

    def _claim_at(
        self, connection: sqlite3.Connection, turn: str, target: Destination, now: int, hold: int
    ) -> Batch | None:
        # By the index that gives the oldest first: to sort all that waits would take the longer the more it is.
        found = connection.execute(
            "SELECT reports.task_id, coalesce(attempts, 0), coalesce(alone_to, 0)"
            " FROM reports INDEXED BY reports_of_target LEFT JOIN turns USING (target, task_id)"
            " WHERE reports.target = ? AND coalesce(held_until, 0) NOT BETWEEN ? AND ?"
            " AND coalesce(due_at, 0) NOT BETWEEN ? AND ?"
            " ORDER BY seq LIMIT 1",
            (target.id, now + 1, now + MAX_WAIT, now + 1, now + MAX_WAIT),
        ).fetchone()
        if found is None:
            return None
        task_id, attempts, alone_to = found
        if target.failures:
            # One at a time, until one goes through.
            connection.execute("UPDATE targets SET next_at = ?, holder = ? WHERE id = ?", (now + hold, turn, target.id))
        connection.execute(
            "INSERT INTO turns (target, task_id, holder, held_until) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until",
            (target.id, task_id, turn, now + hold),
        )
        seqs, reports = self._waiting(connection, target.id, task_id, alone_to)
        (pending,) = connection.execute("SELECT pending FROM books").fetchone()
        return Batch(turn, target, task_id, seqs, reports, attempts, pending - len(seqs))

    def _waiting(
        self, connection: sqlite3.Connection, target_id: int, task_id: str, alone_to: int
    ) -> tuple[list[int], list[Report]]:
        seqs: list[int] = []
        reports: list[Report] = []
        size = 0
        rows = connection.execute(
            "SELECT seq, agent_id, reported_at, body FROM reports WHERE target = ? AND task_id = ?"
            " ORDER BY seq LIMIT ?",
            (target_id, task_id, MERGED_REPORTS),
        )
        for seq, agent_id, reported_at, body in rows:
            size += len(body)
            is_other = reports and (agent_id != reports[0].agent_id or size > MERGED_BYTES)
            if is_other or (reports and seqs[0] <= alone_to):
                break
            seqs.append(seq)
            reports.append(Report(agent_id=agent_id, id=task_id, reported_at=reported_at, content=body))
        return seqs, reports

    def delivered(self, group: Batch) -> None:
        """The backend has it. Nobody else can undo that: it is gone even if the turn was lost meanwhile."""
        with self.database.transaction() as connection:
            gone = delete(connection, "reports", group.seqs)
            connection.execute(
                "UPDATE books SET delivered = delivered + ?, merged = merged + ?", (gone, max(0, gone - 1))
            )
            _end_turn(connection, group)
            _it_answers(connection, group)

    def refused(self, group: Batch, status: int | None, answer: str, *, max_dead: tuple[int, int]) -> bool:
        """The backend refuses it for good: a lone report becomes a dead letter; of several, each will be sent alone.

        Args:
            max_dead: how many dead letters are kept, and how many bytes of them; the oldest go.

        Returns:
            Whether it became a dead letter.
        """
        with self.database.transaction() as connection:
            if not _is_held(connection, group):
                return False
            _it_answers(connection, group)
            if len(group.seqs) > 1:
                connection.execute(
                    "UPDATE turns SET held_until = 0, holder = NULL, alone_to = ? WHERE target = ? AND task_id = ?",
                    (group.seqs[-1], group.target.id, group.task_id),
                )
                return False
            connection.execute(
                f"INSERT INTO dead SELECT {COLUMNS}, ?, ?, ? FROM reports WHERE seq = ?",
                (self.clock(), status, answer, group.seqs[0]),
            )
            delete(connection, "reports", group.seqs)
            _end_turn(connection, group)
            _bound_dead(connection, *max_dead)
        return True

    def put_off(self, group: Batch, trouble: str, *, run_wait: int, target_wait: int | None) -> None:
        """It may go through later.

        Args:
            run_wait: how long the run waits, in microseconds.
            target_wait: how long its target is left alone; None where the target is not to blame.
        """
        with self.database.transaction() as connection:
            now = self.clock()
            connection.execute(
                "UPDATE turns SET held_until = 0, holder = NULL, attempts = attempts + 1, due_at = ?, trouble = ?"
                " WHERE target = ? AND task_id = ? AND holder = ?",
                (now + run_wait, trouble, group.target.id, group.task_id, group.turn),
            )
            if target_wait is None:
                _it_answers(connection, group)
                return
            # Several that failed together are one failure; the longest wait that any of them was asked for holds.
            connection.execute(
                "UPDATE targets SET failures = failures + (failures = ?1), trouble = ?2,"
                " holder = CASE WHEN holder = ?3 THEN NULL ELSE holder END,"
                " next_at = CASE WHEN holder = ?3 OR next_at > ?4 THEN ?5 ELSE max(next_at, ?5) END WHERE id = ?6",
                (group.target.failures, trouble, group.turn, now + MAX_WAIT, now + target_wait, group.target.id),
            )

    def give_back(self, group: Batch) -> None:
        """Nothing came of it; another may take it at once."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE turns SET held_until = 0, holder = NULL WHERE target = ? AND task_id = ? AND holder = ?",
                (group.target.id, group.task_id, group.turn),
            )
            connection.execute(
                "UPDATE targets SET next_at = 0, holder = NULL WHERE id = ? AND holder = ?",
                (group.target.id, group.turn),
            )

    def release(self, holder: str) -> None:
        """Give back what `holder` has taken, so that another may take it at once."""
        its = "holder >= ?1 || '/' AND holder < ?1 || '0'"  # 0 comes next after /
        with self.database.transaction() as connection:
            connection.execute(f"UPDATE turns SET held_until = 0, holder = NULL WHERE {its}", (holder,))
            connection.execute(f"UPDATE targets SET next_at = 0, holder = NULL WHERE {its}", (holder,))

    def hurry(self, targets: Sequence[int]) -> None:
        """End all waits of these targets: they are tried again now."""
        with self.database.transaction() as connection:
            for target in targets:
                # Whoever asks just now whether the target is back may have died.
                connection.execute("UPDATE targets SET next_at = 0, holder = NULL WHERE id = ?", (target,))
                connection.execute("UPDATE turns SET due_at = 0 WHERE target = ?", (target,))

    # Looking

    def next_at(self, targets: Sequence[int]) -> int | None:
        """When something of these targets may be due; None where nothing waits."""

        def look(connection: sqlite3.Connection) -> int | None:
            now = self.clock()
            times = [
                _next_of(connection, target, now) for target in select_destinations(connection) if target.id in targets
            ]
            return min((moment for moment in times if moment is not None), default=None)

        return self.database.do(look)

    def is_held(self, targets: Sequence[int]) -> bool:
        """Whether anyone is sending something to these targets."""
        query = "SELECT 1 FROM turns WHERE target = ? AND held_until BETWEEN ? AND ? LIMIT 1"

        def look(connection: sqlite3.Connection) -> bool:
            now = self.clock()
            return any(connection.execute(query, (each, now + 1, now + MAX_WAIT)).fetchone() for each in targets)

        return self.database.do(look)

    def is_pending(self, seq: int, targets: Sequence[int]) -> bool:
        """Whether any report of these targets waits, up to this number."""
        query = "SELECT 1 FROM reports WHERE target = ? AND seq <= ? LIMIT 1"

        def look(connection: sqlite3.Connection) -> bool:
            return any(connection.execute(query, (target, seq)).fetchone() for target in targets)

        return self.database.do(look)

    def last(self) -> int:
        """The number of the newest report that waits; 0 where none does."""
        return (
            self.database.do(lambda connection: connection.execute("SELECT max(seq) FROM reports").fetchone()[0]) or 0
        )

    def salt(self) -> bytes:
        """What this very file, and no other, mixes into the marks of keys."""
        return self.database.do(lambda connection: self.database.salt)

    def targets(self) -> list[Destination]:
        return self.database.do(select_destinations)


def _next_of(connection: sqlite3.Connection, target: Destination, now: int) -> int | None:
    if connection.execute("SELECT 1 FROM reports WHERE target = ? LIMIT 1", (target.id,)).fetchone() is None:
        return None
    if now < target.next_at <= now + MAX_WAIT:
        return target.next_at
    is_free = connection.execute(
        "SELECT 1 FROM reports LEFT JOIN turns USING (target, task_id)"
        " WHERE reports.target = ? AND turns.task_id IS NULL LIMIT 1",
        (target.id,),
    ).fetchone()
    if is_free:
        return now
    (first,) = connection.execute(
        "SELECT min(max(CASE WHEN held_until BETWEEN ?1 AND ?2 THEN held_until ELSE ?1 END,"
        " CASE WHEN due_at BETWEEN ?1 AND ?2 THEN due_at ELSE ?1 END)) FROM turns WHERE target = ?3"
        " AND EXISTS (SELECT 1 FROM reports WHERE reports.target = ?3 AND reports.task_id = turns.task_id)",
        (now, now + MAX_WAIT, target.id),
    ).fetchone()
    return now if first is None else int(first)


def _bound_dead(connection: sqlite3.Connection, max_reports: int, max_bytes: int) -> None:
    while True:
        dead, taken = connection.execute("SELECT dead, dead_bytes FROM books").fetchone()
        if dead <= 1 or (dead <= max_reports and taken <= max_bytes):
            return
        (oldest,) = connection.execute("SELECT min(seq) FROM dead").fetchone()
        delete(connection, "dead", [oldest])
        drop(connection, [oldest], "dead letters full")


def _it_answers(connection: sqlite3.Connection, group: Batch) -> None:
    if group.target.failures:
        connection.execute(
            "UPDATE targets SET failures = 0, next_at = 0, trouble = NULL, holder = NULL WHERE id = ?",
            (group.target.id,),
        )


def _is_held(connection: sqlite3.Connection, group: Batch) -> bool:
    found = connection.execute(
        "SELECT 1 FROM turns WHERE target = ? AND task_id = ? AND holder = ?",
        (group.target.id, group.task_id, group.turn),
    )
    return found.fetchone() is not None


def _end_turn(connection: sqlite3.Connection, group: Batch) -> None:
    run = (group.target.id, group.task_id)
    connection.execute(
        "UPDATE turns SET held_until = 0, holder = NULL, attempts = 0, due_at = 0"
        " WHERE target = ? AND task_id = ? AND holder = ? AND alone_to > ?",
        (*run, group.turn, group.seqs[-1]),
    )
    connection.execute("DELETE FROM turns WHERE target = ? AND task_id = ? AND holder = ?", (*run, group.turn))
    connection.execute(_FORGET_TURN, run)
