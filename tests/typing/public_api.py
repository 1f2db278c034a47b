"""Public API as users call it: mypy --strict and pyright check the types; no test runs this module."""

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
    Task,
    Tasks,
    TasksListItem,
    Tokens,
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
