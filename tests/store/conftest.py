"""Every test that takes `store` runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest

from support.postgres import new_database
from xpander_server.store import Store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = Store(store_url)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_of_example(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AbstractContextManager[Store]]:
    """Makes an empty store, for one example of many."""
    numbers = count()

    @contextmanager
    def new() -> Iterator[Store]:
        if request.param == "sqlite":
            yield from opened(f"sqlite:///{tmp_path}/{next(numbers)}.db")
        else:
            template = request.getfixturevalue("postgresql_template")
            with new_database(request.getfixturevalue("postgres"), template) as url:
                yield from opened(url)

    def opened(url: str) -> Iterator[Store]:
        store = Store(url)
        try:
            yield store
        finally:
            store.close()

    return new
