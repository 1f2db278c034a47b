"""Every test of this folder runs on every target, and in both forms."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from xpander_sdk import Backend, Configuration, Metrics, Task, Tasks, TasksListItem


@frozen
class Sync:
    """The SDK, called synchronously."""

    configuration: Configuration

    def task_report(self, **arguments: Any) -> Task:
        return Task.report_external_task(configuration=self.configuration, **arguments)

    def backend_report(self, **arguments: Any) -> Task:
        return Backend(self.configuration).report_external_task(**arguments)

    def load(self, task_id: str) -> Task:
        return Task.load(task_id, self.configuration)

    def get(self, task_id: str) -> Task:
        return Tasks(self.configuration).get(task_id)

    def history(self, agent_id: str, *arguments: Any, **named: Any) -> list[TasksListItem]:
        return Tasks(self.configuration).list(agent_id, *arguments, **named)

    def list_user_tasks(self, user_id: str, *arguments: Any, **named: Any) -> list[TasksListItem]:
        return Tasks(self.configuration).list_user_tasks(user_id, *arguments, **named)

    def iterate(self, agent_id: str, *arguments: Any) -> list[TasksListItem]:
        return list(Tasks(self.configuration).iterate(agent_id, *arguments))

    def load_item(self, item: TasksListItem) -> Task:
        return item.load()

    def metrics(self, *arguments: Any, **named: Any) -> Metrics:
        return Backend(self.configuration).metrics(*arguments, **named)

    def organization_metrics(self, *arguments: Any) -> Metrics:
        return Backend(self.configuration).organization_metrics(*arguments)


@frozen
class Async:
    """The SDK, called asynchronously, each call in an event loop of its own."""

    configuration: Configuration

    def task_report(self, **arguments: Any) -> Task:
        return asyncio.run(Task.areport_external_task(configuration=self.configuration, **arguments))

    def backend_report(self, **arguments: Any) -> Task:
        return asyncio.run(Backend(self.configuration).areport_external_task(**arguments))

    def load(self, task_id: str) -> Task:
        return asyncio.run(Task.aload(task_id, self.configuration))

    def get(self, task_id: str) -> Task:
        return asyncio.run(Tasks(self.configuration).aget(task_id))

    def history(self, agent_id: str, *arguments: Any, **named: Any) -> list[TasksListItem]:
        return asyncio.run(Tasks(self.configuration).alist(agent_id, *arguments, **named))

    def list_user_tasks(self, user_id: str, *arguments: Any, **named: Any) -> list[TasksListItem]:
        return asyncio.run(Tasks(self.configuration).alist_user_tasks(user_id, *arguments, **named))

    def iterate(self, agent_id: str, *arguments: Any) -> list[TasksListItem]:
        async def collect() -> list[TasksListItem]:
            return [item async for item in Tasks(self.configuration).aiterate(agent_id, *arguments)]

        return asyncio.run(collect())

    def load_item(self, item: TasksListItem) -> Task:
        return asyncio.run(item.aload())

    def metrics(self, *arguments: Any, **named: Any) -> Metrics:
        return asyncio.run(Backend(self.configuration).ametrics(*arguments, **named))

    def organization_metrics(self, *arguments: Any) -> Metrics:
        return asyncio.run(Backend(self.configuration).aorganization_metrics(*arguments))


TARGETS = {
    "sqlite": lambda request: request.getfixturevalue("embedded"),
    "postgresql": lambda request: request.getfixturevalue("embedded_database"),
    "server on sqlite": lambda request: request.getfixturevalue("server").configuration,
    "server on postgresql": lambda request: request.getfixturevalue("server_on_postgresql").configuration,
}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Configuration:
    return TARGETS[request.param](request)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def sdk(request: pytest.FixtureRequest, target: Configuration) -> Sync | Async:
    return request.param(target)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Ids that no other test has: the server is shared."""
    return lambda: f"id-{uuid.uuid4()}"


@pytest.fixture
def agent_id(new_id) -> str:
    return new_id()
