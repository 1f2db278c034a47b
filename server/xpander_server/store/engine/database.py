"""Transactions on a database, independent of its backend."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, exc

from xpander_server.store.engine.availability import Availability
from xpander_server.store.engine.errors import RowLocked, StoreError, StoreUnavailable, driver_message
from xpander_server.store.engine.limits import READ, WRITE, Limits, Watchdog
from xpander_server.store.engine.locks import ReadWriteGate

T = TypeVar("T")

# Errors of a statement, its values or its result; all other errors of a driver come from the database or the network.
_STATEMENT_ERRORS = (exc.IntegrityError, exc.DataError, exc.ProgrammingError)


class Backend(Protocol):
    """Interface to what SQLite and PostgreSQL do differently.

    Attributes:
        engine: SQLAlchemy's engine.
        one_writer: Whether the database allows one writing transaction at a time.
    """

    engine: Engine
    one_writer: bool

    def begin(self, connection: Connection, *, writes: bool, limits: Limits) -> None:
        """Begin a transaction.

        A transaction that reads sees the state of one point in time. A transaction that writes sees everything that was
        committed before it.
        """

    def commit(self, connection: Connection, *, writes: bool) -> None:
        """Commit the transaction durably."""

    def check_writable(self, connection: Connection) -> None:
        """Write something small in a transaction that writes, without any effect on the tables."""

    def interrupt(self, driver: Any) -> None:
        """Make the call in progress on a driver's connection fail, without waiting; called by another thread."""

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        """Return whether the transaction may succeed if it is repeated immediately."""
        ...

    def is_row_locked(self, error: exc.DBAPIError) -> bool:
        """Return whether another transaction held the lock of a row for too long."""
        ...

    def close(self) -> None:
        """Close all connections; the next transaction opens a new one."""


class Database:
    """Database that runs functions in transactions. Threads may share it; each process opens its own.

    Attributes:
        reads: Whether transactions that read succeed.
        writes: Whether transactions that write succeed.
    """

    _ATTEMPTS = 5

    def __init__(self, backend: Backend, *, has_watchdog: bool = True) -> None:
        self._backend = backend
        self._has_watchdog = has_watchdog
        # Insert many rows with one statement instead of one statement for each row.
        backend.engine.dialect.use_insertmanyvalues_wo_returning = True
        self._gate = ReadWriteGate(one_writer=backend.one_writer)
        self._watchdog = Watchdog(backend.interrupt)
        self.reads, self.writes = Availability("reading"), Availability("writing")
        self._is_closed = self._is_interrupted = False

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect: "sqlite" or "postgresql"."""
        return self._backend.engine.dialect.name

    def read(self, call: Callable[[Connection], T], limits: Limits = READ) -> T:
        """Run `call` in a transaction that sees the state of one point in time, and return its result.

        Raises:
            StoreUnavailable: The database was locked or did not respond within the limits, or its disk is full.
        """
        with self._recorded(self.reads), self._gate.read(), self._unpooled_if_closed():
            return self._transaction(call, writes=False, limits=limits)

    def write(self, call: Callable[[Connection], T], limits: Limits = WRITE) -> T:
        """Run `call` in a transaction, commit it, and return the result of `call`.

        If the transaction loses against a concurrent one, it is rolled back and `call` runs again, up to 5 times.

        Raises:
            RowLocked: Another transaction has locked a row for too long.
            StoreUnavailable: The database was locked or did not respond within the limits, or its disk is full.
        """
        with self._recorded(self.writes), self._gate.write(), self._unpooled_if_closed():
            return self._transaction(call, writes=True, limits=limits)

    def check_writable(self, limits: Limits) -> None:
        """Commit a transaction that writes something small, and changes nothing.

        Raises:
            StoreUnavailable: The database cannot be written.
        """
        with self._gate.write(), self._unpooled_if_closed():
            self._transaction(self._backend.check_writable, writes=True, limits=limits)

    def _transaction(self, call: Callable[[Connection], T], *, writes: bool, limits: Limits) -> T:
        deadline = float("inf") if limits.total is None else time.monotonic() + limits.total
        for attempt in range(1, self._ATTEMPTS + 1):
            if self._is_interrupted:
                raise StoreUnavailable("the server stops")
            try:
                return self._attempt(call, writes=writes, limits=limits, deadline=deadline)
            except exc.DBAPIError as error:
                is_retryable = self._backend.is_retryable(error)
                is_late = time.monotonic() >= deadline
                if is_retryable and attempt < self._ATTEMPTS and not is_late:
                    continue
                if self._backend.is_row_locked(error):
                    raise RowLocked(driver_message(error)) from error
                if is_late:
                    raise StoreUnavailable(f"no response within {limits.total} seconds") from error
                if is_retryable or not isinstance(error, _STATEMENT_ERRORS):
                    raise StoreUnavailable(driver_message(error)) from error
                raise
            except exc.TimeoutError as error:
                raise StoreUnavailable("all connections to the database are in use") from error
        raise AssertionError("unreachable")

    def _attempt(self, call: Callable[[Connection], T], *, writes: bool, limits: Limits, deadline: float) -> T:
        with self._backend.engine.connect() as connection:
            driver = connection.connection.driver_connection
            if self._has_watchdog:
                self._watchdog.watch(driver, deadline)
            try:
                self._backend.begin(connection, writes=writes, limits=limits)
                result = call(connection)
                self._backend.commit(connection, writes=writes)
                return result
            finally:
                self._watchdog.release(driver)

    def interrupt(self) -> None:
        """Make all transactions in progress and all later ones fail, so that the threads that wait for them can end."""
        self._is_interrupted = True
        self._watchdog.interrupt_all()

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
    def _recorded(self, availability: Availability) -> Iterator[None]:
        try:
            yield
        except RowLocked:
            raise
        except StoreUnavailable as unavailable:
            if not self._is_interrupted:  # A server that stops makes its own transactions fail.
                availability.record_failure(unavailable)
            raise
        availability.record_success()

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


def open_database(url: str, *, is_embedded: bool = False) -> Database:
    """Return the database at a URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/name`.
        is_embedded: The process is a caller's program. A SQLite transaction then has no limit in total, because a
            thread would have to enforce it, and a program that forks must not have threads that it did not start.

    Raises:
        StoreError: The URL is invalid, or names an unsupported kind of database.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from xpander_server.store.engine.sqlite import Sqlite

        return Database(Sqlite(url), has_watchdog=not is_embedded)
    if scheme in ("postgresql", "postgresql+psycopg"):
        from xpander_server.store.engine.postgresql import Postgresql

        return Database(Postgresql(url))
    raise StoreError(
        f"{url.partition('@')[2] or url!r} is not the URL of a store: "
        "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    )
