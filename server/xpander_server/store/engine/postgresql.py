"""PostgreSQL, and databases that speak its protocol."""

from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from xpander_server.store.engine.errors import StoreError
from xpander_server.store.engine.locks import BUSY_SECONDS

_MAX_CONNECTIONS = 20  # of one process
# Serialization failure, deadlock, and unique violation: a concurrent transaction inserted the same task or rollup.
_CONCURRENCY_ERRORS = frozenset({"40001", "40P01", "23505"})


class Postgresql:
    """Backend for PostgreSQL; implements `database.Backend`."""

    one_writer = False

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise StoreError("A PostgreSQL store needs psycopg: pip install 'xpander-report[postgres]'") from None
        try:
            parsed = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            raise StoreError("The URL of a PostgreSQL store is postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
        if not parsed.database:
            raise StoreError("The URL must name a database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        self._level = psycopg.IsolationLevel
        self.engine = create_engine(
            parsed,
            hide_parameters=True,
            paramstyle="format",
            pool_size=_MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"connect_timeout": BUSY_SECONDS, "application_name": "xpander-report"},
        )
        event.listen(self.engine, "connect", _set_up_connection)

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Set the options of the BEGIN that the driver sends before the first statement."""
        driver: Any = connection.connection.driver_connection
        driver.read_only = not writes
        driver.isolation_level = self._level.READ_COMMITTED if writes else self._level.REPEATABLE_READ

    def is_retryable(self, error: DBAPIError) -> bool:
        """Return whether the connection was lost, or a concurrent transaction won."""
        # The driver notices only at the next statement that the server has closed a connection. Repeating a commit
        # whose result is unknown is safe: merging a report a second time changes nothing.
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _CONCURRENCY_ERRORS

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _set_up_connection(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    connection.execute("SET jit = off")  # the queries run for less time than their compilation
    connection.autocommit = False
