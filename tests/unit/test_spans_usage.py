"""Tokens and model calls of a run: each counted once, whatever instrumentations have seen of it."""

from typing import Any

import pytest

from xpander_capture.spans import SpanSummary
from xpander_capture.spans.tree import link, supersedes, unique
from xpander_capture.spans.usage import MAX_CALLS, count_usage
from xpander_capture.spans.values import MAX_COUNT

SECOND = 1_000_000_000


def span(id: int, parent: int = 0, start: float = 1, end: float = 9, **more: Any) -> SpanSummary:
    times = {"start": round(start * SECOND), "end": round(end * SECOND)}
    return SpanSummary(trace_id="t", id=str(id), parent_id=str(parent) if parent else "", **{**times, **more})


def call(id: int, parent: int = 1, start: float = 1, end: float = 9, prompt: int = 0, **more: Any) -> SpanSummary:
    usage = {"prompt_tokens": prompt} if prompt else {}
    return span(id, parent, start, end, **{"kind": "model", "model": "m", "usage": usage, **more})


def count(*spans: SpanSummary) -> tuple[dict[str, int] | None, list[dict[str, Any]]]:
    (top,) = link(unique([span(1, kind="agent"), *spans] if not any(one.id == "1" for one in spans) else spans))
    return count_usage(top.subtree())


def prompts(*spans: SpanSummary) -> tuple[int, list[int]]:
    """Return the prompt tokens of the run and those of its calls."""
    tokens, calls = count(*spans)
    assert tokens is not None
    return tokens["prompt_tokens"], [one.get("tokens", {}).get("prompt_tokens", 0) for one in calls]


def test_call_has_what_its_span_states() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cache_read_tokens": 4, "reasoning_tokens": 1}
    facts = {"provider": "openai", "model": "m", "response_id": "r1", "cost": 0.5}
    tokens, calls = count(call(2, 1, 2, 3.5, usage=usage, error="no", **facts))
    assert tokens == {"prompt_tokens": 10, "completion_tokens": 2, "cache_read_tokens": 4, "cache_write_tokens": 0}
    assert calls == [{**facts, "tokens": usage, "prompt_includes_cache": True, "duration": 1.5}]
    (failed,) = count(call(2, error="no", is_error=True))[1]
    assert failed == {"model": "m", "duration": 8.0, "error": "no"}


@pytest.mark.parametrize(
    ("start", "end", "duration"), [(1, 2.5, 1.5), (2, 2, 0.0), (3, 2, None), (0, 2, None), (0, 0, None), (2, 0, None)]
)
def test_duration_of_a_call(start: float, end: float, duration: float | None) -> None:
    (described,) = count(call(2, 1, start, end))[1]
    assert described.get("duration") == duration


@pytest.mark.parametrize(
    ("prompt", "read", "write", "expected"),
    [(10, 4, 6, True), (10, 5, 6, False), (10, 10, None, True), (10, None, 11, False), (9, 10, None, False),
     (10, None, None, None), (10, 0, 0, None), (None, 1, None, False), (1, None, 1, True)],
)  # fmt: skip
def test_prompt_includes_the_cached_tokens_unless_these_are_more(
    prompt: int | None, read: int | None, write: int | None, expected: bool | None
) -> None:
    counts = {"prompt_tokens": prompt, "cache_read_tokens": read, "cache_write_tokens": write}
    usage = {kind: number for kind, number in counts.items() if number is not None}
    (described,) = count(call(2, usage=usage))[1]
    assert described.get("prompt_includes_cache") is expected


def test_span_with_tokens_covers_those_below() -> None:
    assert prompts(call(2, prompt=10), call(3, prompt=20)) == (30, [10, 20])
    agent = span(4, 1, kind="agent", usage={"prompt_tokens": 25})
    assert prompts(agent, call(2, 4, prompt=10), call(3, 4, prompt=20)) == (25, [10, 20])
    assert prompts(span(4, 1, kind="step"), call(2, 4, prompt=10), call(3, 1, prompt=20)) == (30, [10, 20])


def test_calls_are_in_the_order_of_their_starts() -> None:
    assert prompts(call(2, 1, 3, 4, 1), call(3, 1, 1, 2, 2), call(4, 1, 2, 3, 3)) == (6, [2, 3, 1])


def test_span_that_counts_the_same_prompts_is_completed_by_those_below() -> None:
    below = call(2, 4, usage={"prompt_tokens": 10, "completion_tokens": 2, "cache_read_tokens": 8})
    for prompt, cached in ((10, 8), (11, 0)):
        agent = span(4, 1, kind="agent", usage={"prompt_tokens": prompt, "completion_tokens": 3})
        assert count(agent, below)[0] == {
            "prompt_tokens": prompt, "completion_tokens": 3, "cache_read_tokens": cached, "cache_write_tokens": 0,
        }  # fmt: skip


