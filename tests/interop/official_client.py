"""Script that uses the official SDK with a server of this project, and prints the returned objects as JSON.

The environment variables XPANDER_BASE_URL, XPANDER_API_KEY and XPANDER_ORGANIZATION_ID select the server.
"""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

AGENT = "official-agent"
DOCUMENTED = "ext-job-9921"
MEASURED = "measured-agent"
PRICED = "priced-agent"
PRICED_RESPONSES = {
    "OpenAI chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Up"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1_000,
            "completion_tokens": 100,
            "total_tokens": 1_100,
            "prompt_tokens_details": {"cached_tokens": 800},
        },
    },
    "OpenAI Responses": {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4.1-mini-2025-04-14",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Up"}]}],
        "usage": {"input_tokens": 1_000, "input_tokens_details": {"cached_tokens": 500}, "output_tokens": 50},
    },
    "Anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Up"}],
        "usage": {
            "input_tokens": 100,
            "cache_creation_input_tokens": 2_000,
            "cache_read_input_tokens": 5_000,
            "output_tokens": 300,
        },
    },
    "Gemini": {
        "responseId": "r-1",
        "modelVersion": "gemini-2.5-flash",
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Up"}]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 2_000,
            "candidatesTokenCount": 100,
            "thoughtsTokenCount": 400,
            "totalTokenCount": 2_500,
        },
    },
}


def to_json(model: Any) -> Any:
    return model.model_dump(mode="json", exclude={"configuration"})


def all_to_json(items: list[Any]) -> list[Any]:
    return [to_json(item) for item in items]


def error_of(call: Callable[[], object]) -> dict[str, Any]:
    from xpander_sdk import ModuleException

    try:
        call()
    except ModuleException as error:
        return {"status_code": error.status_code, "description": error.description}
    return {"status_code": None, "description": "no error"}


def reports() -> dict[str, Any]:
    from xpander_sdk import Backend, Task, Tokens

    first = Task.report_external_task(
        agent_id=AGENT,
        id=DOCUMENTED,
        input="Summarize the quarter",
        llm_response={"id": "resp-1", "choices": [{"text": "Up 22% YoY"}]},
        tokens=Tokens(prompt_tokens=2140, completion_tokens=380),
        is_success=True,
        result="Up 22% YoY",
        duration=4.7,
        used_tools=["web_search", "fetch_pdf"],
    )
    second = Task.report_external_task(agent_id=AGENT, id=DOCUMENTED, is_success=False, result="The source was wrong")
    return {
        "documented": to_json(first),
        "same id, failed": to_json(second),
        "Task, async": to_json(
            asyncio.run(Task.areport_external_task(agent_id=AGENT, id="task-async", tokens=Tokens(prompt_tokens=5)))
        ),
        "Backend": to_json(Backend().report_external_task(agent=SimpleNamespace(id=AGENT), id="backend", result="é😀")),
        "Backend, async": to_json(
            asyncio.run(Backend().areport_external_task(agent_id=AGENT, id="backend-async", is_success=None))
        ),
        "no id": to_json(Task.report_external_task(agent_id=AGENT, result="anonymous")),
    }


def report_priced_responses() -> None:
    """Report one run for each response, whose cost the server computes from `llm_response`."""
    from xpander_sdk import Task

    for name, response in PRICED_RESPONSES.items():
        Task.report_external_task(agent_id=f"{PRICED} {name}", llm_response=response, result="Up")


def metrics() -> dict[str, Any]:
    """Report metrics as the official SDK does for a task that the platform itself executed."""
    from xpander_sdk import Task, Tokens

    task = Task.report_external_task(agent_id=MEASURED, id="measured", input="Measure it", is_success=None)
    task.tokens = Tokens(prompt_tokens=5, completion_tokens=2, cache_read_tokens=1)
    task.used_tools = ["web_search", "web_search"]
    task.result = "Measured"
    before = to_json(Task.load("measured"))
    task.report_metrics()
    during = to_json(Task.load("measured"))
    task.status = type(task.status)("completed")
    asyncio.run(task.areport_metrics())
    return {"before": before, "during": during, "after": to_json(Task.load("measured"))}


def loads() -> dict[str, Any]:
    from xpander_sdk import Task, Tasks

    reloaded = Task.load(DOCUMENTED)
    reloaded.reload()
    return {
        "Task.load": to_json(Task.load(DOCUMENTED)),
        "Task.aload": to_json(asyncio.run(Task.aload(DOCUMENTED))),
        "Task.reload": to_json(reloaded),
        "Tasks.get": to_json(Tasks().get(DOCUMENTED)),
        "Tasks.aget": to_json(asyncio.run(Tasks().aget(DOCUMENTED))),
        "TasksListItem.load": to_json(Tasks().list(AGENT, filters={"status": "failed"})[0].load()),
    }


def lists() -> dict[str, Any]:
    from xpander_sdk import Tasks

    tasks = Tasks()
    return {
        "list": all_to_json(tasks.list(AGENT)),
        "alist": all_to_json(asyncio.run(tasks.alist(AGENT))),
        "failed": all_to_json(tasks.list(AGENT, filters={"status": "failed"})),
        "failed, async": all_to_json(asyncio.run(tasks.alist(AGENT, filters={"status": "failed"}))),
        "another agent": all_to_json(tasks.list("an-agent-without-tasks")),
        "a user": all_to_json(tasks.list_user_tasks("user-1")),
        "a user, async": all_to_json(asyncio.run(tasks.alist_user_tasks("user-1", filters={"status": "failed"}))),
    }


def errors() -> dict[str, Any]:
    from xpander_sdk import Configuration, Task, Tasks

    stranger = Configuration(api_key="a wrong key")
    return {
        "unknown id": error_of(lambda: Task.load("no-such-task")),
        "unknown id, async": error_of(lambda: asyncio.run(Tasks().aget("no-such-task"))),
        "wrong key, report": error_of(lambda: Task.report_external_task(configuration=stranger, agent_id=AGENT)),
        "wrong key, load": error_of(lambda: Task.load(DOCUMENTED, configuration=stranger)),
        "wrong key, list": error_of(lambda: Tasks(stranger).list(AGENT)),
        "another agent's id": error_of(lambda: Task.report_external_task(agent_id="another-agent", id=DOCUMENTED)),
        "id too long": error_of(lambda: Task.report_external_task(agent_id=AGENT, id="x" * 256)),
    }


def main() -> None:
    from loopback import keep_to_loopback  # not at the top: the tests import this module without `loopback`

    keep_to_loopback()
    # The order matters: the later parts read the tasks that the first part reports.
    parts = {"reports": reports, "metrics": metrics, "loads": loads, "lists": lists, "errors": errors}
    print(json.dumps({name: run_part() for name, run_part in parts.items()}))
    report_priced_responses()


if __name__ == "__main__":
    main()
