"""Statements that a commit of reports executes for many rows.

SQLAlchemy compiles each statement once for each dialect, and the driver gets the rows without any processing: the
processing that SQLAlchemy does for each value takes longer than the driver needs to write it.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Update

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
