"""Runs in our own store and in other backends: fields, calls and cost."""

from typing import Any

import pytest

from runs.backend import Recorder, RecordingBackend
from xpander_sdk import Backend, Configuration, Task, Tokens, current_run

DOCUMENTED = {"id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools"}


def response(id: str, model: str, prompt: int) -> dict[str, Any]:
    return {
        "object": "chat.completion", "id": id, "model": model,
        "choices": [{"message": {"role": "assistant", "content": "4"}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 1},
    }  # fmt: skip


def test_store_has_every_field_and_prices_each_call(embedded: Configuration):
    backend = Backend(embedded)
    with backend.run(
        "agent", id="ext-1", user_id="user-7", conversation_id="c-1", parent="parent-1", metadata={"stage": "test"}
    ) as run:
        run.record(response("chatcmpl-1", "gpt-4o", 1_000_000), provider="openai")
        run.record(response("chatcmpl-2", "gpt-4o-mini", 1_000_000), provider="openai")
    task = Task.load("ext-1", embedded)
    assert (task.user_id, task.conversation_id, task.parent_task_id) == ("user-7", "c-1", "parent-1")
    assert task.metadata == {"stage": "test"}
    assert [(call.provider, call.model, call.response_id) for call in task.calls] == [
        ("openai", "gpt-4o", "chatcmpl-1"), ("openai", "gpt-4o-mini", "chatcmpl-2"),
    ]  # fmt: skip
    assert task.tokens is not None
    assert task.tokens.prompt_tokens == 2_000_000
    cost = backend.metrics("agent").cost
    assert cost.unpriced_runs == 0
    assert cost.total == pytest.approx(2.5 + 0.15, abs=0.001)


def test_store_has_the_reason_of_a_failure(embedded: Configuration):
    with pytest.raises(ValueError, match="bad"), Backend(embedded).run("agent", id="ext-1"):
        raise ValueError("bad")
    task = Task.load("ext-1", embedded)
    assert (task.status, task.error, task.result) == ("failed", "ValueError: bad", None)


def test_other_backend_receives_the_documented_fields_only():
    server = RecordingBackend(report_fields=())
    recorder = Recorder(Backend(server.configuration()), server)

    @recorder.sdk.run(user_id="u", metadata={"a": "b"})
    def answer() -> None:
        current_run().record({**response("chatcmpl-1", "gpt-4o", 9), "choices": []})
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        answer()
    report = recorder.report
    assert set(report) == DOCUMENTED
    assert (report["result"], report["tokens"]["prompt_tokens"]) == ("ValueError: bad", 9)


@pytest.mark.parametrize("name", ["llm_response", "result", "input"])
def test_value_that_makes_a_report_too_large_is_left_out(embedded: Configuration, name: str):
    values = {"llm_response": {"model": "gpt-4o"}, "result": "4", "input": "2 + 2?", name: "x" * 5_000_000}
    with Backend(embedded).run("agent", id="ext-1") as run:
        run.tokens = Tokens(prompt_tokens=9)
        for field, value in values.items():
            setattr(run, field, value)
    [error] = run.report_errors
    assert error.startswith(f"{name} was left out: the report had 5,000,")
    task = Task.load("ext-1", embedded)
    assert (task.status, task.tokens) == ("completed", Tokens(prompt_tokens=9))


def test_program_may_add_metadata_to_one_run(embedded: Configuration):
    backend = Backend(embedded)

    @backend.run("agent", metadata={"stage": "test"})
    def answer(question: str) -> str:
        current_run().metadata["question"] = question
        return current_run().id

    first, second = (Task.load(answer(question), embedded) for question in ("a", "b"))
    assert first.metadata == {"stage": "test", "question": "a"}
    assert second.metadata == {"stage": "test", "question": "b"}


@pytest.mark.parametrize("enabled", [True, False])
def test_decorator_without_parentheses_is_refused_where_it_is_written(embedded: Configuration, enabled: bool):
    backend = Backend(embedded.with_options(runs=enabled))
    with pytest.raises(TypeError, match=r"agent_id must be a text, got a function; write @backend\.run\(\)"):

        @backend.run  # type: ignore[arg-type]
        def answer() -> None: ...
