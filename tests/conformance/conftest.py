"""Fixtures of the conformance tests: every test runs on every target and in both forms of the SDK."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from xpander_sdk import Backend, Configuration, Metrics, Task, Tasks, TasksListItem
from xpander_sdk.client import client, operations
from xpander_sdk.reporting.report import Report


@frozen
class Sync:
    """Synchronous form of the SDK."""

    configuration: Configuration

    def task_report(self, **arguments: Any) -> Task:
        return Task.report_external_task(configuration=self.configuration, **arguments)

    def backend_report(self, **arguments: Any) -> Task:
        return Backend(self.configuration).report_external_task(**arguments)

    def report_many(self, reports: Any) -> list[Any]:
        return Backend(self.configuration).report_external_tasks(reports)

    def send_report(self, report: Report) -> None:
        client.send(self.configuration, operations.report_task(report))

    def load(self, task_id: str) -> Task:
        return Task.load(task_id, self.configuration)

    def get(self, task_id: str) -> Task:
        return Tasks(self.configuration).get(task_id)

    def history(self, agent_id: str, *arguments: Any, **named_arguments: Any) -> list[TasksListItem]:
        return Tasks(self.configuration).list(agent_id, *arguments, **named_arguments)

    def list_user_tasks(self, user_id: str, *arguments: Any, **named_arguments: Any) -> list[TasksListItem]:
        return Tasks(self.configuration).list_user_tasks(user_id, *arguments, **named_arguments)

    def iterate(self, agent_id: str, *arguments: Any) -> list[TasksListItem]:
        return list(Tasks(self.configuration).iterate(agent_id, *arguments))

    def load_item(self, item: TasksListItem) -> Task:
        return item.load()

    def metrics(self, *arguments: Any, **named_arguments: Any) -> Metrics:
        return Backend(self.configuration).metrics(*arguments, **named_arguments)

    def organization_metrics(self, *arguments: Any) -> Metrics:
        return Backend(self.configuration).organization_metrics(*arguments)


@frozen
class Async:
    """Asynchronous form of the SDK; each call runs in a new event loop."""

    configuration: Configuration

    def task_report(self, **arguments: Any) -> Task:
        return asyncio.run(Task.areport_external_task(configuration=self.configuration, **arguments))

    def backend_report(self, **arguments: Any) -> Task:
        return asyncio.run(Backend(self.configuration).areport_external_task(**arguments))

    def report_many(self, reports: Any) -> list[Any]:
        return asyncio.run(Backend(self.configuration).areport_external_tasks(reports))

    def send_report(self, report: Report) -> None:
        asyncio.run(client.asend(self.configuration, operations.report_task(report)))

    def load(self, task_id: str) -> Task:
        return asyncio.run(Task.aload(task_id, self.configuration))

    def get(self, task_id: str) -> Task:
        return asyncio.run(Tasks(self.configuration).aget(task_id))

    def history(self, agent_id: str, *arguments: Any, **named_arguments: Any) -> list[TasksListItem]:
        return asyncio.run(Tasks(self.configuration).alist(agent_id, *arguments, **named_arguments))

    def list_user_tasks(self, user_id: str, *arguments: Any, **named_arguments: Any) -> list[TasksListItem]:
        return asyncio.run(Tasks(self.configuration).alist_user_tasks(user_id, *arguments, **named_arguments))

    def iterate(self, agent_id: str, *arguments: Any) -> list[TasksListItem]:
        async def collect() -> list[TasksListItem]:
            return [item async for item in Tasks(self.configuration).aiterate(agent_id, *arguments)]

        return asyncio.run(collect())

    def load_item(self, item: TasksListItem) -> Task:
        return asyncio.run(item.aload())

    def metrics(self, *arguments: Any, **named_arguments: Any) -> Metrics:
        return asyncio.run(Backend(self.configuration).ametrics(*arguments, **named_arguments))

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
    """Return the configuration of an embedded store or of a server, on SQLite and on PostgreSQL."""
    return TARGETS[request.param](request)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def sdk(request: pytest.FixtureRequest, target: Configuration) -> Sync | Async:
    """Form of the SDK that reports to the target."""
    return request.param(target)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Return a function that returns an ID that no other test uses; the tests share the servers."""
    return lambda: f"id-{uuid.uuid4()}"


@pytest.fixture
def agent_id(new_id) -> str:
    return new_id()
