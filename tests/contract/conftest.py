"""Every test that takes `server` runs on a server of each kind of store."""

import pytest

from support.server import Server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    name = "server_on_sqlite" if request.param == "sqlite" else "server_on_postgresql"
    return request.getfixturevalue(name)
