"""Fixtures of the server tests: stores whose API keys tests can create and revoke."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from support.postgres import new_database
from xpander_server.admin import open_keys


@frozen
class StoreWithKeys:
    """Store, and the management of its API keys."""

    url: str

    @property
    def path(self) -> Path:
        """File of a SQLite store."""
        return Path(self.url.removeprefix("sqlite:///"))

    def create_key(self, name: str, organization_id: str, *scopes: str) -> str:
        with open_keys(self.url) as keys:
            return keys.create(name, organization_id, scopes=scopes or ("report", "read"))

    def revoke_key(self, name: str, organization_id: str) -> None:
        with open_keys(self.url) as keys:
            keys.revoke(name, organization_id)


@pytest.fixture(scope="session")
def new_store_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], StoreWithKeys]:
    return lambda: StoreWithKeys(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")


@pytest.fixture
def store_with_keys(new_store_with_keys: Callable[[], StoreWithKeys]) -> StoreWithKeys:
    """Return a new SQLite store."""
    return new_store_with_keys()


@pytest.fixture
def any_store_with_keys(store_url: str) -> StoreWithKeys:
    """Return a new store, once on SQLite and once on PostgreSQL."""
    return StoreWithKeys(store_url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_store_with_keys(
    request: pytest.FixtureRequest, new_store_with_keys: Callable[[], StoreWithKeys]
) -> Iterator[StoreWithKeys]:
    if request.param == "sqlite":
        yield new_store_with_keys()
    else:
        template = request.getfixturevalue("postgresql_template")
        with new_database(request.getfixturevalue("postgres"), template) as url:
            yield StoreWithKeys(url)
