"""Fixtures of stores; a test with one of them runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from support.postgres import new_database
from xpander_server.store import Store
from xpander_server.store.schema.tables import metadata

NewStore = Callable[[], closing[Store]]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return an empty store."""
    store = Store(store_url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_of_example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Return a function that opens an empty store, for each example of a Hypothesis test."""
    if request.param == "sqlite":
        numbers = count()
        yield lambda: closing(Store(f"sqlite:///{tmp_path}/{next(numbers)}.db"))
        return
    template = request.getfixturevalue("postgresql_template")
    with new_database(request.getfixturevalue("postgres"), template) as url:

        def open_empty() -> closing[Store]:
            with psycopg.connect(url) as connection:  # deleting rows is much faster than creating a database
                for table in metadata.tables:
                    connection.execute(SQL("DELETE FROM {}").format(Identifier(table)))
            return closing(Store(url))

        yield open_empty
