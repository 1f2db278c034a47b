"""Decorated functions: their kind, signature, generator protocol, and the current run of each step."""

import asyncio
import contextlib
import gc
import inspect
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, current_run


def functions() -> dict[str, Any]:
    def plain(question: str, *, limit: int = 1) -> str:
        """Answer."""
        return question

    async def coroutine(question: str, *, limit: int = 1) -> str:
        """Answer."""
        return question

    def generator(question: str, *, limit: int = 1) -> Any:
        """Answer."""
        yield question

    async def async_generator(question: str, *, limit: int = 1) -> Any:
        """Answer."""
        yield question

    return {"plain": plain, "coroutine": coroutine, "generator": generator, "async generator": async_generator}


@pytest.mark.parametrize("kind", functions())
def test_decorated_function_keeps_kind_name_and_signature(direct: Recorder, kind: str):
    function = functions()[kind]
    decorated = direct.sdk.run()(function)
    for predicate in (
        inspect.isfunction, inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction,
    ):  # fmt: skip
        assert predicate(decorated) == predicate(function)
    assert inspect.signature(decorated) == inspect.signature(function)
    assert (decorated.__name__, decorated.__doc__) == (function.__name__, "Answer.")


@pytest.mark.parametrize("value", [int, "text", None, 3])
def test_only_functions_can_be_decorated(direct: Recorder, value: Any):
    with pytest.raises(TypeError, match="a run must decorate a function"):
        direct.sdk.run()(value)


def test_each_call_is_a_run_of_its_own(direct: Recorder):
    @direct.sdk.run()
    def answer(question: str) -> str:
        return question

    assert [answer(text) for text in "abc"] == ["a", "b", "c"]
    assert [(report["input"], report["result"]) for report in direct.reports] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert len({report["id"] for report in direct.reports}) == 3


