"""Recording: responses, streams and results add calls, tools, text and failures to a run."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, current_run
from xpander_sdk.runs import watch
from xpander_sdk.runs.calls import MAX_CALLS, Calls


def response(id: str | None = "chatcmpl-1", text: str = "4", **usage: int) -> dict[str, Any]:
    return {
        "object": "chat.completion", "id": id, "model": "gpt-5-mini",
        "choices": [{"message": {"role": "assistant", "content": text, "tool_calls": [
            {"type": "function", "id": "c", "function": {"name": "search", "arguments": "{}"}}]}}],
        "usage": usage or {"prompt_tokens": 9, "completion_tokens": 2},
    }  # fmt: skip


def chunks(text: str = "Rainy", id: str = "chatcmpl-1", has_usage: bool = True) -> list[dict[str, Any]]:
    shape = {"id": id, "object": "chat.completion.chunk", "model": "gpt-5-mini"}
    parts = [{**shape, "choices": [{"index": 0, "delta": {"content": letter}}]} for letter in text]
    usage = {"prompt_tokens": 9, "completion_tokens": len(text)}
    return [*parts, {**shape, "choices": [], "usage": usage}] if has_usage else parts


def test_record_returns_its_argument(direct: Recorder):
    with direct.sdk.run() as run:
        value = response()
        assert run.record(value) is value


def test_tokens_are_the_sum_of_the_calls(direct: Recorder):
    with direct.sdk.run() as run:
        for number in range(3):
            run.record(response(f"chatcmpl-{number}"))
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["tokens"]["completion_tokens"]) == (27, 6)
    assert report["used_tools"] == ["search"] * 3


def test_call_with_the_same_response_id_counts_once(direct: Recorder):
    with direct.sdk.run() as run:
        run.record(response())
        run.record(response())
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["used_tools"]) == (9, ["search"])


def test_same_object_counts_once_without_an_id(direct: Recorder):
    value = response(None)
    with direct.sdk.run() as run:
        run.record(value)
        run.record(value)
    assert direct.report["tokens"]["prompt_tokens"] == 9


def test_threads_record_into_one_run(direct: Recorder):
    with direct.sdk.run() as run, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run.record(response(f"chatcmpl-{number // 2}")), range(400)))
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], len(report["used_tools"])) == (1_800, 200)


def test_tools_that_the_caller_replaces_are_kept(direct: Recorder):
    with direct.sdk.run() as run:
        run.used_tools = ("calculator",)  # type: ignore[assignment]
        run.record(response())
    assert direct.report["used_tools"] == ["calculator", "search"]


def test_stream_that_was_watched_and_recorded_counts_once(direct: Recorder):
    with direct.sdk.run() as run:
        list(run.watch(iter(chunks())))
        run.record(response(text="Rainy"))
    assert direct.report["tokens"]["prompt_tokens"] == 9


@pytest.mark.parametrize("value", [None, 3, "text", object(), [], {}, {"answer": 42}, Exception("x")])
def test_unknown_object_adds_nothing(direct: Recorder, value: Any):
    with direct.sdk.run() as run:
        run.record(value)
    report = direct.report
    assert (report["tokens"], report["result"], report["llm_response"], report["is_success"]) == (
        None,
        None,
        None,
        True,
    )
    assert run.report_errors == ()


class Hostile:
    """Object whose attributes all raise."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_hostile_object_does_not_disturb_the_run(direct: Recorder):
    hostile = Hostile()
    with direct.sdk.run() as run:
        assert run.record(hostile) is hostile
    assert direct.report["is_success"] is True


def test_returned_sum_of_recorded_responses_is_not_counted_again(direct: Recorder):
    @direct.sdk.run()
    def answer() -> Any:
        current_run().record(response())
        return {"answer": "4", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}

    answer()
    assert direct.report["tokens"]["prompt_tokens"] == 9
    assert direct.report["result"].startswith('{"answer"')


def test_returned_response_is_recorded(direct: Recorder):
    direct.sdk.run()(lambda: response())()
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["result"], report["used_tools"]) == (9, "4", ["search"])


def test_llm_response_is_the_last_recorded_one(direct: Recorder):
    with direct.sdk.run() as run:
        run.record(response("chatcmpl-1"))
        run.record(response("chatcmpl-2"))
    assert direct.report["llm_response"]["id"] == "chatcmpl-2"


def test_watch_passes_chunks_on_when_they_arrive(direct: Recorder):
    produced: list[Any] = []

    def stream() -> Any:
        for chunk in chunks():
            produced.append(chunk)
            yield chunk

    with direct.sdk.run() as run:
        for number, chunk in enumerate(run.watch(stream()), start=1):
            assert produced[-1] is chunk
            assert len(produced) == number
    assert (direct.report["result"], direct.report["tokens"]["completion_tokens"]) == ("Rainy", 5)


