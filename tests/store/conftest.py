"""Fixtures of stores; a test with one of them runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest

from support.postgres import new_database
from xpander_server.store import Store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return an empty store."""
    store = Store(store_url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_of_example(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractContextManager[Store]]:
    """Return a function that opens an empty store, for each example of a Hypothesis test."""
    numbers = count()

    @contextmanager
    def open_empty() -> Iterator[Store]:
        if request.param == "sqlite":
            yield from open_and_close(f"sqlite:///{tmp_path}/{next(numbers)}.db")
        else:
            template = request.getfixturevalue("postgresql_template")
            with new_database(request.getfixturevalue("postgres"), template) as url:
                yield from open_and_close(url)

    def open_and_close(url: str) -> Iterator[Store]:
        store = Store(url)
        try:
            yield store
        finally:
            store.close()

    return open_empty
