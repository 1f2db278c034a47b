"""Fixtures that every kind of test may use."""

from collections.abc import Iterator

import pytest

from support.server import Server, running_server
from xpander_sdk import Configuration

SETTINGS = ("API_KEY", "ORGANIZATION_ID", "BASE_URL", "AGENT_ID", "OUTBOX")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(f"XPANDER_{name}", raising=False)
    monkeypatch.delenv("IS_STG", raising=False)


@pytest.fixture
def embedded(tmp_path) -> Configuration:
    """An embedded target of its own."""
    return Configuration(base_url=f"sqlite:///{tmp_path}/runs.db")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole session of a worker: tests that share it keep to agents of their own."""
    with running_server(tmp_path_factory.mktemp("server") / "store.db") as running:
        yield running
