"""What schemathesis cannot know by itself; fuzz.py has it loaded."""

import os
from typing import Any
from urllib.parse import quote

import httpx
import schemathesis

AS_REPORTED = (
    "llm_response", "result", "duration", "used_tools", "user_id", "parent_task_id", "triggering_agent_id",
)  # fmt: skip

_client = httpx.Client(base_url=os.environ["FUZZ_URL"], headers={"x-api-key": os.environ["FUZZ_KEY"]})


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    # Only a server knows its cursors: in a request that is to succeed, a real one stands in for the made-up one.
    if not case.meta.generation.mode.is_negative and "cursor" in case.query:
        case.query["cursor"] = os.environ["FUZZ_CURSOR"]


@schemathesis.check
def report_is_kept(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """A report is in the answer to it, and both are what the status shows from then on."""
    if case.operation.definition.raw.get("operationId") != "reportTask" or not 200 <= response.status_code < 300:
        return
    answer = response.json()
    if "x-reported-at" not in case.headers:
        for name in AS_REPORTED:
            sent = case.body.get(name)
            assert sent is None or answer[name] == sent, f"{name} was reported as {sent!r}, not {answer[name]!r}"
    shown = _client.get(f"/agent-execution/{quote(answer['id'], safe='')}/status")
    assert shown.status_code == 200, f"after a report, its status is answered with {shown.status_code}"
    assert shown.json() == answer, f"after a report, its status shows something else: {shown.text}"
