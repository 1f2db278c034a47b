"""Tables of the outbox file, and the migration from earlier versions of the format.

Triggers maintain the counters in the transaction that changes the reports. Therefore every reader sees
accepted = delivered + pending + dead + dropped.

Versions of the file format (`PRAGMA user_version`):

    1  Tables books, drops, targets, turns, dead, dropped.
    2  The same rows under the names below. `create_or_migrate` renames tables and columns in one transaction.

A process that runs code for version 1 cannot damage a file of version 2. It refuses to open the file ("made by a newer
version"). If it had the file open during the migration, its next statement fails ("no such table", "no column named"),
and its caller receives an OutboxError: nothing was stored. A report that it is sending at that time stays in the file,
and another process sends it again after the lease has expired; the backend ignores the repetition.
"""

import re
import secrets
import sqlite3
from collections.abc import Iterator
from functools import cache

VERSION = 2
APPLICATION_ID = 0x78707262  # "xprb"
REPORT_OVERHEAD_BYTES = 250
"""Approximate size of a report in the file beyond its body."""

_TABLES = """
-- One row. forgotten_through_seq: the state of reports up to this number is not known any more.
CREATE TABLE counters (
    salt BLOB NOT NULL, next_seq INTEGER NOT NULL DEFAULT 1, forgotten_through_seq INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0, merged INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0, pending_bytes INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0, dead_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE drop_counts (reason TEXT PRIMARY KEY, reports INTEGER NOT NULL) WITHOUT ROWID;
-- probe_lease_id: the lease that tests whether a destination that failed works again.
CREATE TABLE destinations (
    id INTEGER PRIMARY KEY, base_url TEXT NOT NULL, organization_id TEXT NOT NULL, credentials TEXT NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0, next_attempt_at INTEGER NOT NULL DEFAULT 0, last_error TEXT,
    probe_lease_id TEXT, UNIQUE (base_url, organization_id, credentials)
);
CREATE TABLE reports (
    seq INTEGER PRIMARY KEY, destination_id INTEGER NOT NULL, task_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    reported_at INTEGER NOT NULL, accepted_at INTEGER NOT NULL, body BLOB NOT NULL
);
-- The indexes have their names of version 1: SQLite cannot rename an index without reading the whole table.
CREATE INDEX reports_of_run ON reports (destination_id, task_id);
CREATE INDEX reports_of_target ON reports (destination_id, seq);
-- Delivery state of one run with pending reports: its lease and its retry schedule. A run without a row is due now.
CREATE TABLE leases (
    destination_id INTEGER NOT NULL, task_id TEXT NOT NULL, lease_id TEXT, expires_at INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0, next_attempt_at INTEGER NOT NULL DEFAULT 0,
    isolate_through_seq INTEGER NOT NULL DEFAULT 0, last_error TEXT, PRIMARY KEY (destination_id, task_id)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY, destination_id INTEGER NOT NULL, task_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    reported_at INTEGER NOT NULL, accepted_at INTEGER NOT NULL, body BLOB NOT NULL,
    died_at INTEGER NOT NULL, status INTEGER, error TEXT NOT NULL
);
CREATE TABLE dropped_reports (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""

_TRIGGERS = """
CREATE TRIGGER report_inserted AFTER INSERT ON reports BEGIN
    UPDATE counters SET next_seq = max(next_seq, NEW.seq + 1), accepted = accepted + 1, pending = pending + 1,
        pending_bytes = pending_bytes + length(NEW.body) + OVERHEAD;
END;
CREATE TRIGGER report_deleted AFTER DELETE ON reports BEGIN
    UPDATE counters SET pending = pending - 1, pending_bytes = pending_bytes - length(OLD.body) - OVERHEAD;
END;
CREATE TRIGGER dead_letter_inserted AFTER INSERT ON dead_letters BEGIN
    UPDATE counters SET dead = dead + 1, dead_bytes = dead_bytes + length(NEW.body) + OVERHEAD;
END;
CREATE TRIGGER dead_letter_deleted AFTER DELETE ON dead_letters BEGIN
    UPDATE counters SET dead = dead - 1, dead_bytes = dead_bytes - length(OLD.body) - OVERHEAD;
END;
CREATE TRIGGER report_dropped AFTER INSERT ON dropped_reports BEGIN
    INSERT INTO drop_counts VALUES (NEW.reason, 1) ON CONFLICT DO UPDATE SET reports = reports + 1;
