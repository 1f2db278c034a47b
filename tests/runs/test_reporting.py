"""Reports of runs: their fields, their errors, updates, and runs that end in another process."""

import asyncio
import contextlib
import gc
import logging
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, Configuration, Task, Timeouts, Tokens, current_run

ANYTHING = {"object": "chat.completion", "model": "m", "choices": []}


def test_report_has_no_defaults_for_what_is_unknown(direct: Recorder):
    direct.sdk.run(id="ext-1").finish()
    report = direct.report
    assert (report["duration"], report["used_tools"], report["tokens"], report["result"]) == (None, None, None, None)


def test_update_keeps_tools_and_duration(embedded: Configuration):
    backend = Backend(embedded)
    with backend.run("agent", id="ext-1") as run:
        run.used_tools.append("search")
        time.sleep(0.002)
    before = Task.load("ext-1", embedded)
    backend.run("agent", id="ext-1").update(result="corrected")
    after = Task.load("ext-1", embedded)
    assert (after.result, after.status, after.used_tools) == ("corrected", "completed", ["search"])
    assert after.duration == before.duration != 0


def test_stated_values_take_precedence(direct: Recorder):
    with direct.sdk.run(input="question") as run:
        run.record({**ANYTHING, "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
        run.tokens = Tokens(prompt_tokens=5)
        run.duration = 12.5
        run.llm_response = {"mine": True}
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["duration"]) == (5, 12.5)
    assert (report["llm_response"], report["input"]) == ({"mine": True}, "question")


def test_outbox_reports_the_start(server: RecordingBackend, tmp_path):
    recorder = Recorder(Backend(server.configuration(tmp_path / "outbox.db")), server)
    with recorder.sdk.run(input="question"):
        [start] = recorder.reports
        assert (start["is_success"], start["input"], start["duration"]) == (None, "question", None)
    _, end = recorder.reports
    assert end["id"] == start["id"]
    assert end["is_success"] is True


def test_start_is_not_reported_where_the_program_declines_it(server: RecordingBackend, tmp_path):
    recorder = Recorder(Backend(server.configuration(tmp_path / "outbox.db")), server)
    with recorder.sdk.run(start=False):
        assert recorder.reports == []
    assert len(recorder.reports) == 1


def test_route_can_be_stated(server: RecordingBackend, tmp_path):
    backend = Backend(server.configuration(tmp_path / "outbox.db"))
    with backend.run(via="direct"):
        pass
    assert len(server.reports) == 1
    assert backend.outbox.stats().accepted == 0


def test_update_reports_the_run_in_progress(recorder: Recorder):
    with recorder.sdk.run() as run:
        run.update(result="half way")
        [progress] = recorder.reports
        assert (progress["is_success"], progress["result"]) == (None, "half way")
        run.result = "done"
    assert recorder.reports[-1]["result"] == "done"


def test_run_is_started_and_finished_asynchronously(recorder: Recorder):
    async def program() -> None:
        await recorder.sdk.run(id="ext-1", input="question").astart()
        await recorder.sdk.run(id="ext-1").aupdate(result="half way")
        await recorder.sdk.run(id="ext-1").afinish(result="done")

    asyncio.run(program())
    assert {report["id"] for report in recorder.reports} == {"ext-1"}
    assert recorder.reports[-1]["is_success"] is True


def test_run_is_finished_by_another_process(embedded: Configuration):
    Backend(embedded).run("agent", id="ext-1", input="question").start()
    assert Task.load("ext-1", embedded).status == "executing"
    program = (
        "import sys; from xpander_sdk import Backend, Configuration; "
        "Backend(Configuration(base_url=sys.argv[1])).run('agent', id='ext-1').finish(result='done')"
    )
    subprocess.run([sys.executable, "-c", program, embedded.base_url], check=True, timeout=60)
    task = Task.load("ext-1", embedded)
    assert (task.status, task.result, task.input.text) == ("completed", "done", "question")


def test_killed_run_stays_in_progress(embedded: Configuration, tmp_path):
    program = (
        "import os, signal, sys; from xpander_sdk import Backend, Configuration\n"
        "backend = Backend(Configuration(base_url=sys.argv[1], outbox=sys.argv[2]))\n"
        "with backend.run('agent', id='ext-1', input='question'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    outbox = str(tmp_path / "outbox.db")
    process = subprocess.run([sys.executable, "-c", program, embedded.base_url, outbox], check=False, timeout=60)
    assert process.returncode == -9
    assert Backend(embedded.with_options(outbox=outbox)).outbox.drain(20)
    assert Task.load("ext-1", embedded).status == "executing"


def test_unknown_value_is_refused(direct: Recorder):
    with pytest.raises(TypeError, match="resutl"):
        direct.sdk.run().finish(resutl="done")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        direct.sdk.run().resutl = "done"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda server: setattr(server, "has_outage", True),
        lambda server: setattr(server, "status", 500),
        lambda server: setattr(server, "status", 403),
    ],
)
def test_failed_report_is_logged_once_and_kept_in_the_run(
    direct: Recorder, caplog: pytest.LogCaptureFixture, break_it: Any
):
    break_it(direct.server)
    for _ in range(3):
        with direct.sdk.run() as run:
            pass
        assert len(run.report_errors) == 1
    records = [record for record in caplog.records if "was not recorded completely" in record.message]
    assert len([record for record in records if record.levelno >= logging.WARNING]) == 1


