"""Runs within runs: parents, inheritance, threads, sampling."""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, current_run

RESPONSE = {
    "object": "chat.completion", "id": "chatcmpl-1", "model": "m",
    "choices": [{"message": {"role": "assistant", "content": "4"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
}  # fmt: skip


def test_run_within_run_has_it_as_parent(direct: Recorder):
    with direct.sdk.run("planner", user_id="u", conversation_id="c") as outer:
        with direct.sdk.run("searcher") as inner:
            assert current_run() is inner
        assert current_run() is outer
    assert (inner.parent_task_id, inner.user_id, inner.conversation_id) == (outer.id, "u", "c")
    assert outer.parent_task_id is None
    assert [report["id"] for report in direct.reports] == [inner.id, outer.id]


def test_tasks_of_a_run_are_its_children(direct: Recorder):
    async def child() -> Any:
        async with direct.sdk.run("child") as run:
            await asyncio.sleep(0)
        return run.parent_task_id

    async def program() -> None:
        async with direct.sdk.run("parent") as parent:
            assert await asyncio.gather(child(), child()) == [parent.id, parent.id]
        assert current_run() is not parent

    asyncio.run(program())


def test_thread_joins_the_run_in_a_copy_of_its_context(direct: Recorder):
    with ThreadPoolExecutor(1) as pool, direct.sdk.run("parent") as parent:
        assert pool.submit(contextvars.copy_context().run, current_run).result() is parent
        assert not pool.submit(current_run).result().is_recording


def test_stated_parent_is_used(direct: Recorder):
    with direct.sdk.run("one") as one:
        pass
    with direct.sdk.run("two", parent=one) as two, direct.sdk.run("three", parent="ext-1") as three:
        pass
    assert (two.parent_task_id, three.parent_task_id) == (one.id, "ext-1")


def test_run_of_another_backend_is_no_parent(direct: Recorder):
    other = Backend(RecordingBackend().configuration(base_url="http://other.test"))
    with direct.sdk.run("one"), other.run("two") as two:
        pass
    assert two.parent_task_id is None


def test_block_that_continues_the_run_around_it_is_no_child_of_itself(direct: Recorder):
    with direct.sdk.run(id="ext-1"), direct.sdk.run(id="ext-1") as inner:
        pass
    assert inner.parent_task_id is None


def test_outer_run_does_not_count_the_calls_of_the_inner_one(direct: Recorder):
    with direct.sdk.run("outer") as outer:
        with direct.sdk.run("inner"):
            current_run().record(RESPONSE)
        outer.record(RESPONSE)
    inner_report, outer_report = direct.reports
    assert inner_report["tokens"]["prompt_tokens"] == 9
    assert outer_report["tokens"] is None
    assert outer_report["result"] == "4"


def test_block_left_in_another_order_does_not_restore_an_ended_run(direct: Recorder):
    def generator() -> Any:
        with direct.sdk.run("inner"):
            yield

    with direct.sdk.run("outer"):
        iterator = generator()
        next(iterator)
    iterator.close()
    assert not current_run().is_recording


def test_run_in_a_run_that_is_not_sampled_is_not_recorded(direct: Recorder):
    with direct.sdk.run("outer", sample=0), direct.sdk.run("inner") as inner:
        assert not inner.is_recording
    assert direct.reports == []


@given(
    run_id=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=3, max_size=40),
    share=st.floats(0, 1),
)
def test_sampling_depends_on_the_id_alone(run_id: str, share: float):
    server = RecordingBackend()
    for _ in range(2):
        with Backend(server.configuration()).run(id=run_id, sample=share):
            pass
    assert len(server.reports) in (0, 2)


def test_sample_is_the_share_of_recorded_runs(direct: Recorder):
    for number in range(400):
        with direct.sdk.run(id=f"run-{number}", sample=0.25):
            pass
    assert 60 < len(direct.reports) < 140


@pytest.mark.parametrize(
    "options",
    [{"via": "mail"}, {"sample": 1.1}, {"sample": "half"}, {"sample": True}, {"on_error": "ignore"}, {"mask": "name"}],
)
def test_invalid_option_is_refused_at_once(direct: Recorder, options: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(options))):
        direct.sdk.run("agent", **options)
