"""Statements that a commit of reports executes for many rows.

SQLAlchemy compiles each statement once for each dialect, and the driver gets the rows without any processing: the
processing that SQLAlchemy does for each value takes longer than the driver needs to write it.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Insert, String, Table, Update

Row = Sequence[Any]
KEY_PREFIX = "key_"
"""Prefix of the parameters in the WHERE clause of an update: `key_id` is compared with the column `id`."""


class BulkStatement:
    """INSERT or UPDATE that is executed with many rows (`executemany`).

    Args:
        statement: The statement. Its parameters have the names of the columns, in a WHERE clause with `KEY_PREFIX`.
        columns: The names of the values in each row, in their order. An UPDATE sets those of its own `values` only:
            to set a column of the key to its own value is an error in a distributed database.
    """

    def __init__(self, statement: Insert | Update, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute the statement for each row; the values must have the types that the driver accepts."""
        if rows:
            sql, select_parameters = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect)
            connection.exec_driver_sql(sql, [select_parameters(row) for row in rows])

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        """Return the SQL for a dialect, and a function that puts the values of a row in the order of its parameters."""
        columns = self._columns if isinstance(self._statement, Insert) else None
        compiled = self._statement.compile(dialect=dialect, column_keys=columns)
        positions = [self._columns.index(name.removeprefix(KEY_PREFIX)) for name in compiled.positiontup or ()]
        result = self._compiled[dialect.name] = str(compiled), itemgetter(*positions)
        return result


class ConflictFreeInsert:
    """INSERT of many rows into a table, which leaves out rows whose primary key exists. For PostgreSQL only.

    One statement gets an array for each column: this is faster than one message for each row, and returns which rows
    were inserted.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._sql: str | None = None

    def execute(self, connection: Connection, rows: Sequence[Row]) -> set[Any]:
        """Insert rows with values for all columns, and return the primary keys of those that were inserted."""
        if self._sql is None:
            self._sql = self._compile(connection.dialect)
        columns = [list(values) for values in zip(*rows, strict=True)]
        result = connection.exec_driver_sql(self._sql, tuple(columns))
        return set(driver_rows(result))

    def _compile(self, dialect: Dialect) -> str:
        quote = dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in self._table.columns)
        # text instead of varchar(255): a cast to varchar(255) would silently shorten a value.
        types = ("text" if isinstance(c.type, String) else c.type.compile(dialect) for c in self._table.columns)
        # %b: in the text form, each quote of a JSON text would be escaped twice by a slow function.
        arrays = ", ".join(f"%b::{name}[]" for name in types)
        key = ", ".join(quote(column.name) for column in self._table.primary_key)
        table = quote(self._table.name)
        return f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING RETURNING {key}"  # noqa: S608 - names of the schema


def key_parameters(keys: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the parameters of a query for some rows, for each organization: its name, and the sorted ids.

    Args:
        keys: The organization and the id of each row.
    """
    ids_by_organization: dict[str, list[str]] = {}
    for organization_id, key_id in sorted(keys):
        ids_by_organization.setdefault(organization_id, []).append(key_id)
    return [{"key_organization_id": name, "key_ids": ids} for name, ids in ids_by_organization.items()]


def driver_rows(result: CursorResult[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a result as the driver's tuples; SQLAlchemy's rows would cost more."""
    cursor = result.cursor
    assert cursor is not None  # the statement returns rows
    return list(cursor.fetchall())