def test_failed_report_is_raised_on_request_unless_the_caller_has_an_exception(direct: Recorder):
    direct.server.status = 403
    with pytest.raises(Exception, match="403"), direct.sdk.run(on_error="raise"):
        pass
    with pytest.raises(KeyError), direct.sdk.run(on_error="raise"):
        raise KeyError


def test_run_without_agent_is_not_recorded_and_does_not_fail(server: RecordingBackend):
    with Backend(server.configuration(agent_id=None)).run() as run:
        assert not run.is_recording
        run.record(ANYTHING)
    assert server.reports == []
    assert "agent" in run.report_errors[0]


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({"used_tools": 5}, "used_tools"),
        ({"tokens": {"prompt_tokens": "many"}}, "tokens"),
        ({"input": iter("abc")}, "input"),
        ({"duration": "long"}, "duration"),
    ],
)
def test_invalid_value_is_left_out_and_the_rest_reported(direct: Recorder, values: dict[str, Any], lost: str):
    with direct.sdk.run() as run:
        run.result = "done"
        for name, value in values.items():
            setattr(run, name, value)
    assert (direct.report["result"], direct.report[lost]) == ("done", None)
    assert len(run.report_errors) == 1


def test_failing_input_function_does_not_disturb_the_call(direct: Recorder):
    @direct.sdk.run(input=lambda question: question.missing)
    def answer(question: str) -> str:
        return "done"

    assert answer("secret") == "done"
    assert (direct.report["input"], direct.report["result"]) == (None, "done")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"question": "2+2?", "api_key": "secret"}, "2+2?"),
        ({"api_key": "secret", "topic": "rain"}, "rain"),
        ({"api_key": "secret", "user_id": "u"}, None),
        ({"messages": [{"role": "user", "content": "hi"}]}, "hi"),
        ({"number": 3}, None),
    ],
)
def test_input_is_the_argument_that_is_a_request(direct: Recorder, arguments: dict[str, Any], expected: str | None):
    names = ", ".join(arguments)
    namespace: dict[str, Any] = {}
    exec(f"def answer({names}): pass", namespace)
    direct.sdk.run()(namespace["answer"])(**arguments)
    assert direct.report["input"] == expected


def test_self_and_objects_are_never_recorded(direct: Recorder):
    class Agent:
        password = "secret"

        @direct.sdk.run()
        def answer(self, options: object) -> object:
            return self

    Agent().answer(object())
    report = direct.report
    assert (report["input"], report["result"], report["llm_response"]) == (None, None, None)


def test_mask_applies_before_disk_and_network(recorder: Recorder):
    def mask(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "input": "***"}

    with recorder.sdk.run(input="secret", mask=mask):
        pass
    assert [report["input"] for report in recorder.reports] == ["***"] * len(recorder.reports)


def test_failing_mask_removes_texts_and_keeps_numbers(direct: Recorder):
    def mask(fields: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("secret")

    with direct.sdk.run(input="secret", mask=mask) as run:
        run.result = "secret"
    report = direct.report
    assert (report["input"], report["result"], report["is_success"]) == (None, None, True)
    assert report["duration"] > 0


def test_direct_report_to_a_hanging_backend_is_limited(monkeypatch: pytest.MonkeyPatch):
    from xpander_sdk.runs import sending

    monkeypatch.setattr(sending, "DIRECT_SECONDS", 0.3)
    monkeypatch.setattr(sending, "OUTAGE_SECONDS", 0.2)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never responds
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        backend = Backend(Configuration(base_url=url, api_key="k", agent_id="a", timeouts=Timeouts(total=30)))
        started_at = time.monotonic()
        for _ in range(2):
            with backend.run():
                pass
        assert time.monotonic() - started_at < 5
        backend.close()


def test_run_keeps_nothing_of_the_caller_alive(direct: Recorder):
    class Thing:
        """Object that the caller uses in a run."""

    thing = Thing()
    reference = weakref.ref(thing)

    @direct.sdk.run()
    def answer(thing: Thing) -> None:
        current_run().record({**ANYTHING, "thing": thing})
        raise ValueError(thing)

    with contextlib.suppress(ValueError):
        answer(thing)
    del thing
    gc.collect()
    assert reference() is None


def test_direct_runs_start_no_thread(direct: Recorder):
    before = threading.active_count()
    with direct.sdk.run():
        pass
    assert threading.active_count() == before


def test_run_that_ended_can_be_entered_again(direct: Recorder):
    run = direct.sdk.run()
    for _ in range(2):
        with run:
            pass
    assert len({report["id"] for report in direct.reports}) == 1
    assert "entered again" in run.report_errors[0]


def test_block_within_the_block_of_the_same_run_is_part_of_it(direct: Recorder):
    with direct.sdk.run() as run:
        with run:
            assert current_run() is run
        assert direct.reports == []
        assert current_run() is run
    assert len(direct.reports) == 1


def test_finish_within_the_block_reports_once(direct: Recorder):
    with direct.sdk.run() as run:
        run.finish(result="done")
    assert direct.report["result"] == "done"


def test_repr_shows_id_agent_and_state(direct: Recorder):
    run = direct.sdk.run("agent-1", id="ext-1")
    assert repr(run) == "<Run 'ext-1' of 'agent-1', not recording>"
    with run:
        assert repr(run) == "<Run 'ext-1' of 'agent-1', recording>"
    assert repr(run) == "<Run 'ext-1' of 'agent-1', ended>"