def test_watch_passes_asynchronous_chunks_on(direct: Recorder):
    async def stream() -> Any:
        for chunk in chunks():
            yield chunk

    async def program() -> None:
        async with direct.sdk.run() as run:
            assert [chunk async for chunk in run.watch(stream())] == chunks()

    asyncio.run(program())
    assert direct.report["result"] == "Rainy"


def test_stream_that_is_not_read_to_its_end_is_recorded_so_far(direct: Recorder):
    with direct.sdk.run() as run:
        for _ in itertools.islice(run.watch(iter(chunks())), 3):
            pass
    assert direct.report["result"] == "Rai"


def test_error_of_a_stream_passes_and_the_part_is_recorded(direct: Recorder):
    def stream() -> Any:
        yield from chunks(has_usage=False)
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"), direct.sdk.run() as run:
        list(run.watch(stream()))
    assert (direct.report["is_success"], direct.report["result"]) == (False, "Rainy")


class SdkStream:
    """Stream as the SDKs of providers return it: iterator, context manager, attributes."""

    def __init__(self) -> None:
        self.request_id = "req-1"
        self.is_closed = False
        self._chunks = iter(chunks())

    def __iter__(self) -> Any:
        return self._chunks

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True

    async def __aiter__(self) -> Any:
        for chunk in self._chunks:
            yield chunk


def test_watched_stream_has_the_attributes_of_the_stream(direct: Recorder):
    stream = SdkStream()
    with direct.sdk.run() as run, run.watch(stream) as watched:  # type: ignore[attr-defined]
        assert watched.request_id == "req-1"
        assert len(list(watched)) == 6
        with pytest.raises(AttributeError):
            _ = watched.missing
    assert stream.is_closed
    assert direct.report["result"] == "Rainy"


def test_watched_asynchronous_stream_is_a_context_manager(direct: Recorder):
    stream = SdkStream()

    async def program() -> None:
        async with direct.sdk.run() as run, run.watch(stream) as watched:  # type: ignore[attr-defined]
            assert len([chunk async for chunk in watched]) == 6

    asyncio.run(program())
    assert stream.is_closed
    assert direct.report["result"] == "Rainy"


def test_long_stream_keeps_its_start_and_its_end(direct: Recorder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watch, "MAX_CHUNKS", 100)
    with direct.sdk.run() as run:
        list(run.watch(iter(chunks("a" * 1_000))))
    report = direct.report
    assert report["tokens"]["completion_tokens"] == 1_000
    assert 10 < len(report["result"]) <= 100


@given(splits=st.lists(st.integers(0, 5), max_size=4))
def test_stream_that_is_broken_off_anywhere_reports_once(splits: list[int]):
    server = RecordingBackend()
    with Backend(server.configuration()).run() as run:
        for count in splits:
            list(itertools.islice(run.watch(iter(chunks())), count))
    assert len(server.reports) == 1
    assert run.report_errors == ()


Call = st.fixed_dictionaries(
    {},
    optional={
        "response_id": st.sampled_from(["a", "b", "c"]),
        "model": st.sampled_from(["m", "n"]),
        "tokens": st.dictionaries(
            st.sampled_from(["prompt_tokens", "completion_tokens"]), st.integers(0, 9), min_size=1
        ),
        "prompt_includes_cache": st.booleans(),
    },
)


@given(calls=st.lists(Call, max_size=12))
def test_each_response_id_counts_once_with_its_tokens(calls: list[dict[str, Any]]):
    collected = Calls()
    for call in calls:
        collected.add(call)
    by_id: dict[str, dict[str, Any]] = {}
    for call in calls:
        if "response_id" in call and not by_id.get(call["response_id"], {}).get("tokens"):
            by_id[call["response_id"]] = call
    expected = [call for call in calls if "response_id" not in call] + list(by_id.values())
    assert len(collected.to_list()) == len(expected)
    tokens = collected.tokens()
    counts = [call["tokens"] for call in expected if call.get("tokens")]
    assert (0 if tokens is None else tokens.total_tokens) == sum(sum(count.values()) for count in counts)


def test_calls_beyond_the_limit_are_added_up():
    collected = Calls()
    for number in range(3 * MAX_CALLS):
        collected.add({"response_id": str(number), "model": "m", "tokens": {"prompt_tokens": 1}})
    assert len(collected.to_list()) <= MAX_CALLS
    tokens = collected.tokens()
    assert tokens is not None
    assert tokens.prompt_tokens == 3 * MAX_CALLS


def test_sum_of_different_providers_includes_the_cache():
    collected = Calls()
    collected.add({"tokens": {"prompt_tokens": 10, "cache_read_tokens": 4}, "prompt_includes_cache": True})
    collected.add({"tokens": {"prompt_tokens": 10, "cache_read_tokens": 4}, "prompt_includes_cache": False})
    tokens = collected.tokens()
    assert tokens is not None
    assert (tokens.prompt_tokens, tokens.cache_read_tokens) == (24, 8)
