"""SQL of the tables, in the dialect of each database.

`make ddl` writes it to server/xpander_server/store/schema/ddl. Reviewers see a change of the schema as SQL there, and
database administrators see the tables that the server creates. A test compares the files with the tables.
"""

from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import xpander_server.store.schema

FOLDER = Path(xpander_server.store.schema.__file__).with_name("ddl")
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}


def ddl(metadata: MetaData, dialect: str) -> str:
    """Return the statements that create the tables, without the table of Alembic."""
    statements = []
    for table in sorted(metadata.tables.values(), key=lambda table: table.name):
        if table.name != "alembic_version":
            statements.append(CreateTable(table))
            statements += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    return "\n".join(f"{_tidy(str(one.compile(dialect=DIALECTS[dialect])))};\n" for one in statements)


def _tidy(statement: str) -> str:
    return "\n".join(line.rstrip().replace("\t", "    ") for line in statement.strip().splitlines())


if __name__ == "__main__":
    from xpander_server.store.schema.tables import metadata

    FOLDER.mkdir(exist_ok=True)
    for name in DIALECTS:
        path = FOLDER / f"{name}.sql"
        path.write_text(ddl(metadata, name), "utf-8")
        print(path.relative_to(Path.cwd()))