def test_run_of_generator_is_current_only_inside_it(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        for _ in range(2):
            yield current_run().id

    with direct.sdk.run() as outer:
        seen = []
        for run_id in answer():
            seen.append(run_id)
            assert current_run() is outer
    assert len(set(seen)) == 1
    assert outer.id not in seen
    assert not current_run().is_recording


def test_interleaved_generators_keep_their_runs(direct: Recorder):
    @direct.sdk.run()
    def answer(text: str) -> Any:
        while True:
            current_run().used_tools.append(text)
            yield current_run().id

    one, two = answer("one"), answer("two")
    ids = [next(iterator) for _ in range(3) for iterator in (one, two)]
    assert len(set(ids)) == 2
    two.close()
    one.close()
    assert {report["id"]: report["used_tools"] for report in direct.reports} == {
        ids[0]: ["one"] * 3, ids[1]: ["two"] * 3,
    }  # fmt: skip


def test_interleaved_async_generators_in_tasks_keep_their_runs(direct: Recorder):
    @direct.sdk.run()
    async def answer(text: str) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
            current_run().used_tools.append(text)
            yield text

    async def consume(text: str) -> None:
        async for _ in answer(text):
            assert not current_run().is_recording
            await asyncio.sleep(0)

    async def program() -> None:
        await asyncio.gather(*map(consume, "abc"))

    asyncio.run(program())
    assert sorted(report["used_tools"] for report in direct.reports) == [[text] * 3 for text in "abc"]


def test_generator_receives_what_is_sent_and_returns_its_value(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        received = yield "first"
        received += yield "second"
        return received

    def consume() -> Any:
        return (yield from answer())

    consumer = consume()
    assert next(consumer) == "first"
    assert consumer.send(1) == "second"
    with pytest.raises(StopIteration) as stop:
        consumer.send(2)
    assert stop.value.value == 3
    assert direct.report["result"] == "firstsecond"


Step = st.sampled_from(["next", "send", "throw", "throw and handle", "close"])


class Sent(Exception):
    """Exception that the consumer throws in."""


def stepping_generator(log: list[Any]) -> Any:
    """Yield numbers; log what the consumer sends, handle some exceptions, and raise a new one for others."""
    try:
        number = 0
        while True:
            try:
                received = yield number
                log.append(received)
            except Sent as error:
                log.append((error.args, error.__context__))
                if error.args == ("new",):
                    raise KeyError(number) from None
            number += 1
    finally:
        log.append("closed")


def drive(generator: Any, steps: list[str]) -> list[Any]:
    """Return what a consumer sees."""
    seen: list[Any] = [next(generator)]
    for number, step in enumerate(steps):
        try:
            if step == "next":
                seen.append(next(generator))
            elif step == "send":
                seen.append(generator.send(number))
            elif step == "close":
                seen.append(generator.close())
            else:
                seen.append(generator.throw(Sent("handled" if step == "throw and handle" else "new")))
        except BaseException as error:
            seen.append((type(error), error.args, type(error.__context__), error.__suppress_context__))
    return seen


async def drive_async(generator: Any, steps: list[str]) -> list[Any]:
    seen: list[Any] = [await anext(generator)]
    for number, step in enumerate(steps):
        try:
            if step == "next":
                seen.append(await anext(generator))
            elif step == "send":
                seen.append(await generator.asend(number))
            elif step == "close":
                seen.append(await generator.aclose())
            else:
                seen.append(await generator.athrow(Sent("handled" if step == "throw and handle" else "new")))
        except BaseException as error:
            seen.append((type(error), error.args, type(error.__context__), error.__suppress_context__))
    return seen


@given(steps=st.lists(Step, max_size=6))
def test_decorated_generator_behaves_as_the_plain_one(steps: list[str]):
    server = RecordingBackend()
    plain_log: list[Any] = []
    log: list[Any] = []
    expected = drive(stepping_generator(plain_log), steps)
    decorated = Backend(server.configuration()).run()(stepping_generator)(log)
    assert drive(decorated, steps) == expected
    decorated.close()
    assert log == plain_log or [*plain_log, "closed"] == log
    assert len(server.reports) == 1


@given(steps=st.lists(Step, max_size=6))
def test_decorated_async_generator_behaves_as_the_plain_one(steps: list[str]):
    server = RecordingBackend()

    async def stepping(log: list[Any]) -> Any:
        iterator = stepping_generator(log)
        item = next(iterator)
        try:
            while True:
                try:
                    received = yield item
                except Sent as error:
                    item = iterator.throw(error)
                else:
                    item = iterator.send(received)
        finally:
            iterator.close()

    async def program() -> None:
        plain_log: list[Any] = []
        log: list[Any] = []
        plain, decorated = stepping(plain_log), Backend(server.configuration()).run()(stepping)(log)
        assert await drive_async(decorated, steps) == await drive_async(plain, steps)
        await decorated.aclose()
        await plain.aclose()
        assert log == plain_log

    asyncio.run(program())
    assert len(server.reports) == 1


def test_generator_that_is_dropped_ends_its_run(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        yield "so far"
        yield "not read"

    iterator = answer()
    next(iterator)
    del iterator
    gc.collect()
    assert (direct.report["is_success"], direct.report["result"]) == (True, "so far")


def test_generator_that_is_never_started_is_no_run(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        yield "text"

    answer().close()
    assert direct.reports == []


def test_function_that_returns_a_generator_ends_with_it(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        return (text for text in ("a", "b"))

    iterator = answer()
    assert inspect.isgenerator(iterator)
    assert direct.reports == []
    assert list(iterator) == ["a", "b"]
    assert direct.report["result"] == "ab"


def test_function_that_returns_a_coroutine_ends_with_it(direct: Recorder):
    async def work() -> str:
        current_run().used_tools.append("search")
        return "done"

    @direct.sdk.run()
    def answer() -> Any:
        return work()

    assert asyncio.run(answer()) == "done"
    assert (direct.report["result"], direct.report["used_tools"]) == ("done", ["search"])


def test_data_items_of_a_generator_are_its_result(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        yield {"step": 1}
        yield {"step": 2}

    list(answer())
    assert direct.report["result"] == '[{"step": 1}, {"step": 2}]'


def test_chunks_of_a_generator_are_recorded_as_a_response(direct: Recorder):
    def chunk(text: str, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": text}}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}

    @direct.sdk.run()
    def answer() -> Any:
        yield chunk("Ra")
        yield chunk("iny", usage={"prompt_tokens": 9, "completion_tokens": 2})

    list(answer())
    assert direct.report["result"] == "Rainy"
    assert direct.report["tokens"]["prompt_tokens"] == 9


def test_cancelled_task_reports_its_failure(direct: Recorder):
    @direct.sdk.run()
    async def answer() -> None:
        await asyncio.sleep(60)

    async def program() -> None:
        task = asyncio.create_task(answer())
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(program())
    assert direct.report["is_success"] is False


def test_cancelled_task_of_trio_reports_its_failure(direct: Recorder):
    @direct.sdk.run()
    async def answer() -> None:
        await trio.sleep(60)

    async def program() -> None:
        with trio.move_on_after(0.05) as scope:
            await answer()
        assert scope.cancelled_caught

    trio.run(program)
    assert (direct.report["is_success"], direct.report["error"].partition(":")[0]) == (False, "Cancelled")
