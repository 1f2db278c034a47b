"""Schemas of earlier versions, for the tests of upgrades."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, make_url

from xpander_server.store.schema import migrate as migrate_module

MIGRATIONS = Path(migrate_module.__file__).with_name("migrations")


def engine(url: str) -> Engine:
    """Return an engine without the settings of a store."""
    return create_engine(make_url(url.replace("postgresql://", "postgresql+psycopg://")))


def downgrade(url: str, revision: str) -> None:
    """Give a store the tables of an earlier revision. Values without a column are lost."""
    plain = engine(url)
    with plain.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    plain.dispose()
