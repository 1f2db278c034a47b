"""Table of ends: each way to leave a run, in each form of code, on each route."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from runs.backend import Recorder
from xpander_sdk import current_run

RESPONSE = {
    "object": "chat.completion",
    "id": "chatcmpl-1",
    "model": "gpt-5-mini",
    "choices": [{"message": {"role": "assistant", "content": "recorded"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
}
FAILED_RESPONSE = {
    "object": "response", "id": "resp_1", "model": "gpt-5-mini", "status": "failed", "output": [],
    "error": {"code": "server_error", "message": "the model failed"},
}  # fmt: skip
INCOMPLETE_RESPONSE = {
    "object": "response", "id": "resp_2", "model": "gpt-5-mini", "status": "incomplete", "output": [],
    "incomplete_details": {"reason": "max_output_tokens"},
}  # fmt: skip
AGNO_ERROR = {"run_id": "r", "status": "ERROR", "content": "quota exceeded", "metrics": None}
CLAUDE_ERROR = {
    "subtype": "error_max_turns", "is_error": True, "session_id": "s", "num_turns": 3, "result": None, "usage": None,
}  # fmt: skip
HAYSTACK_STOP = {
    "messages": [], "last_message": {}, "exit_reason": "max_agent_steps", "token_usage": None, "tool_call_counts": None,
}  # fmt: skip
SMOLAGENTS_STOP = {"output": None, "state": "max_steps_error", "steps": [], "token_usage": None, "timing": None}


class GraphBubbleUp(Exception):
    """Interrupt of LangGraph, by its name."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@frozen
class Way:
    """One way to leave a run.

    Attributes:
        act: Function that the code of the run calls; it may raise.
        is_success: Expected outcome.
        result: Expected result of functions; generators have yielded "so far" before.
        error: Expected reason.
    """

    act: Callable[[], Any]
    is_success: bool | None
    result: str | None = None
    error: str | None = None


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def setting(**values: Any) -> Callable[[], Any]:
    def act() -> None:
        for name, value in values.items():
            setattr(current_run(), name, value)

    return act


def recording(result: Any) -> Callable[[], Any]:
    return lambda: current_run().record(result) and None


WAYS = {
    "return": Way(lambda: None, True),
    "return a text": Way(lambda: "answer", True, "answer"),
    "recorded response": Way(recording(RESPONSE), True, "recorded"),
    "result that is set": Way(setting(result="mine"), True, "mine"),
    "failure that is set": Way(setting(is_success=False), False),
    "error that is set": Way(setting(error="no answer"), False, None, "no answer"),
    "exception": Way(raising(ValueError("bad")), False, None, "ValueError: bad"),
    "exception without a text": Way(raising(Unprintable()), False, None, "Unprintable"),
    "cancellation": Way(raising(asyncio.CancelledError()), False, None, "CancelledError"),
    "KeyboardInterrupt": Way(raising(KeyboardInterrupt()), False, None, "KeyboardInterrupt"),
    "SystemExit of success": Way(raising(SystemExit(0)), True),
    "SystemExit without a code": Way(raising(SystemExit()), True),
    "SystemExit of failure": Way(raising(SystemExit(2)), False, None, "SystemExit: 2"),
    "interrupt of LangGraph": Way(raising(GraphBubbleUp()), None),
    "kept open": Way(lambda: current_run().keep_open(), None),
    "failed response": Way(recording(FAILED_RESPONSE), False, None, "the model failed"),
    "incomplete response": Way(recording(INCOMPLETE_RESPONSE), False, None, "max_output_tokens"),
    "failed run of agno": Way(recording(AGNO_ERROR), False, None, "quota exceeded"),
    "failed run of Claude": Way(recording(CLAUDE_ERROR), False, None, "error_max_turns"),
    "steps of haystack": Way(recording(HAYSTACK_STOP), False, None, "max_agent_steps"),
    "steps of smolagents": Way(recording(SMOLAGENTS_STOP), False, None, "max_steps_error"),
    "failure, then success": Way(lambda: [current_run().record(r) for r in (FAILED_RESPONSE, RESPONSE)] and None, True,
                                 "recorded"),
}  # fmt: skip
ABANDONED = Way(lambda: None, True)


def in_block(recorder: Recorder, way: Way) -> None:
    with recorder.sdk.run() as run:
        run.result = way.act() or run.result


