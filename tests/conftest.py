"""Fixtures for all test folders."""

import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.postgres import Postgres, new_database
from support.server import ORGANIZATION, Server, running_server
from support.sqlite_connections import watch_connections
from xpander_sdk import Backend, Configuration
from xpander_server.store import Store, task_query

SDK_VARIABLES = (
    "XPANDER_API_KEY", "XPANDER_ORGANIZATION_ID", "XPANDER_BASE_URL", "XPANDER_AGENT_ID", "XPANDER_OUTBOX", "IS_STG",
)  # fmt: skip


# A shell that runs the tests in the background ignores SIGINT, and every process that the tests start inherits this.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

watch_connections()

# No time limits for single examples: they depend on how busy the machine is.
settings.register_profile("without time limits", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without time limits")

# Searches and lists end at a full page; after some time they end in the tests of their time limits only.
task_query.SEEK_SECONDS = task_query.LIST_SECONDS = 60.0

# Environment variable with the folder of the PostgreSQL server, which all worker processes of pytest-xdist share.
# The first process that needs the server starts it.
POSTGRES_FOLDER = "POSTGRES_OF_THE_TESTS"

# Folders whose tests are all marked slow: a browser, and programs in many processes.
SLOW_FOLDERS = ("browser", "runtimes")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[POSTGRES_FOLDER] = str(Path(tempfile.gettempdir(), f"postgres-of-tests-{secrets.token_hex(8)}"))


@pytest.hookimpl(tryfirst=True)  # before -m selects tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and Path(os.environ[POSTGRES_FOLDER]).exists():
        Postgres(Path(os.environ[POSTGRES_FOLDER])).close()


@pytest.fixture(autouse=True)
def _without_sdk_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SDK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> str:
    """URL of a PostgreSQL server that all tests of a run share."""
    return Postgres(Path(os.environ[POSTGRES_FOLDER])).url()


@pytest.fixture
def postgresql_url(postgres: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgres: str) -> Iterator[str]:
    """Name of a database with the server's schema. Copying it is much faster than running the migrations."""
    with new_database(postgres) as url:
        Store(url).close()
        yield url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a new store; the test runs with SQLite and with PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    template = request.getfixturevalue("postgresql_template")
    with new_database(request.getfixturevalue("postgres"), template) as url:
        yield url


@pytest.fixture
def embedded(tmp_path: Path) -> Configuration:
    """Return the configuration of a new embedded SQLite store."""
    return Configuration(base_url=f"sqlite:///{tmp_path}/runs.db")


@pytest.fixture(scope="session")
def embedded_database(postgres: str, postgresql_template: str) -> Iterator[Configuration]:
    """Return the configuration of an embedded PostgreSQL store; tests share it, as they share `server`."""
    with new_database(postgres, postgresql_template) as url:
        configuration = Configuration(base_url=url, organization_id=ORGANIZATION)
        yield configuration
        Backend(configuration).close()


@pytest.fixture(scope="session")
def server_on_postgresql(postgres: str, postgresql_template: str) -> Iterator[Server]:
    """Server with a PostgreSQL store; tests share it, as they share `server`."""
    with new_database(postgres, postgresql_template) as url, running_server(url, pages_are_whole=True) as running:
        yield running


@pytest.fixture(scope="session")
def server_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Server with a SQLite store; tests share it, and each test uses agents that no other test uses."""
    with running_server(tmp_path_factory.mktemp("server") / "store.db", pages_are_whole=True) as running:
        yield running


@pytest.fixture(scope="session")
def server(server_on_sqlite: Server) -> Server:
    """Server with the default store, for tests that do not depend on the kind of store."""
    return server_on_sqlite
