"""Opening a store: connections, transactions, migrations."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import OperationalError

from xpander_server.store.tables import REVISION

BUSY_SECONDS = 10
_WRITES = "writes"


class StoreError(Exception):
    """The store cannot be used as it is: a bad URL, a newer schema, a file that is no store."""


class StoreUnavailable(Exception):
    """The store does not answer now; the same call may succeed later."""


def open_engine(url: str) -> Engine:
    """An engine on the store at `url`, its schema brought up to date.

    Args:
        url: `sqlite:///relative.db` or `sqlite:////absolute.db`; the file is made where it is missing.

    Raises:
        StoreError: the URL names no store that we can use, or a newer version of ours made it.
    """
    engine = create_engine(_checked(url), connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)
    try:
        _migrate(engine)
    except Exception as error:
        engine.dispose()
        shown = engine.url.render_as_string(hide_password=True)
        raise StoreError(f"Cannot open the store {shown}: {_cause(error)}") from error
    return engine


def _checked(url: str) -> URL:
    prefix, _, file = url.partition(":///")
    if prefix != "sqlite" or not file:
        raise StoreError(f"{url!r} is no store that this version knows; write sqlite:///FILE")
    if file == ":memory:":
        raise StoreError("The store must be a file, or its tasks would be lost: sqlite:///FILE")
    # The path as it is, and not as a part of a URL, in which %41 would be an A. Absolute: connections are opened later,
    # too, perhaps after a change of directory.
    path = Path(file).absolute()
    try:
        is_there = path.parent.is_dir()
    except (OSError, ValueError) as error:
        raise StoreError(f"{str(path)[:200]!r} cannot be a file: {error}") from None
    if not is_there:
        raise StoreError(f"There is no folder {str(path.parent)!r} to keep the store in; make it first")
    return URL.create("sqlite", database=str(path))


def _set_up_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: see _begin.
    connection.isolation_level = None
    # Readers do not wait for the writer.
    _use_wal(connection)
    # An answer means that the task survives a power loss: fsync on each commit, which WAL's default would not do.
    connection.execute("PRAGMA synchronous = FULL")


def _use_wal(connection: sqlite3.Connection) -> None:
    # Switching a new file to WAL does not wait for other processes that do the same.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    # A transaction that reads first and then writes would fail with "locked" where another one wrote in between,
    # without waiting for it; so one that will write takes its lock at the start.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")


@contextmanager
def transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    """One transaction: committed at the end, or nothing of it.

    Raises:
        StoreUnavailable: locked for too long, disk full, or gone.
    """
    try:
        with engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
            yield connection
    except OperationalError as error:
        raise StoreUnavailable(_cause(error)) from error


def _migrate(engine: Engine) -> None:
    with transaction(engine, writes=False) as connection:
        revision = _revision(connection)
    if revision == REVISION:
        return
    # Alembic takes a tenth of a second to import: only where it has work.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with transaction(engine, writes=True) as connection:
        # Looked at again under the lock: another process may have been quicker.
        revision = _revision(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            raise StoreError(f"its schema {revision} is newer than this program's, {REVISION}: update xpander-report")
        if revision != REVISION:
            config.attributes["connection"] = connection
            command.upgrade(config, REVISION)


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreError(f"the file is another program's: it has the tables {', '.join(tables[:5])}")
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _cause(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error)
