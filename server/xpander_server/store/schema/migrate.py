"""Migration of a database to the current schema, when a store is opened."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select

from xpander_server.store.engine.database import Database
from xpander_server.store.engine.errors import StoreError
from xpander_server.store.engine.limits import MAINTENANCE
from xpander_server.store.schema.tables import REVISION, metadata

SNAPSHOT = Path(__file__).parent / "ddl" / "new_sqlite_file.sql"
"""SQL of all tables and indexes of a new SQLite file."""
_MIGRATION_LOCK = 0x7870616E646572  # key of PostgreSQL's advisory lock

AfterUpgrade = Callable[[Connection, str | None], None]
"""Function that completes the data: its arguments are the connection and the revision before the upgrade."""


def migrate(database: Database, *, after_upgrade: AfterUpgrade) -> None:
    """Create or upgrade the schema, unless it is the current one.

    Args:
        database: The database.
        after_upgrade: Called after an upgrade, in its transaction.

    Raises:
        StoreError: A newer version of this program created the schema, or the database belongs to another program.
        StoreUnavailable: The database does not respond.
    """
    if database.read(_read_revision) != REVISION:
        database.write(lambda connection: _upgrade(connection, after_upgrade), MAINTENANCE)


def create_schema(connection: Connection, revision: str) -> None:
    """Create the tables of a revision, or upgrade those of an earlier one.

    Raises:
        StoreError: This program does not know the revision.
    """
    # Imported here, because the import of Alembic takes a tenth of a second, and most starts need no upgrade.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    if revision not in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}:
        raise StoreError(f"its schema {revision} is newer than this program's, {REVISION}: update xpander-report")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _upgrade(connection: Connection, after_upgrade: AfterUpgrade) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    # Read again while the lock is held: another process may have upgraded the schema in the meantime.
    revision = _read_revision(connection)
    if revision is not None:
        create_schema(connection, revision)  # Nothing to do, unless this program does not know the revision.
    if revision != REVISION:
        if revision is not None or not _create_from_snapshot(connection):
            create_schema(connection, REVISION)
        after_upgrade(connection, revision)


def _create_from_snapshot(connection: Connection) -> bool:
    """Create the tables of a new SQLite file as the migrations do, without Alembic, whose import takes longer.

    Return False if the snapshot is of another revision; nothing was created then.
    """
    if connection.dialect.name != "sqlite":
        return False
    header, *statements = SNAPSHOT.read_text("utf-8").split("\n\n")
    if header != snapshot_header(REVISION):
        return False
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("INSERT INTO alembic_version (version_num) VALUES (?)", (REVISION,))
    return True


def snapshot_header(revision: str) -> str:
    """Return the first line of the snapshot of a revision."""
    return f"-- A new SQLite file of revision {revision}, as the migrations create it. `make ddl` writes this file."


def _read_revision(connection: Connection) -> str | None:
    """Return the revision of the schema; None for a database without one.

    Raises:
        StoreError: The database belongs to another program.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        # A PostgreSQL database may be shared with other programs, as long as no table has the name of one of ours. A
        # SQLite file must not contain any other table, which is checked when it is opened.
        foreign = sorted({*tables} & {*metadata.tables})
        if foreign:
            raise StoreError(f"it is another program's: it has the tables {', '.join(foreign[:5])}")
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
