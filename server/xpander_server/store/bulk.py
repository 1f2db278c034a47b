"""Statements of the path that every report takes.

SQLAlchemy puts each together, once for each kind of database, and the driver gets the rows as they are: what would be
done to each of them in between costs more than to write it.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Update

Row = Sequence[Any]
ALIAS = "its_"
"""In front of the name of a column that an update looks for."""


class BulkStatement:
    """An insert or an update of whole rows.

    Args:
        statement: its parameters are called like the columns, with `ALIAS` in front where an update looks for them.
        columns: the names of what rows hold, in their order.
    """

    def __init__(self, statement: Insert | Update, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = columns
        self._made: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for each row, whose values are as the driver takes them."""
        if rows:
            text, parameters = self._made.get(connection.dialect.name) or self._make(connection.dialect)
            connection.exec_driver_sql(text, [parameters(row) for row in rows])

    def _make(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        positions = [self._columns.index(name.removeprefix(ALIAS)) for name in compiled.positiontup or ()]
        made = self._made[dialect.name] = str(compiled), itemgetter(*positions)
        return made
