"""Fixtures of the runtime tests: the backends that programs report to."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from runtimes.processes import Target, kill_running
from xpander_sdk import Backend, Configuration


@frozen
class Stub:
    """Running stub backend."""

    url: str

    def target(self, behavior: str = "good") -> Target:
        """Return a target with a new agent, whose name selects the stub's behavior."""
        return Target(Configuration(base_url=self.url, api_key="k"), f"{behavior}-{uuid.uuid4().hex}")

    def wait_for_report(self, target: Target) -> None:
        """Wait until the stub has received a report of the target's agent."""
        deadline = time.monotonic() + 60
        while self.report_count(target) == 0:
            assert time.monotonic() < deadline, "the stub received no report"
            time.sleep(0.02)

    def report_count(self, target: Target) -> int:
        """Return the number of received reports of the target's agent."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as response:
            counts: dict[str, Any] = json.load(response)
        return counts["reports"].get(target.agent_id, 0)


@pytest.fixture(autouse=True)
def _kill_running_programs() -> Iterator[None]:
    yield
    kill_running()


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    command = [sys.executable, str(Path(__file__).with_name("stub_backend.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Stub(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture
def over_http(server) -> Target:
    """Target at a running server of this project."""
    return Target(server.configuration, f"agent-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite file with the server's schema. Creating the schema takes longer than most of the programs."""
    file = tmp_path_factory.mktemp("store") / "new.db"
    with Backend(Configuration(base_url=f"sqlite:///{file}")) as backend:
        backend.metrics("agent-123")
    return file


@pytest.fixture
def in_process(embedded, empty_store) -> Target:
    """Target in an embedded SQLite store."""
    shutil.copy(empty_store, embedded.base_url.removeprefix("sqlite:///"))
    return Target(embedded, f"agent-{uuid.uuid4().hex}")


@pytest.fixture(params=["over_http", "in_process"])
def target(request) -> Target:
    """Target of each kind; the test runs with both."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["sync", "async"])
def form(request) -> str:
    """Form of the SDK that a program uses; the test runs with both."""
    return request.param


@pytest.fixture
def outbox_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a new outbox file, which XPANDER_OUTBOX names."""
    monkeypatch.setenv("XPANDER_OUTBOX", str(tmp_path / "outbox.db"))
    return tmp_path / "outbox.db"
