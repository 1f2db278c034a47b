"""Fixtures for the contract tests. A test that uses `server` runs once for each kind of store."""

from collections.abc import Iterator

import pytest

from contract.raw_http import RawClient
from support.server import Server

pytest.register_assert_rewrite("contract.task_model")


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    name = "server_on_sqlite" if request.param == "sqlite" else "server_on_postgresql"
    return request.getfixturevalue(name)


@pytest.fixture
def raw_client(server: Server) -> Iterator[RawClient]:
    raw_client = RawClient(server.url)
    yield raw_client
    # After each hostile test, the server must be alive, its store must respond, and it must accept a report.
    assert server.process.poll() is None
    assert raw_client.request(b"GET", b"/health", []).status == 200
    assert raw_client.report(b"{}").status == 200
