"""SQL of the tables, in the dialect of each database.

`make ddl` writes it to server/xpander_server/store/schema/ddl. Reviewers see a change of the schema as SQL there, and
database administrators see the tables that the server creates. A test compares the files with the tables.

new_sqlite_file.sql is the result of the migrations: the server executes it for a new SQLite file.
"""

import re
from pathlib import Path

from sqlalchemy import Index, MetaData, create_engine, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import xpander_server.store.schema
from xpander_server.store.schema.migrate import SNAPSHOT, create_schema, snapshot_header
from xpander_server.store.schema.tables import REVISION, metadata

FOLDER = Path(xpander_server.store.schema.__file__).with_name("ddl")
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


def ddl(tables: MetaData, dialect: str) -> str:
    """Return the statements that create the tables, without the table of Alembic."""
    statements = []
    for table in sorted(tables.tables.values(), key=lambda table: table.name):
        if table.name != "alembic_version":
            statements.append(CreateTable(table))
            indexes = sorted(table.indexes, key=lambda index: str(index.name))
            statements += [CreateIndex(_with_condition(index)) for index in indexes]
    return "\n".join(f"{_tidy(str(one.compile(dialect=DIALECTS[dialect])))};\n" for one in statements)


def _with_condition(index: Index) -> Index:
    """Return an index with the condition that the tables state for PostgreSQL; see `tables._partial_index`."""
    if "postgresql_where" in index.info:
        index.dialect_options["postgresql"]["where"] = text(index.info["postgresql_where"])
    return index


def snapshot() -> str:
    """Return the SQL of all objects that the migrations create in a new SQLite file."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            create_schema(connection, REVISION)
            rows = connection.exec_driver_sql("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
            statements = [re.sub(r"\s*\n", "\n", str(sql)) for (sql,) in rows]
            return "\n\n".join([snapshot_header(REVISION), *statements]) + "\n"
    finally:
        engine.dispose()


def _tidy(statement: str) -> str:
    return "\n".join(line.rstrip().replace("\t", "    ") for line in statement.strip().splitlines())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DIALECTS:
        path = FOLDER / f"{name}.sql"
        path.write_text(ddl(metadata, name), "utf-8")
        print(path.relative_to(Path.cwd()))
    SNAPSHOT.write_text(snapshot(), "utf-8")
    print(SNAPSHOT.relative_to(Path.cwd()))
