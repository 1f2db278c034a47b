"""Runs that are off: the same objects, and no import, thread or file."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, Configuration, Run, current_run

PROGRAM = """
import os, sys, threading
from xpander_sdk import Backend, current_run
backend = Backend()
before = set(sys.modules)
opened = []
sys.addaudithook(lambda event, arguments: opened.append((event, arguments[0])) if event == "open" else None)

with backend.run(input="question") as run:
    run.record({"model": "m"})
    list(run.watch(iter("ab")))
    run.used_tools.append("search")
    run.update(result="half way")
    with backend.run():
        pass

@backend.run()
def answer(question):
    return current_run().record(question)

answer("question")
run.start().finish()
backend.run(enabled=False)
print(sorted(set(sys.modules) - before), opened, threading.active_count())
"""


def test_nothing_is_imported_opened_or_started(tmp_path):
    environment = {"XPANDER_RUNS": "off", "XPANDER_BASE_URL": f"sqlite:///{tmp_path}/runs.db", "XPANDER_AGENT_ID": "a",
                   "XPANDER_OUTBOX": str(tmp_path / "outbox.db")}  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=60, env=environment
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == "[] [] 1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"enabled": False}], ids=["variable", "argument"])
def test_no_run_is_reported(server: RecordingBackend, options: dict[str, Any]):
    backend = Backend(server.configuration(runs=bool(options)))

    async def program() -> None:
        async with backend.run(**options) as run:
            assert current_run() is run
            await run.aupdate(result="half way")
        await (await backend.run(**options).astart()).afinish()

    with backend.run(**options) as run:
        run.result = "done"
    asyncio.run(program())
    assert server.reports == []
    assert (run.result, run.is_recording, run.report_errors) == ("done", False, ())


def test_decorated_function_is_the_function_itself(server: RecordingBackend):
    def answer() -> None:
        pass

    assert Backend(server.configuration(runs=False)).run()(answer) is answer


def test_off_wins_over_enabled(server: RecordingBackend):
    with Backend(server.configuration(runs=False)).run(enabled=True):
        pass
    assert server.reports == []


@pytest.mark.parametrize(("word", "expected"), [("on", True), ("off", False)])
def test_variable_is_read_by_the_configuration(monkeypatch: pytest.MonkeyPatch, word: str, expected: bool):
    monkeypatch.setenv("XPANDER_RUNS", word)
    assert Configuration().runs is expected
    assert Configuration(runs=not expected).runs is not expected


def test_invalid_variable_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XPANDER_RUNS", "maybe")
    with pytest.raises(ValueError, match="XPANDER_RUNS must be 'on' or 'off', got 'maybe'"):
        Configuration()


def test_current_run_outside_of_every_run_records_nothing(direct: Recorder):
    run = current_run()
    run.used_tools.append("search")
    assert run.record("anything") == "anything"
    assert list(run.watch("ab")) == ["a", "b"]
    run.update(result="x")
    assert isinstance(run, Run)
    assert current_run().used_tools == []
    assert direct.reports == []
