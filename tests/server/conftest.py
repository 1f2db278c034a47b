"""What these tests share: a store, and keys of two organisations in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from support.postgres import new_database
from xpander_server.admin import open_keys


@frozen
class Shop:
    """A store, and who may use it."""

    url: str

    @property
    def path(self) -> Path:
        """The file that it is, if it is one."""
        return Path(self.url.removeprefix("sqlite:///"))

    def key(self, name: str, organization_id: str, *scopes: str) -> str:
        with open_keys(self.url) as keys:
            return keys.create(name, organization_id, scopes=scopes or ("report", "read"))

    def revoke(self, name: str, organization_id: str) -> None:
        with open_keys(self.url) as keys:
            keys.revoke(name, organization_id)


@pytest.fixture(scope="session")
def new_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Shop]:
    return lambda: Shop(f"sqlite:///{tmp_path_factory.mktemp('shop')}/store.db")


@pytest.fixture
def shop(new_shop: Callable[[], Shop]) -> Shop:
    """On SQLite."""
    return new_shop()


@pytest.fixture
def any_shop(store_url: str) -> Shop:
    """On each kind of store."""
    return Shop(store_url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop_of_module(request: pytest.FixtureRequest, new_shop: Callable[[], Shop]) -> Iterator[Shop]:
    if request.param == "sqlite":
        yield new_shop()
    else:
        template = request.getfixturevalue("postgresql_template")
        with new_database(request.getfixturevalue("postgres"), template) as url:
            yield Shop(url)
