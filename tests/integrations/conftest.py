"""Programs of frameworks, each in the environment of its framework, and the tasks that they record."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.server import KEY, ORGANIZATION, running_server
from xpander_sdk import Task

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TIMEOUT = 300  # seconds; frameworks take several seconds to import on a busy machine

Recorded = dict[str, list[Task]]


def environment_python(name: str, config: pytest.Config) -> Path:
    """Return the interpreter of a framework's environment; without it, the test is skipped.

    With OLDEST=1, the environment has the oldest supported version of the framework.
    """
    name += "-oldest" if os.environ.get("OLDEST") else ""
    python = ROOT / ".integrations" / name / "bin" / "python"
    if not python.exists():
        if config.option.markexpr == "integration" and os.environ.get("CI"):
            pytest.fail(f".integrations/{name} does not exist, although `make integrations` creates it", pytrace=False)
        pytest.skip(f".integrations/{name} does not exist; create it with `make integrations`")
    return python


def run_program(python: Path, arguments: list[str], folder: Path, input: str | None = None, **variables: str) -> str:
    """Run a program in a framework's environment, and return its output.

    The environment has no network but the loopback interface's, as far as frameworks respect proxies.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        # Some frameworks take 10 s to compile. No bytecode is written beside the source.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(python.parents[1] / "bytecode"),
        "XDG_DATA_HOME": str(folder / "data"),  # CrewAI keeps outputs there, which another version may not read
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "OPENAI_API_KEY": "no-key",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "CREWAI_DISABLE_TELEMETRY": "true",
        **variables,
    }
    process = subprocess.run(
        [str(python), *arguments], input=input, cwd=folder, env=environment, capture_output=True, text=True,
        timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert process.returncode == 0, f"{arguments} ended with {process.returncode}: {process.stderr[-4_000:]}"
    assert "was not recorded completely" not in process.stderr, process.stderr[-4_000:]
    return process.stdout


@pytest.fixture(scope="module", params=["outbox", "direct"])
def route(request: pytest.FixtureRequest) -> str:
    """Route of the reports."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def recorded(route: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Tasks that the scenarios of the module's framework record on a server, by scenario."""
    name: str = request.module.FRAMEWORK
    python = environment_python(name, request.config)
    folder = tmp_path_factory.mktemp(name)
    with running_server(folder / "runs.db") as server:
        variables = {
            "XPANDER_BASE_URL": server.url,
            "XPANDER_API_KEY": KEY,
            "XPANDER_ORGANIZATION_ID": ORGANIZATION,
        }
        if route == "outbox":
            variables["XPANDER_OUTBOX"] = str(folder / "outbox.db")
        run_program(python, ["-m", f"integrations.{name.replace('-', '_')}_runs"], folder, **variables)
        with closing(sqlite3.connect(folder / "runs.db")) as store:
            task_ids = [row[0] for row in store.execute("SELECT id FROM tasks ORDER BY rowid")]
        tasks: Recorded = {}
        for task_id in task_ids:
            task = Task.load(task_id, server.configuration)
            tasks.setdefault(task.metadata.get("scenario", ""), []).append(task)
        return tasks


@pytest.fixture
def only(recorded: Recorded) -> Callable[[str], Task]:
    """Return a function that returns the only task of a scenario."""

    def find(name: str) -> Task:
        [task] = recorded[name]
        return task

    return find
