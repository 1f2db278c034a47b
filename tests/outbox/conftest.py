"""Settings of the outbox tests."""

import pytest


@pytest.fixture(autouse=True)
def _plain_http_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the URLs of backends that do not exist: no request of these tests leaves the process."""
    monkeypatch.setenv("XPANDER_ALLOW_PLAIN_HTTP", "1")
