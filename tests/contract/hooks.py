"""Hooks and checks for schemathesis, which fuzz.py loads."""

import os
from typing import Any
from urllib.parse import quote

import httpx
import schemathesis

UNCHANGED_FIELDS = (
    "llm_response", "result", "duration", "used_tools", "user_id", "parent_task_id", "triggering_agent_id",
)  # fmt: skip
"""Fields of a report that the task contains unchanged."""

_client = httpx.Client(base_url=os.environ["FUZZ_URL"], headers={"x-api-key": os.environ["FUZZ_KEY"]})


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Replace the generated cursor of a valid request by a real one, because only the server can create cursors."""
    if not case.meta.generation.mode.is_negative and "cursor" in case.query:
        case.query["cursor"] = os.environ["FUZZ_CURSOR"]


@schemathesis.check
def report_is_stored(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Assert that the response to a report contains its fields, and that getTask returns the same task."""
    if case.operation.definition.raw.get("operationId") != "reportTask" or not 200 <= response.status_code < 300:
        return
    task = response.json()
    if "x-reported-at" not in case.headers:
        for name in UNCHANGED_FIELDS:
            value = case.body.get(name)
            # A duration of 0 and an empty list of tools count as not given: they never replace a value.
            is_given = value is not None and not (name in ("duration", "used_tools") and not value)
            assert not is_given or task[name] == value, f"{name} was reported as {value!r}, but is {task[name]!r}"
    status = _client.get(f"/agent-execution/{quote(task['id'], safe='')}/status")
    assert status.status_code == 200, f"getTask after a report returned {status.status_code}"
    assert status.json() == task, f"getTask after a report returned another task: {status.text}"
