"""PostgreSQL, and databases that speak its protocol."""

import os
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import func

from xpander_server.store.engine.errors import StoreError, StoreUnavailable
from xpander_server.store.engine.limits import BUSY_SECONDS, Limits

_MAX_CONNECTIONS = 20  # of one process
_URL = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

# Parameters of a connection that the URL may set to other values; docs/scaling.md describes them.
_DEFAULTS: dict[str, Any] = {
    "application_name": "xpander-report",
    "connect_timeout": "3",  # seconds, for each host of the URL
    # After a failover, an old name or address may still lead to a server that has become a standby.
    "target_session_attrs": "read-write",
    # A host that vanishes without closing its connections is noticed within about 5 seconds.
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",  # milliseconds
}
# The timeouts of the server are longer than the limit of the client. COMMIT waits for the synchronous standby, and a
# COMMIT that a timeout ends is durable on this server only; by then, the client has got an error.
_STATEMENT_EXTRA_SECONDS = 2.0
# A statement of a pipeline whose rest never arrives is neither running nor idle for PostgreSQL. Only this timeout
# ends it, and it must be longer than that for statements.
_TRANSACTION_EXTRA_SECONDS = 3.0
_TRANSACTION_TIMEOUT_VERSION = 170_000
# A server that is frozen in a transaction holds its locks no longer than this.
_IDLE_SECONDS = 5.0

_LOCK_NOT_AVAILABLE = "55P03"
# Serialization failure, deadlock, and unique violation: a concurrent transaction inserted the same task or rollup.
_CONCURRENCY_ERRORS = frozenset({"40001", "40P01", "23505"})
# The transaction is read-only although it must not be; the server shuts down, has crashed or is starting.
_WRONG_SERVER_ERRORS = frozenset({"25006", "57P01", "57P02", "57P03"})
_UNDEFINED_FUNCTION = "42883"

_PREPARE_THRESHOLD = 5
_HOST_AND_PORT = re.compile(r"([^/:\[\],]+):([0-9]+)")
# Names in the dictionary of a connection of the pool.
_WARNINGS = "warnings"
_IS_KNOWN = "is known"
# A record in the write-ahead log that no reader looks at: it takes no place in any table, and locks nothing.
_WRITE_LOG_RECORD = select(func.pg_logical_emit_message(text("true"), "xpander-report", ""))


