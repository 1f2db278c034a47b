"""Statements that a commit of reports executes for many rows.

SQLAlchemy compiles each statement once for each dialect, and the driver gets the rows without any processing: the
processing that SQLAlchemy does for each value takes longer than the driver needs to write it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Insert, String, Table, Update

from xpander_server.json_text import as_text

Row = Sequence[Any]
_MAX_ROWS = 64  # of one INSERT in SQLite
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
            values = [select_parameters(row) for row in rows]
            # `executemany` begins a pipeline on PostgreSQL, which costs more than it saves for one row.
            connection.exec_driver_sql(sql, values if len(values) > 1 else values[0])

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        """Return the SQL for a dialect, and a function that puts the values of a row in the order of its parameters."""
        columns = self._columns if isinstance(self._statement, Insert) else None
        compiled = self._statement.compile(dialect=dialect, column_keys=columns)
        positions = [self._columns.index(name.removeprefix(KEY_PREFIX)) for name in compiled.positiontup or ()]
        result = self._compiled[dialect.name] = str(compiled), itemgetter(*positions)
        return result


class BulkInsert:
    """INSERT of many rows into a table. A row whose primary key exists is left out, or replaces some of its values.

    On PostgreSQL, one statement gets all rows as one JSON text, and returns which rows were inserted. This is faster
    than one message for each row, and the driver has one value to process instead of one for each column.

    On SQLite, a statement has 1, 2, 4, … or 64 rows. The driver releases the interpreter lock for each statement, or
    with `executemany` for each row, and a busy event loop returns it late. The few sizes are compiled once.

    The values are texts, numbers, booleans and None; the value of a column with JSON is its text.

    Args:
        table: The table.
        replaced: Names of the columns whose values an existing row gets. Default: none, so it is left out.
    """

    def __init__(self, table: Table, *, replaced: Sequence[str] = ()) -> None:
        self._table = table
        self._replaced = replaced
        self._sql: dict[tuple[str, int], str] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert rows with values for all columns."""
        if rows and connection.dialect.name != "sqlite":
            self._insert_at_once(connection, rows).close()
            return
        while rows:
            count = min(_MAX_ROWS, 1 << (len(rows).bit_length() - 1))
            values = tuple(chain.from_iterable(rows[:count]))
            connection.exec_driver_sql(self._sql_for(connection.dialect, count), values)
            rows = rows[count:]

    def execute_returning(self, connection: Connection, rows: Sequence[Row]) -> set[Any]:
        """Insert rows on PostgreSQL, and return the primary keys of those that were inserted."""
        return set(driver_rows(self._insert_at_once(connection, rows)))

    def _insert_at_once(self, connection: Connection, rows: Sequence[Row]) -> CursorResult[Any]:
        names = self._table.columns.keys()
        present = [
            {name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows
        ]  # a column that a row leaves out is NULL
        return connection.exec_driver_sql(self._sql_for(connection.dialect), (as_text(present),))

    def _sql_for(self, dialect: Dialect, count: int = 1) -> str:
        sql = self._sql.get((dialect.name, count))
        if sql is None:
            sql = self._sql[dialect.name, count] = self._compile(dialect, count)
        return sql

    def _compile(self, dialect: Dialect, count: int) -> str:
        quote = dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in self._table.columns)
        key = ", ".join(quote(column.name) for column in self._table.primary_key)
        values = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in self._replaced)
        conflict = f"ON CONFLICT ({key}) DO UPDATE SET {values}" if values else "ON CONFLICT DO NOTHING"
        insert = f"INSERT INTO {quote(self._table.name)} ({columns})"
        if dialect.name == "sqlite":
            row = f"({', '.join('?' * len(self._table.columns))})"
            return f"{insert} VALUES {', '.join([row] * count)} {conflict}"
        # text instead of varchar(255): a cast to varchar(255) would silently shorten a value.
        types = ("text" if isinstance(c.type, String) else c.type.compile(dialect) for c in self._table.columns)
        definitions = ", ".join(f"{quote(c.name)} {name}" for c, name in zip(self._table.columns, types, strict=True))
        return (
            # %b: in the text form, each quote would be escaped by a slow function.
            f"{insert} SELECT {columns} FROM json_to_recordset(%b::json) AS new_rows({definitions}) "  # noqa: S608 - names of the schema
            f"{conflict} RETURNING {key}"
        )


class IdQuery:
    """Query that returns which ids of an organization each of some tables contains.

    Args:
        *tables: Tables with the columns `organization_id` and `id`.
    """

    def __init__(self, *tables: Table) -> None:
        self._count = len(tables)
        select = " UNION ALL ".join(
            f"SELECT {position}, id FROM {table.name} WHERE organization_id = {{}} AND id {{}}"  # noqa: S608 - names of the schema
            for position, table in enumerate(tables)
        )
        self._for_sqlite = select.format(*["?", "IN (SELECT value FROM json_each(?))"] * self._count)
        self._for_postgresql = select.format(*["%s", "= ANY(%s)"] * self._count)

    def execute(self, connection: Connection, keys: Iterable[tuple[str, str]]) -> list[set[tuple[str, str]]]:
        """Return for each table those of the keys, each an organization and an id, that it contains."""
        found: list[set[tuple[str, str]]] = [set() for _ in range(self._count)]
        is_sqlite = connection.dialect.name == "sqlite"
        sql = self._for_sqlite if is_sqlite else self._for_postgresql
        for parameters in key_parameters(keys):
            organization_id, ids = parameters["key_organization_id"], parameters["key_ids"]
            values = (organization_id, as_text(ids) if is_sqlite else ids) * self._count
            for position, found_id in driver_rows(connection.exec_driver_sql(sql, values)):
                found[position].add((organization_id, found_id))
        return found


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
