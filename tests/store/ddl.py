"""The schema as SQL, in the dialect of each database: `python tests/store/ddl.py` writes the snapshots anew."""

from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import xpander_server.store.schema

FOLDER = Path(xpander_server.store.schema.__file__).with_name("ddl")
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


def ddl(metadata: MetaData, dialect: str) -> str:
    """The statements that make the tables, Alembic's own left out."""
    statements = []
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        if table.name != "alembic_version":
            statements.append(CreateTable(table))
            statements += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return "".join(f"{_tidy(str(one.compile(dialect=DIALECTS[dialect])))};\n\n" for one in statements)


def _tidy(statement: str) -> str:
    return "\n".join(line.rstrip().replace("\t", "    ") for line in statement.strip().splitlines())


if __name__ == "__main__":
    from xpander_server.store.schema.tables import metadata

    FOLDER.mkdir(exist_ok=True)
    for name in DIALECTS:
        (FOLDER / f"{name}.sql").write_text(ddl(metadata, name), "utf-8")
