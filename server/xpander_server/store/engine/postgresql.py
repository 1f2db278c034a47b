"""PostgreSQL, and what speaks its protocol."""

from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from xpander_server.store.engine.errors import StoreError
from xpander_server.store.engine.locks import BUSY_SECONDS

_CONNECTIONS = 20  # of one process, at the most
# Serialization failure; deadlock; another process was the first to insert a task or a rollup.
_LOST_AGAINST_ANOTHER = frozenset({"40001", "40P01", "23505"})


class Postgresql:
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
            raise StoreError("The URL names no database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        self._level = psycopg.IsolationLevel
        self.engine = create_engine(
            parsed,
            hide_parameters=True,
            paramstyle="format",
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"connect_timeout": BUSY_SECONDS, "application_name": "xpander-report"},
        )
        event.listen(self.engine, "connect", _set_up_connection)

    def begin(self, connection: Connection, *, writes: bool) -> None:
        # What the driver's BEGIN will say.
        driver: Any = connection.connection.driver_connection
        driver.read_only = not writes
        driver.isolation_level = self._level.READ_COMMITTED if writes else self._level.REPEATABLE_READ

    def may_pass(self, error: DBAPIError) -> bool:
        # A connection that the server closed long ago is only noticed when it is used. To repeat a commit of which
        # nothing is known does no harm: a report that was merged changes nothing when it comes again.
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _LOST_AGAINST_ANOTHER

    def close(self) -> None:
        self.engine.dispose()


def _set_up_connection(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    connection.execute("SET jit = off")  # our queries are short
    connection.autocommit = False
