"""Inspection of SQLite files that may come from anybody, before they are used as a store.

A trigger or a view of a foreign file would run with each statement of the server: it could keep a revoked key valid, or
change results. Therefore the file must have exactly the tables and indexes that the migrations create.
"""

import re
import sqlite3
from typing import Any

from sqlalchemy import create_engine

from xpander_server.store.engine.errors import StoreError
from xpander_server.store.schema.migrate import create_schema

_FOREIGN = "the file is not a store of this program"
_MAX_NAMES, _MAX_CHARACTERS = 5, 300
# Without the indexes of primary keys, which have no SQL.
_OBJECTS = "SELECT type, name, sql FROM sqlite_schema WHERE NOT (type = 'index' AND sql IS NULL)"
# The statistics of ANALYZE. Compared with its SQL: SQLite would execute another SQL under this name as well.
_STATISTICS = (("table", "sqlite_stat1"), "createtablesqlite_stat1(tbl,idx,stat)")

Schema = set[tuple[tuple[str, str], str]]
"""Type, name and normalized SQL of each object."""


def check_store(connection: sqlite3.Connection) -> None:
    """Check that a file is a store: its integrity, its revision, its tables and indexes, and that it has nothing else.

    No SQL of the file is executed.

    Args:
        connection: Connection to the file, without a transaction.

    Raises:
        StoreError: The file is damaged, is not a store, or has a newer schema.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    schema = _read_schema(connection) - {_STATISTICS}
    if ("table", "alembic_version") not in dict(schema):
        raise StoreError(_FOREIGN)
    # First, because the following statements may trust the content of a file only if its pages are intact.
    if (result := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
        raise StoreError(f"the file is damaged: {result}")
    expected = _expected_schema(_read_revision(connection))
    if schema != expected:
        foreign, missing = _names(schema - expected), _names(expected - schema)
        raise StoreError(f"{_FOREIGN}: it has {foreign or 'nothing else'}, and lacks {missing or 'nothing'}")


def _names(schema: Schema) -> str:
    names = [" ".join(key) for key, _ in sorted(schema)]
    return ", ".join(names[:_MAX_NAMES])[:_MAX_CHARACTERS]


def _read_revision(connection: sqlite3.Connection) -> str:
    rows = connection.execute("SELECT version_num FROM alembic_version LIMIT 2").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], str):
        raise StoreError(_FOREIGN)
    revision: str = rows[0][0]
    return revision


def _expected_schema(revision: str) -> Schema:
    """Return the schema that the migrations up to a revision create."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            create_schema(connection, revision)
            driver: Any = connection.connection.driver_connection
            return _read_schema(driver)
    finally:
        engine.dispose()


def _read_schema(connection: sqlite3.Connection) -> Schema:
    return {((kind, name), _normalize(sql)) for kind, name, sql in connection.execute(_OBJECTS)}


def _normalize(sql: str | None) -> str:
    # Versions of SQLite and SQLAlchemy differ in spaces and quotes.
    return re.sub(r'[\s"`\[\]]+', "", sql or "").casefold()
