"""Statements that SQLAlchemy has for each dialect separately."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_into(table: Table, connection: Connection) -> "sqlite.Insert | postgresql.Insert":
    """Return an INSERT into a table that can have ON CONFLICT, for the database of a connection."""
    # Imported here: the dialect of PostgreSQL takes a tenth of the start of a program with an embedded SQLite file.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

        return insert_into_sqlite(table)
    from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql

    return insert_into_postgresql(table)
