"""Fixtures of the tests of runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend
from xpander_sdk.runs import sending, tracker


@pytest.fixture(autouse=True)
def _without_memory_of_other_tests() -> Iterator[None]:
    yield
    sending._outages.clear()
    tracker._logged.clear()


@pytest.fixture
def server() -> RecordingBackend:
    return RecordingBackend()


@pytest.fixture(params=["direct", "outbox"])
def recorder(request: pytest.FixtureRequest, server: RecordingBackend, tmp_path: Path) -> Iterator[Recorder]:
    """Backend of the SDK that reports directly or through an outbox."""
    outbox = tmp_path / "outbox.db" if request.param == "outbox" else None
    backend = Backend(server.configuration(outbox))
    yield Recorder(backend, server)
    if outbox is not None:
        backend.outbox.close(0)


@pytest.fixture
def direct(server: RecordingBackend) -> Recorder:
    """Backend of the SDK that reports directly."""
    return Recorder(Backend(server.configuration()), server)
