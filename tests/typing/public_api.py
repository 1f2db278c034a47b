"""Public API as users call it: mypy --strict and pyright check the types; no test runs this module."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import assert_type
from uuid import UUID

import numpy as np
from anthropic.types import Usage
from openai.types import CompletionUsage

from xpander_sdk import (
    AgentExecutionStatus,
    Backend,
    Configuration,
    Metrics,
    Receipt,
    Run,
    Task,
    Tasks,
    TasksListItem,
    Tokens,
    current_run,
)


class Agent:
    id: str = "agent-123"


class MyTask(Task):
    pass


def sync(configuration: Configuration) -> None:
    backend = Backend(configuration)
    task = backend.report_external_task(agent=Agent(), tokens={"prompt_tokens": 1}, used_tools=("a", "b"))
    assert_type(task, Task)
    backend.report_external_task("agent", id=UUID(int=1), input=[{"role": "user"}], result={"a": 1}, used_tools=[{}])
    backend.report_external_task("agent", id=1, duration=timedelta(seconds=1), is_success=np.all([True]))
    backend.report_external_task("agent", tokens=CompletionUsage(prompt_tokens=1, completion_tokens=1, total_tokens=2))
    backend.report_external_task("agent", tokens=Usage(input_tokens=1, output_tokens=1), duration=np.float32(1))
    backend.submit_external_task("agent", id=UUID(int=1), input=[], duration=timedelta(), used_tools=np.array(["a"]))
    assert_type(task.status, AgentExecutionStatus)
    assert_type(task.tokens, Tokens | None)
    assert_type(MyTask.report_external_task(configuration, "agent"), MyTask)
    assert_type(backend.submit_external_task("agent", id="run-1", tokens=Tokens(), used_tools=["a"]), Receipt[Task])
    assert_type(Tasks().list("agent"), list[TasksListItem])
    assert_type(Tasks().get("t"), Task)
    assert_type(backend.metrics(), Metrics)
    for item in Tasks().iterate("agent"):
        assert_type(item, TasksListItem)


async def asynchronous(configuration: Configuration) -> None:
    assert_type(await MyTask.areport_external_task(configuration, tokens=Tokens(prompt_tokens=1)), MyTask)
    assert_type(await Backend(configuration).ametrics(since="2026-01-01"), Metrics)
    assert_type(await Tasks().alist_user_tasks("user"), list[TasksListItem])
    async for item in Tasks().aiterate("agent"):
        assert_type(item, TasksListItem)


def runs(backend: Backend) -> None:
    with backend.run(agent_id="agent", input=[{"role": "user"}], metadata={"a": "b"}, parent=current_run()) as run:
        assert_type(run, Run)
        assert_type(run.record([1]), list[int])
        assert_type(run.watch([1]), Iterator[int])
        run.update(result={"a": 1}, is_success=None)
    backend.run(id=UUID(int=1)).start().finish(tokens={"prompt_tokens": 1})

    @backend.run()
    def answer(question: str, *, limit: int = 1) -> str:
        return question * limit

    assert_type(answer("a", limit=2), str)
    answer(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    @backend.run(input=lambda question: question)
    def words(question: str) -> Iterator[str]:
        yield question

    assert_type(words("a"), Iterator[str])


async def async_runs(backend: Backend, stream: AsyncIterator[bytes]) -> None:
    async with backend.run() as run:
        assert_type(run, Run)
        assert_type(run.watch(stream), AsyncIterator[bytes])
        await run.aupdate(result="half way")
    await (await backend.run().astart()).afinish(error="no answer")

    @backend.run()
    async def answer(question: str) -> int:
        return len(question)

    assert_type(await answer("a"), int)
