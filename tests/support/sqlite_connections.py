"""Warnings about SQLite connections that are never closed, in all versions of Python, with the test that opened them.

Python itself warns from version 3.13 on. It warns when the connection is garbage-collected, often in a later test.
"""

import os
import sqlite3
import warnings
from typing import Any

_connect = sqlite3.connect


class _WatchedConnection(sqlite3.Connection):
    _opened_by: str | None = None

    def close(self) -> None:
        self._opened_by = None
        super().close()

    def __del__(self) -> None:
        if self._opened_by is not None:
            opened_by = self._opened_by
            self.close()
            warnings.warn(f"a SQLite connection was not closed, opened by {opened_by}", ResourceWarning, stacklevel=1)


def _connect_watched(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
    connection = _connect(database, *arguments, **{"factory": _WatchedConnection, **options})
    if isinstance(connection, _WatchedConnection):
        connection._opened_by = f"{os.environ.get('PYTEST_CURRENT_TEST', 'no test')}: {database}"
    return connection


def watch_connections() -> None:
    """Let every connection that is opened from now on warn if it is not closed."""
    sqlite3.connect = sqlite3.dbapi2.connect = _connect_watched  # type: ignore[assignment]
