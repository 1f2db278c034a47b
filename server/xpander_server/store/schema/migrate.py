"""The schema of a database: brought up to date when it is opened."""

from pathlib import Path

from sqlalchemy import Connection, func, inspect, select

from xpander_server.store.engine.database import Database
from xpander_server.store.engine.errors import StoreError
from xpander_server.store.metrics.rebuild import price, rebuild
from xpander_server.store.schema.tables import REVISION, metadata

_MIGRATING = 0x7870616E646572  # of an advisory lock


def migrate(database: Database) -> None:
    """Make or migrate the schema, where it is not as this program's.

    Raises:
        StoreError: a newer version of ours made it, or it is another program's.
        StoreUnavailable: the database does not answer.
    """
    if database.read(_revision) != REVISION:
        database.write(_migrate)


def _migrate(connection: Connection) -> None:
    # Alembic takes a tenth of a second to import: only where it has work.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    # Looked at again under the lock: another process may have been quicker.
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreError(f"its schema {revision} is newer than this program's, {REVISION}: update xpander-report")
    if revision != REVISION:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
    if revision == "0001":  # which kept no metrics
        price(connection)
        rebuild(connection)


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        # A file is ours alone; a database may be shared with others, as long as the names do not meet.
        theirs = tables if connection.dialect.name == "sqlite" else sorted({*tables} & {*metadata.tables})
        if theirs:
            raise StoreError(f"it is another program's: it has the tables {', '.join(theirs[:5])}")
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
