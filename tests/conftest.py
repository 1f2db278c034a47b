"""Fixtures that every kind of test may use."""

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
from xpander_sdk import Backend, Configuration
from xpander_server.store import Store

SETTINGS = ("API_KEY", "ORGANIZATION_ID", "BASE_URL", "AGENT_ID", "OUTBOX")


# A shell that runs the tests in the background has SIGINT ignored, and so would all programs that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that is busy with something else says nothing about the code.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

# Of all processes of one run of the tests: the first that needs PostgreSQL starts it.
POSTGRES = "POSTGRES_OF_THE_TESTS"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[POSTGRES] = str(Path(tempfile.gettempdir(), f"postgres-of-tests-{secrets.token_hex(8)}"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and Path(os.environ[POSTGRES]).exists():
        Postgres(Path(os.environ[POSTGRES])).close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(f"XPANDER_{name}", raising=False)
    monkeypatch.delenv("IS_STG", raising=False)


@pytest.fixture(scope="session")
def postgres() -> str:
    """The URL of a PostgreSQL server, which all tests of a run share."""
    return Postgres(Path(os.environ[POSTGRES])).url()


@pytest.fixture
def postgresql_url(postgres: str) -> Iterator[str]:
    """An empty database of its own."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgres: str) -> Iterator[str]:
    """A database with our schema, to make others from: far quicker than to migrate each."""
    with new_database(postgres) as url:
        Store(url).close()
        yield url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of its own, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    template = request.getfixturevalue("postgresql_template")
    with new_database(request.getfixturevalue("postgres"), template) as url:
        yield url


@pytest.fixture
def embedded(tmp_path) -> Configuration:
    """An embedded target of its own."""
    return Configuration(base_url=f"sqlite:///{tmp_path}/runs.db")


@pytest.fixture(scope="session")
def embedded_database(postgres: str, postgresql_template: str) -> Iterator[Configuration]:
    """An embedded PostgreSQL target for the whole session of a worker, to be used as `server` is."""
    with new_database(postgres, postgresql_template) as url:
        configuration = Configuration(base_url=url, organization_id=ORGANIZATION)
        yield configuration
        Backend(configuration).close()


@pytest.fixture(scope="session")
def server_on_postgresql(postgres: str, postgresql_template: str) -> Iterator[Server]:
    """As `server`, on PostgreSQL."""
    with new_database(postgres, postgresql_template) as url, running_server(url) as running:
        yield running


@pytest.fixture(scope="session")
def server_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole session of a worker: tests that share it keep to agents of their own."""
    with running_server(tmp_path_factory.mktemp("server") / "store.db") as running:
        yield running


@pytest.fixture(scope="session")
def server(server_on_sqlite: Server) -> Server:
    return server_on_sqlite
