"""A database: its transactions, whichever of the two kinds it is."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, exc

from xpander_server.store.engine.errors import StoreError, StoreUnavailable, cause
from xpander_server.store.engine.locks import ReadWriteGate

T = TypeVar("T")


class Kind(Protocol):
    """What SQLite and PostgreSQL do differently."""

    engine: Engine
    one_writer: bool

    def begin(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction: one that reads sees one moment, one that writes sees what was committed before it."""

    def may_pass(self, error: exc.DBAPIError) -> bool:
        """Whether the very same transaction may succeed at once: it lost against another one, or its connection."""
        ...

    def close(self) -> None:
        """Close what is open; what is asked next opens it again."""


class Database:
    """Transactions, run to their end or not at all. Safe to share between threads; one for each process."""

    _ATTEMPTS = 5

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        # Many rows go in by one statement, and not by one for each.
        kind.engine.dialect.use_insertmanyvalues_wo_returning = True
        self._gate = ReadWriteGate(one_writer=kind.one_writer)

    @property
    def dialect(self) -> str:
        return self._kind.engine.dialect.name

    def read(self, call: Callable[[Connection], T]) -> T:
        """What `call` finds, all of it at one moment.

        Raises:
            StoreUnavailable: locked for too long, disk full, or gone.
        """
        with self._gate.read():
            return self._transaction(call, writes=False)

    def write(self, call: Callable[[Connection], T]) -> T:
        """Commit what `call` does, or nothing of it. It may be called again where it lost against another transaction.

        Raises:
            StoreUnavailable: locked for too long, disk full, or gone.
        """
        with self._gate.write():
            return self._transaction(call, writes=True)

    def _transaction(self, call: Callable[[Connection], T], *, writes: bool) -> T:
        for attempt in range(1, self._ATTEMPTS + 1):
            try:
                with self._kind.engine.connect() as connection:
                    self._kind.begin(connection, writes=writes)
                    result = call(connection)
                    connection.commit()
                    return result
            except exc.DBAPIError as error:
                if attempt < self._ATTEMPTS and self._kind.may_pass(error):
                    continue
                if isinstance(error, exc.OperationalError) or error.connection_invalidated:
                    raise StoreUnavailable(cause(error)) from error
                raise
            except exc.TimeoutError as error:
                raise StoreUnavailable("all connections to the database are in use") from error
        raise AssertionError("unreachable")

    def pause(self) -> None:
        """Close the database, and hold back who wants it, until `resume`."""
        self._gate.close()
        self._kind.close()

    def resume(self) -> None:
        self._gate.open()

    def close(self) -> None:
        self._kind.close()


def open_database(url: str) -> Database:
    """The database at a URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/name`.

    Raises:
        StoreError: the URL names no database that we can use.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from xpander_server.store.engine.sqlite import Sqlite

        return Database(Sqlite(url))
    if scheme in ("postgresql", "postgresql+psycopg"):
        from xpander_server.store.engine.postgresql import Postgresql

        return Database(Postgresql(url))
    raise StoreError(
        f"{url.partition('@')[2] or url!r} is no store that this version knows; "
        "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    )
