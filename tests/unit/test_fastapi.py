"""Endpoints of FastAPI that return objects of the SDK."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import Body, FastAPI

from xpander_sdk import Backend, Configuration, Metrics, Task, Tasks, TasksListItem, Tokens

SECRET = "hunter2-hunter2"


@pytest.fixture
def backend(embedded: Configuration) -> Backend:
    backend = Backend(embedded.with_options(api_key=SECRET))
    backend.report_external_task("agent-1", id="run-1", result="<done>", tokens=Tokens(prompt_tokens=2), duration=1.5)
    return backend


def create_app(backend: Backend) -> FastAPI:
    """Return an application that returns the same objects with and without a declared type."""
    app = FastAPI()

    @app.get("/plain/task")
    async def plain_task():
        return await Task.aload("run-1", backend.configuration)

    @app.get("/plain/metrics")
    def plain_metrics():
        return backend.metrics("agent-1", by="day")

    @app.get("/plain/history")
    def plain_history():
        return Tasks(backend.configuration).list("agent-1")

    @app.get("/annotated/task")
    async def annotated_task() -> Task:
        return await Task.aload("run-1", backend.configuration)

    @app.get("/annotated/metrics")
    async def annotated_metrics() -> Metrics:
        return await backend.ametrics("agent-1", by="day")

    @app.get("/annotated/history")
    def annotated_history() -> list[TasksListItem]:
        return Tasks(backend.configuration).list("agent-1")

    @app.get("/model/task", response_model=Task | None)
    def model_task():
        return Task.load("run-1", backend.configuration)

    @app.get("/model/metrics", response_model=dict[str, Metrics])
    def model_metrics():
        return {"agent-1": backend.metrics("agent-1", by="day")}

    @app.post("/received")
    def received(task: Annotated[Task, Body()]) -> str:
        return task.id

    return app


def request(app: FastAPI, method: str, path: str, body: object = None) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, json=body)

    return asyncio.run(send())


@pytest.mark.parametrize("form", ["plain", "annotated", "model"])
def test_endpoint_returns_task_and_metrics(backend, form):
    app = create_app(backend)
    task, metrics = request(app, "GET", f"/{form}/task"), request(app, "GET", f"/{form}/metrics")
    expected = backend.metrics("agent-1", by="day").to_dict()
    assert (task.status_code, task.json()) == (200, Task.load("run-1", backend.configuration).to_dict())
    assert (metrics.status_code, metrics.json()) == (200, {"agent-1": expected} if form == "model" else expected)
    assert SECRET not in task.text + metrics.text


@pytest.mark.parametrize("form", ["plain", "annotated"])
def test_endpoint_returns_history(backend, form):
    response = request(create_app(backend), "GET", f"/{form}/history")
    assert response.json() == [item.to_dict() for item in Tasks(backend.configuration).list("agent-1")]
    assert SECRET not in response.text


def test_openapi_description_names_returned_classes(backend):
    description = request(create_app(backend), "GET", "/openapi.json").json()
    schemas = description["components"]["schemas"]
    response = description["paths"]["/annotated/task"]["get"]["responses"]["200"]
    assert response["content"]["application/json"]["schema"]["$ref"].startswith("#/components/schemas/Task")
    assert "Metrics" in schemas
    assert SECRET not in str(description)
    assert "configuration" not in str(schemas)


def test_endpoint_receives_task(backend):
    app = create_app(backend)
    body = Task.load("run-1", backend.configuration).to_dict()
    assert request(app, "POST", "/received", body).json() == "run-1"
    assert request(app, "POST", "/received", {"id": "run-1"}).status_code == 422