class Postgresql:
    """Backend for PostgreSQL; implements `database.Backend`."""

    one_writer = False

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise StoreError("A PostgreSQL store needs psycopg: pip install 'xpander-report[postgres]'") from None
        try:
            parameters, self._prepare_threshold = _connection_parameters(url)
        except (psycopg.Error, ValueError):
            raise StoreError(f"The URL of a PostgreSQL store is {_URL}") from None
        if not parameters.get("dbname"):
            raise StoreError(f"The URL must name a database: {_URL}")
        self._driver_error = psycopg.Error
        self._options: str = parameters.get("options", "")
        self._begin_statements: dict[tuple[bool, Limits, bool], str] = {}
        self.engine = create_engine(
            "postgresql+psycopg://",
            connect_args=parameters,
            hide_parameters=True,
            paramstyle="format",
            use_native_hstore=False,  # saves a query when a connection is opened
            pool_size=_MAX_CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
        )
        event.listen(self.engine, "connect", _set_up_connection)
        event.listen(self.engine, "handle_error", _drop_connections_to_wrong_server)

    def begin(self, connection: Connection, *, writes: bool, limits: Limits) -> None:
        """Begin a transaction, and set its limits, with one message to the server."""
        driver: Any = connection.connection.driver_connection
        has_transaction_timeout = driver.info.server_version >= _TRANSACTION_TIMEOUT_VERSION
        key = writes, limits, has_transaction_timeout
        statement = self._begin_statements.get(key)
        if statement is None:
            statement = self._begin_statements[key] = self._begin_statement(*key)
        try:
            driver.execute(statement, prepare=False)  # a prepared statement must be a single one
            if not connection.info.get(_IS_KNOWN):
                self._find_pooler(connection, driver)
        except self._driver_error as error:
            # The connection is lost, or leads to a standby; then the others do so as well.
            connection.invalidate(error)
            self.engine.pool.dispose()
            raise DBAPIError.instance(statement, None, error, Exception, connection_invalidated=True) from None

    def _find_pooler(self, connection: Connection, driver: Any) -> None:
        """Let the driver prepare frequent statements if the connection leads to PostgreSQL directly.

        A pooler in transaction mode, such as PgBouncer, gives the next transaction another server, which does not have
        the statement. A pooler reports a process of its own at the start of a connection.
        """
        if self._prepare_threshold is None:
            (process,) = driver.execute("SELECT pg_backend_pid()").fetchone()
            if process == driver.info.backend_pid:
                driver.prepare_threshold = _PREPARE_THRESHOLD
        connection.info[_IS_KNOWN] = True

    def _begin_statement(self, writes: bool, limits: Limits, has_transaction_timeout: bool) -> str:
        # SET LOCAL ends with the transaction. SET and parameters of the connection do not work with PgBouncer in
        # transaction mode: it gives each transaction another connection, and rejects most parameters.
        timeouts = {"statement_timeout": 0.0, "idle_in_transaction_session_timeout": 0.0, "transaction_timeout": 0.0}
        if limits.total is not None:
            timeouts["statement_timeout"] = limits.total + _STATEMENT_EXTRA_SECONDS
            timeouts["idle_in_transaction_session_timeout"] = _IDLE_SECONDS
            timeouts["transaction_timeout"] = limits.total + _TRANSACTION_EXTRA_SECONDS
        if limits.statement is not None:
            timeouts["statement_timeout"] = limits.statement
        if not has_transaction_timeout:
            del timeouts["transaction_timeout"]
        timeouts["lock_timeout"] = limits.lock
        settings = {name: f"{seconds * 1_000:.0f}" for name, seconds in timeouts.items()}
        settings["jit"] = "off"  # the queries run for less time than their compilation
        mode = "READ COMMITTED READ WRITE" if writes else "REPEATABLE READ READ ONLY"
        set_local = (f"SET LOCAL {name} = {value}" for name, value in settings.items() if name not in self._options)
        return "; ".join([f"BEGIN ISOLATION LEVEL {mode}", *set_local])

    def commit(self, connection: Connection, *, writes: bool) -> None:
        """Commit the transaction.

        Raises:
            StoreUnavailable: The wait for a synchronous standby was canceled.
        """
        warnings = connection.info[_WARNINGS]
        warnings.clear()
        connection.commit()
        # The server reports a success and a warning: the transaction is lost if the standby replaces the server.
        if warnings and writes:
            raise StoreUnavailable(f"the commit has a warning: {warnings[0]}")

    def check_writable(self, connection: Connection) -> None:
        """Write a record into the write-ahead log."""
        try:
            connection.execute(_WRITE_LOG_RECORD)
        except DBAPIError as error:
            # Databases that only speak the protocol lack the function. They have accepted READ WRITE at least.
            if _sqlstate(error) != _UNDEFINED_FUNCTION:
                raise
            connection.rollback()

    def interrupt(self, driver: Any) -> None:
        """Close the connection for both directions: the thread that waits for an answer gets an error."""
        import psycopg

        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(driver.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)

    def is_retryable(self, error: DBAPIError) -> bool:
        """Return whether the connection was lost, or a concurrent transaction won."""
        # The driver notices only at the next statement that the server has closed a connection. Repeating a commit
        # whose result is unknown is safe: merging a report a second time changes nothing.
        return error.connection_invalidated or _sqlstate(error) in _CONCURRENCY_ERRORS

    def is_row_locked(self, error: DBAPIError) -> bool:
        """Return whether `lock_timeout` has ended a statement."""
        return _sqlstate(error) == _LOCK_NOT_AVAILABLE

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _connection_parameters(url: str) -> tuple[dict[str, Any], int | None]:
    """Return the parameters of a connection, and the number in `prepare_threshold` if the URL contains it.

    The parameters are those of the URL as libpq reads it, and the defaults for the others. `prepare_threshold` is a
    parameter of psycopg: the number of times after which it prepares a statement on the server. Several hosts may also
    have the form of SQLAlchemy, `?host=a:5432&host=b:5432`, of which libpq would use the last one only.
    """
    from psycopg.conninfo import conninfo_to_dict

    base, _, query = url.partition("?")
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)  # libpq does not read "+" as a space
    thresholds = [value for name, value in pairs if name == "prepare_threshold"]
    hosts = [value for name, value in pairs if name == "host"]
    pairs = [(name, value) for name, value in pairs if name != "prepare_threshold"]
    if len(hosts) > 1 or any(_HOST_AND_PORT.fullmatch(host) for host in hosts):
        pairs = [(name, value) for name, value in pairs if name != "host"]
        addresses = [match.groups() if (match := _HOST_AND_PORT.fullmatch(host)) else (host, "") for host in hosts]
        pairs.append(("host", ",".join(host for host, _ in addresses)))
        if any(port for _, port in addresses):
            pairs.append(("port", ",".join(port for _, port in addresses)))
    query = urlencode(pairs, quote_via=quote)
    parameters = {**_DEFAULTS, **conninfo_to_dict(f"postgresql://{base.partition('://')[2]}?{query}".rstrip("?"))}
    for port in filter(None, str(parameters.get("port", "")).split(",")):
        if not 0 < int(port) < 65_536:
            raise ValueError("port")
    threshold = int(thresholds[-1]) if thresholds else None
    return {**parameters, "prepare_threshold": threshold}, threshold


def _set_up_connection(driver: Any, record: Any) -> None:
    # `Postgresql.begin` sends BEGIN; the driver must not.
    driver.autocommit = True
    warnings: list[str] = []
    record.info[_WARNINGS] = warnings

    def note_warning(notice: Any) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary)

    driver.add_notice_handler(note_warning)


def _drop_connections_to_wrong_server(context: Any) -> None:
    """Let SQLAlchemy close all connections of the pool if one leads to a server that cannot be the right one."""
    if context.connection is not None and getattr(context.original_exception, "sqlstate", None) in _WRONG_SERVER_ERRORS:
        context.is_disconnect = True


def _sqlstate(error: DBAPIError) -> str | None:
    sqlstate: str | None = getattr(error.orig, "sqlstate", None)
    return sqlstate