@pytest.mark.parametrize("kind", ["model", "embedding"])
def test_call_that_is_seen_twice_has_the_facts_of_both(kind: str) -> None:
    facts = {"provider": "openai", "model": "m", "response_id": "r1", "cost": 0.5, "error": "no"}
    inner = call(3, 2, 3, 5, usage={"prompt_tokens": 10, "reasoning_tokens": 1}, **facts)
    outer = call(2, 1, 2, 6, 10, kind=kind, model=None, is_error=True)
    usage = {"prompt_tokens": 10, "reasoning_tokens": 1}
    assert count(outer, inner)[1] == [{**facts, "tokens": usage, "duration": 4.0}]
    own = {"provider": "azure", "model": "n", "response_id": "r2", "cost": 0.0, "error": "other"}
    (described,) = count(call(2, 1, 2, 6, 9, kind=kind, is_error=True, **own), inner)[1]
    assert described == {**own, "tokens": {"prompt_tokens": 9, "reasoning_tokens": 1}, "duration": 4.0}


def test_call_without_tokens_is_the_one_below_that_has_them() -> None:
    assert count(call(2), call(3, 2, 3, 5, 10, model="inner"))[1][0]["model"] == "inner"
    assert len(count(call(2), call(3, 2))[1]) == 1
    assert len(count(call(2), call(3))[1]) == 2
    assert count(span(2, 1, kind="step"), span(3, 2, kind="tool")) == (None, [])


def test_framework_that_states_only_a_sum_has_one_call() -> None:
    top = span(1, kind="agent", model="m", usage={"prompt_tokens": 10})
    assert prompts(top) == (10, [10])
    assert prompts(top, call(2, prompt=4)) == (10, [4])
    assert count(span(1, kind="agent", usage={"prompt_tokens": 10}))[1] == []
    assert count(span(1, kind="agent", model="m")) == (None, [])


def same(id: int, parent: int, start: float, end: float, **more: Any) -> SpanSummary:
    return call(id, parent, start, end, 10, **{"response_id": "r1", **more})


@pytest.mark.parametrize(
    ("spans", "total"),
    [
        ([same(2, 1, 2, 6), same(3, 1, 3, 5)], 10),
        ([same(2, 1, 2, 6), same(3, 1, 5, 8)], 10),
        ([same(2, 1, 2, 4), same(3, 1, 4, 6)], 20),
        ([same(2, 1, 4, 6), same(3, 1, 2, 4)], 20),
        ([same(2, 1, 2, 6), same(3, 1, 3, 5, response_id="r2")], 20),
        ([same(2, 1, 2, 6), same(3, 1, 3, 5, response_id=None), same(4, 1, 3, 5, response_id=None)], 30),
        ([same(2, 1, 2, 6), same(3, 2, 3, 5)], 10),
        ([same(2, 1, 2, 6, usage={}), same(3, 2, 3, 5)], 10),
        ([same(2, 1, 2, 6), same(3, 2, 3, 5), same(4, 1, 3, 5)], 10),
        ([same(2, 1, 2, 6), span(5, 2, kind="step"), same(3, 5, 3, 5)], 10),
        ([span(5, 1, kind="step"), same(2, 5, 2, 6), same(3, 1, 3, 5)], 10),
        ([same(2, 1, 2, 6), same(3, 1, 3, 5, kind="embedding")], 20),
        ([same(2, 1, 2, 6), same(3, 1, 3, 5), same(4, 1, 6, 8)], 20),
    ],
)
def test_calls_of_one_response_at_the_same_time_are_one_call(spans: list[SpanSummary], total: int) -> None:
    assert prompts(*spans)[0] == total


def test_response_id_is_that_of_the_first_call_only() -> None:
    calls = count(same(2, 1, 2, 3), same(3, 1, 4, 5), same(4, 1, 6, 7, response_id="r2"))[1]
    assert [one.get("response_id") for one in calls] == ["r1", None, "r2"]


def test_call_of_which_nothing_is_known_is_left_out() -> None:
    assert count(call(2, 1, 0, 0, model=None), call(3, 1, 0, 0))[1] == [{"model": "m"}]


def test_counts_and_calls_are_bounded() -> None:
    assert prompts(call(2, prompt=MAX_COUNT), call(3, prompt=1))[0] == MAX_COUNT
    calls = count(*(call(number, 1, number, number + 1) for number in range(2, MAX_CALLS + 5)))[1]
    assert len(calls) == MAX_CALLS == 1_000


def test_summary_of_a_later_end_replaces_the_other() -> None:
    nine, ten = span(1, end=9), span(1, end=10, agent="")
    assert [supersedes(nine, ten), supersedes(ten, nine), supersedes(ten, ten)] == [False, True, False]
    assert unique([nine, ten]) == unique([ten, nine]) == [ten]


def test_spans_are_in_the_order_of_their_starts_and_ids() -> None:
    spans = [span(3, start=2), span(2, start=1), span(1, start=2)]
    assert [one.id for one in unique(spans)] == ["2", "1", "3"]
