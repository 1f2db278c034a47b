"""Transactions on a database, independent of its backend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, exc

from xpander_server.store.engine.errors import StoreError, StoreUnavailable, driver_message
from xpander_server.store.engine.locks import ReadWriteGate

T = TypeVar("T")


class Backend(Protocol):
    """Interface to what SQLite and PostgreSQL do differently.

    Attributes:
        engine: SQLAlchemy's engine.
        one_writer: Whether the database allows one writing transaction at a time.
    """

    engine: Engine
    one_writer: bool

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction.

        A transaction that reads sees the state of one point in time. A transaction that writes sees everything that was
        committed before it.
        """

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        """Return whether the transaction may succeed if it is repeated immediately."""
        ...

    def close(self) -> None:
        """Close all connections; the next transaction opens a new one."""


class Database:
    """Database that runs functions in transactions. Threads may share it; each process opens its own."""

    _ATTEMPTS = 5

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Insert many rows with one statement instead of one statement for each row.
        backend.engine.dialect.use_insertmanyvalues_wo_returning = True
        self._gate = ReadWriteGate(one_writer=backend.one_writer)
        self._is_closed = False

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect: "sqlite" or "postgresql"."""
        return self._backend.engine.dialect.name

    def read(self, call: Callable[[Connection], T]) -> T:
        """Run `call` in a transaction that sees the state of one point in time, and return its result.

        Raises:
            StoreUnavailable: The database was locked for too long, its disk is full, or it does not respond.
        """
        with self._gate.read(), self._unpooled_if_closed():
            return self._transaction(call, writes=False)

    def write(self, call: Callable[[Connection], T]) -> T:
        """Run `call` in a transaction, commit it, and return the result of `call`.

        If the transaction loses against a concurrent one, it is rolled back and `call` runs again, up to 5 times.

        Raises:
            StoreUnavailable: The database was locked for too long, its disk is full, or it does not respond.
        """
        with self._gate.write(), self._unpooled_if_closed():
            return self._transaction(call, writes=True)

    def _transaction(self, call: Callable[[Connection], T], *, writes: bool) -> T:
        for attempt in range(1, self._ATTEMPTS + 1):
            try:
                with self._backend.engine.connect() as connection:
                    self._backend.begin(connection, writes=writes)
                    result = call(connection)
                    connection.commit()
                    return result
            except exc.DBAPIError as error:
                if attempt < self._ATTEMPTS and self._backend.is_retryable(error):
                    continue
                if isinstance(error, exc.OperationalError) or error.connection_invalidated:
                    raise StoreUnavailable(driver_message(error)) from error
                raise
            except exc.TimeoutError as error:
                raise StoreUnavailable("all connections to the database are in use") from error
        raise AssertionError("unreachable")

    def pause(self) -> None:
        """Close the database once all transactions have ended; new ones wait until `resume`."""
        self._gate.close()
        self._backend.close()

    def resume(self) -> None:
        """Let transactions begin again."""
        self._gate.open()

    def close(self) -> None:
        """Close all connections; one that is in use, or is opened later, is closed at the end of its transaction."""
        self._is_closed = True
        self._close_idle_connections()

    @contextmanager
    def _unpooled_if_closed(self) -> Iterator[None]:
        try:
            yield
        finally:
            # `close` sets the flag before it closes the idle connections. So whichever thread is later, the one that
            # closes or the one that has returned its connection to the pool, closes this connection.
            if self._is_closed:
                self._close_idle_connections()

    def _close_idle_connections(self) -> None:
        # Engine.dispose would replace the pool, and connections in use would return to the old one and stay open.
        self._backend.engine.pool.dispose()


def open_database(url: str) -> Database:
    """Return the database at a URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/name`.

    Raises:
        StoreError: The URL is invalid, or names an unsupported kind of database.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from xpander_server.store.engine.sqlite import Sqlite

        return Database(Sqlite(url))
    if scheme in ("postgresql", "postgresql+psycopg"):
        from xpander_server.store.engine.postgresql import Postgresql

        return Database(Postgresql(url))
    raise StoreError(
        f"{url.partition('@')[2] or url!r} is not the URL of a store: "
        "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    )