def in_async_block(recorder: Recorder, way: Way) -> None:
    async def program() -> None:
        async with recorder.sdk.run() as run:
            run.result = way.act() or run.result

    run_async(program())


def in_function(recorder: Recorder, way: Way) -> None:
    @recorder.sdk.run()
    def answer() -> Any:
        return way.act()

    answer()


def in_coroutine(recorder: Recorder, way: Way) -> None:
    @recorder.sdk.run()
    async def answer() -> Any:
        await asyncio.sleep(0)
        return way.act()

    run_async(answer())


def in_generator(recorder: Recorder, way: Way) -> None:
    @recorder.sdk.run()
    def answer() -> Any:
        yield "so "
        yield "far"
        way.act()

    iterator = answer()
    for _ in iterator:
        if way is ABANDONED:
            break
    del iterator


def in_async_generator(recorder: Recorder, way: Way) -> None:
    @recorder.sdk.run()
    async def answer() -> Any:
        yield "so "
        yield "far"
        way.act()

    async def program() -> None:
        iterator = answer()
        async for _ in iterator:
            if way is ABANDONED:
                break
        await iterator.aclose()

    run_async(program())


def run_async(coroutine: Any) -> None:
    """Run a coroutine step by step: an event loop handles some of these exceptions itself."""
    runner = asyncio.Runner()
    caught: list[BaseException] = []

    async def catch() -> None:
        try:
            await coroutine
        except BaseException as error:
            caught.append(error)

    with runner:
        runner.run(catch())
    if caught:
        error = caught.pop()
        raise error


FUNCTIONS = {
    "block": in_block, "async block": in_async_block, "function": in_function, "coroutine": in_coroutine,
}  # fmt: skip
GENERATORS = {"generator": in_generator, "async generator": in_async_generator}


def leave(form: Callable[[Recorder, Way], None], recorder: Recorder, way: Way) -> BaseException | None:
    try:
        form(recorder, way)
    except BaseException as error:
        return error
    return None


@pytest.mark.parametrize("form", [*FUNCTIONS, *GENERATORS])
@pytest.mark.parametrize("way", WAYS)
def test_way_to_leave_run_has_its_outcome(recorder: Recorder, form: str, way: str):
    expected = WAYS[way]
    leave({**FUNCTIONS, **GENERATORS}[form], recorder, expected)
    report = recorder.report  # one request: the outbox merges the start into the end, as both are pending
    assert report["is_success"] is expected.is_success
    result = expected.result
    if form in GENERATORS and way != "result that is set":
        result = "so far"
    assert report["result"] == result
    if expected.error is not None:
        assert expected.error in report["error"]
    assert 0 < report["duration"] < 60


@pytest.mark.parametrize("form", GENERATORS)
def test_abandoned_generator_is_a_success_with_its_result_so_far(recorder: Recorder, form: str):
    assert leave(GENERATORS[form], recorder, ABANDONED) is None
    report = recorder.report
    assert (report["is_success"], report["result"]) == (True, "so ")


@pytest.mark.parametrize("form", [*FUNCTIONS, *GENERATORS])
@pytest.mark.parametrize("way", [name for name in WAYS if leave(lambda _, way: way.act(), None, WAYS[name])])
def test_exception_of_caller_is_unchanged(recorder: Recorder, form: str, way: str):
    cause, context = KeyError("cause"), KeyError("context")
    original = leave(lambda _, way: way.act(), recorder, WAYS[way])
    assert original is not None
    original.__cause__, original.__context__, original.__suppress_context__ = cause, context, False
    original.__traceback__ = None
    arguments = original.args

    error = leave({**FUNCTIONS, **GENERATORS}[form], recorder, WAYS[way])

    assert error is original
    assert (error.__cause__, error.__context__, error.__suppress_context__) == (cause, context, False)
    assert error.args == arguments
    assert not hasattr(error, "__notes__")
    assert traceback.extract_tb(error.__traceback__)[-1].name == "act"


def test_exceptions_of_a_failed_report_stay_out_of_the_callers(direct: Recorder):
    direct.server.has_outage = True
    with contextlib.suppress(ValueError), direct.sdk.run() as run:
        error = ValueError("bad")
        raise error
    assert error.__context__ is None
    assert len(run.report_errors) == 1