END;
""".replace("OVERHEAD", str(REPORT_OVERHEAD_BYTES))

# The triggers are dropped first: SQLite would otherwise rewrite their text with every rename.
_VERSION_1_TO_2 = """
DROP TRIGGER reports_in;
DROP TRIGGER reports_out;
DROP TRIGGER dead_in;
DROP TRIGGER dead_out;
DROP TRIGGER dropped_in;
ALTER TABLE books RENAME TO counters;
ALTER TABLE counters RENAME COLUMN forgotten TO forgotten_through_seq;
ALTER TABLE drops RENAME TO drop_counts;
ALTER TABLE drop_counts RENAME COLUMN amount TO reports;
ALTER TABLE targets RENAME TO destinations;
ALTER TABLE destinations RENAME COLUMN next_at TO next_attempt_at;
ALTER TABLE destinations RENAME COLUMN trouble TO last_error;
ALTER TABLE destinations RENAME COLUMN holder TO probe_lease_id;
ALTER TABLE reports RENAME COLUMN target TO destination_id;
ALTER TABLE turns RENAME TO leases;
ALTER TABLE leases RENAME COLUMN target TO destination_id;
ALTER TABLE leases RENAME COLUMN holder TO lease_id;
ALTER TABLE leases RENAME COLUMN held_until TO expires_at;
ALTER TABLE leases RENAME COLUMN attempts TO failed_attempts;
ALTER TABLE leases RENAME COLUMN due_at TO next_attempt_at;
ALTER TABLE leases RENAME COLUMN alone_to TO isolate_through_seq;
ALTER TABLE leases RENAME COLUMN trouble TO last_error;
ALTER TABLE dead RENAME TO dead_letters;
ALTER TABLE dead_letters RENAME COLUMN target TO destination_id;
ALTER TABLE dead_letters RENAME COLUMN answer TO error;
ALTER TABLE dropped RENAME TO dropped_reports;
"""


def user_version(connection: sqlite3.Connection) -> int:
    """Return the version of the file format; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def create_or_migrate(connection: sqlite3.Connection) -> list[str]:
    """Create the tables in an empty file, or migrate a file of an earlier version, in one transaction.

    Return the names of foreign objects, as `foreign_objects` does; the file is not changed if there is one.

    A kill at any point leaves the file at its previous version, because the journal undoes the whole transaction. Two
    processes may call this at once: the second one waits for the write lock, and then finds the current version.
    """
    if user_version(connection) == 0 and not _objects(connection):
        _create(connection)
        return foreign_objects(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = user_version(connection)
        if version == 1:
            _execute_script(connection, _VERSION_1_TO_2 + _TRIGGERS)
        foreign = foreign_objects(connection)
        if version < VERSION and not foreign:
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        else:
            connection.execute("ROLLBACK")
        return foreign
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    """Create the tables with one call, which no signal handler of Python can interrupt.

    A handler that submits a report has a connection of its own, which would find the file locked.
    """
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} {_TRIGGERS}"
            f"INSERT INTO counters (salt) VALUES (X'{secrets.token_bytes(16).hex()}');"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if user_version(connection) != VERSION:  # else a handler has created the tables before this call
            raise


def foreign_objects(connection: sqlite3.Connection) -> list[str]:
    """Return the names of tables, indexes, triggers and views that this version of the format does not have.

    An object with the name of a known one, but another definition, is foreign too, and so is a known one that is
    missing. A trigger of somebody else could copy reports, or redirect them.
    """
    objects = _objects(connection)
    return sorted({name for _, name, _ in objects ^ known_objects()})


@cache
def known_objects() -> frozenset[tuple[str, str, str]]:
    """Return type, name and definition of all objects of the current version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _execute_script(connection, _TABLES + _TRIGGERS)
        return _objects(connection)
    finally:
        connection.close()


def _objects(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    """Return type, name and definition of all objects.

    The definitions have no quotes, spaces and comments: those of a migrated file differ from a new one in these only.
    SQLite's own indexes have no definition; its statistics tables may exist.
    """
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite^_stat_' ESCAPE '^'"
    )
    return frozenset((kind, name, re.sub(r'--[^\n]*|["\s]+', "", definition or "")) for kind, name, definition in rows)


def _execute_script(connection: sqlite3.Connection, script: str) -> None:
    # Connection.executescript would commit the transaction first.
    for statement in _statements(script):
        connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
