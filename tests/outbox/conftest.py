"""Settings and fixtures of the outbox tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox.helpers import DeliveryBench, RecordingBackend, ReplaceableSend, ScriptedBackend
from xpander_sdk.outbox.outbox import Outbox


@pytest.fixture(autouse=True)
def _plain_http_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the URLs of backends that do not exist: no request of these tests leaves the process."""
    monkeypatch.setenv("XPANDER_ALLOW_PLAIN_HTTP", "1")


@pytest.fixture
def backend() -> RecordingBackend:
    return RecordingBackend()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def send(backend: RecordingBackend) -> ReplaceableSend:
    return ReplaceableSend(backend)


@pytest.fixture
def outbox(path: Path, backend: RecordingBackend, send: ReplaceableSend) -> Iterator[Outbox]:
    outbox = Outbox(str(path), send=send)
    yield outbox
    backend.unblocked.set()
    outbox.close(0)


@pytest.fixture
def bench(tmp_path: Path, backend: RecordingBackend | ScriptedBackend) -> Iterator[DeliveryBench]:
    bench = DeliveryBench(tmp_path / "outbox.db", backend)
    yield bench
    bench.close()
