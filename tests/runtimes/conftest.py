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

from runtimes.programs import Target, kill_started
from xpander_sdk import Backend, Configuration


@frozen
class Stub:
    """The least backend, running."""

    url: str

    def target(self, behaviour: str = "good") -> Target:
        """An agent's name says how its reports are answered."""
        return Target(Configuration(base_url=self.url, api_key="k"), f"{behaviour}-{uuid.uuid4().hex}")

    def wait_for_report(self, target: Target) -> None:
        """Return when the stub has received the first report of the target."""
        deadline = time.monotonic() + 60
        while self._seen()["reports"].get(target.agent_id, 0) == 0:
            assert time.monotonic() < deadline, "no report came"
            time.sleep(0.02)

    def reports(self, target: Target) -> int:
        return self._seen()["reports"].get(target.agent_id, 0)

    def _seen(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/seen", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(autouse=True)
def _no_program_outlives_its_test() -> Iterator[None]:
    yield
    kill_started()


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    command = [sys.executable, str(Path(__file__).with_name("stub.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Stub(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture
def over_http(server) -> Target:
    """A really started server of ours."""
    return Target(server.configuration, f"agent-{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: making its tables takes longer than most of the programs."""
    file = tmp_path_factory.mktemp("store") / "new.db"
    with Backend(Configuration(base_url=f"sqlite:///{file}")) as backend:
        backend.metrics("agent-123")
    return file


@pytest.fixture
def in_process(embedded, new_store) -> Target:
    """A file of this machine."""
    shutil.copy(new_store, embedded.base_url.removeprefix("sqlite:///"))
    return Target(embedded, f"agent-{uuid.uuid4().hex}")


@pytest.fixture(params=["over_http", "in_process"])
def target(request) -> Target:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["sync", "async"])
def form(request) -> str:
    return request.param
