"""Requests of the conformance check: what a client sends, and raw responses without retries."""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from attrs import define, evolve, field

from xpander_sdk.client import client
from xpander_sdk.client.operations import Operation
from xpander_sdk.presentation import shorten
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.transport.base import Response

_MAX_SHOWN = 300  # characters of a value in an explanation


class PromiseBroken(Exception):
    """The backend does not keep the promise. The text says what it did instead."""


class PromiseNotOffered(Exception):
    """The backend does not offer the operation of the promise. The text says which."""


@define
class BackendSession:
    """Sends requests to one backend on behalf of one agent, whose runs nobody else reports.

    Args:
        configuration: The backend and its key.
        agent_id: The agent of the reports.
    """

    configuration: Configuration
    agent_id: str
    _last_time: int = field(default=0, init=False)

    def new_id(self) -> str:
        """Return a new id of a run."""
        return f"conform-{uuid.uuid4()}"

    def now(self) -> int:
        """Return the current time in microseconds since 1970, later than each time before."""
        self._last_time = max(time.time_ns() // 1_000, self._last_time + 1)
        return self._last_time

    def with_key(self, key: str) -> "BackendSession":
        """Return a session of the same agent with another key."""
        return BackendSession(evolve(self.configuration, api_key=key), self.agent_id)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request, and return its response of any status.

        Args:
            method: The HTTP method.
            path: The path after the URL of the backend, percent-encoded.
            body: A value to send as JSON.
            content: The body as bytes, in place of `body`.
            params: Query parameters.
            headers: Further headers.

        Raises:
            ModuleException: The backend did not respond.
            ValueError: The configuration is incomplete.
        """
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
        operation: Operation[None] = Operation(
            name="conform",
            method=method,
            url=path,
            parse=lambda _, __: None,
            params=dict(params or {}),
            headers={**({} if content is None else {"content-type": "application/json"}), **(headers or {})},
            content=content,
        )
        return client.probe(self.configuration, operation)

    def send_report(self, report: object, *, agent_id: str | None = None, at: int | None = None) -> Response:
        """Send a report with its time, and return the response of any status."""
        path = f"/agent-execution/{quote(agent_id or self.agent_id, safe='')}/report_task"
        return self.request("POST", path, body=report, headers={"x-reported-at": str(at or self.now())})

    def report(self, run_id: str, *, at: int | None = None, **fields: Any) -> dict[str, Any]:
        """Send a report that the backend must record, and return its task.

        Raises:
            PromiseBroken: The backend did not record it.
        """
        return self.expect_object(self.send_report({"id": run_id, **fields}, at=at), "the response to a report")

    def load(self, run_id: str) -> dict[str, Any]:
        """Return the stored task of a run.

        Raises:
            PromiseBroken: The backend did not return it.
        """
        path = f"/agent-execution/{quote(run_id, safe='')}/status"
        return self.expect_object(self.request("GET", path), "the recorded task")

    def history(self, **params: Any) -> tuple[list[dict[str, Any]], str | None]:
        """Return one page of the agent's history, and the cursor of the next page.

        Raises:
            PromiseBroken: The response is not a page of a history.
        """
        path = f"/agent-execution/executions/history/{quote(self.agent_id, safe='')}"
        response = self.request("GET", path, params=params)
        items = self._expect_json(response, "the history")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise PromiseBroken(f"the history must be an array of objects, got {show(items)}")
        return items, response.headers.get("x-next-cursor")

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the agent.

        Raises:
            PromiseBroken: The response is not an object.
            PromiseNotOffered: The backend has no metrics.
        """
        response = self.request("GET", f"/agents-metrics/{quote(self.agent_id, safe='')}")
        if response.status in (404, 405):
            raise PromiseNotOffered(f"no metrics: GET /agents-metrics/… is answered with {response.status}")
        return self.expect_object(response, "the metrics")

    def total_runs(self) -> int | None:
        """Return the number of the agent's runs in the metrics; None if the backend has no metrics."""
        try:
            total: int = self.metrics()["runs"]["total"]
        except PromiseNotOffered:
            return None
        return total

    def expect_object(self, response: Response, what: str) -> dict[str, Any]:
        """Return the object in a response with the status 200 or 201.

        Raises:
            PromiseBroken: The response is another one.
        """
        value = self._expect_json(response, what)
        if not isinstance(value, dict):
            raise PromiseBroken(f"{what} must be an object, got {show(value)}")
        return value

    def _expect_json(self, response: Response, what: str) -> Any:
        if response.status not in (200, 201):
            reason = client.explain(self.configuration, response)
            raise PromiseBroken(f"{what} has the status {response.status}: {shorten(reason, _MAX_SHOWN)}")
        return parse_json(response, what)


def parse_json(response: Response, what: str) -> Any:
    """Return the value of a body.

    Raises:
        PromiseBroken: The body is not JSON.
    """
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise PromiseBroken(f"{what} is not JSON") from None


def show(value: object) -> str:
    """Return a short form of a value for an explanation."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str), _MAX_SHOWN)


def expect(what: str, actual: object, expected: object) -> None:
    """Compare a value of the backend with the expected one.

    Raises:
        PromiseBroken: They differ.
    """
    if actual != expected or (isinstance(actual, bool) is not isinstance(expected, bool)):
        raise PromiseBroken(f"{what} must be {show(expected)}, got {show(actual)}")


def expect_status(what: str, response: Response, *expected: int) -> None:
    """Check the status of a response.

    Raises:
        PromiseBroken: The status is another one.
    """
    if response.status not in expected:
        statuses = " or ".join(map(str, expected))
        raise PromiseBroken(f"{what} must be answered with {statuses}, got {response.status}")
