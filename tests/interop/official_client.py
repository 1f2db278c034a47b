"""The official SDK at work on a backend of ours: prints, as JSON, what its objects hold afterwards.

XPANDER_BASE_URL, XPANDER_API_KEY and XPANDER_ORGANIZATION_ID say where and who.
"""

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

AGENT = "official-agent"
DOCUMENTED = "ext-job-9921"
MEASURED = "measured-agent"


def shown(model: Any) -> Any:
    return model.model_dump(mode="json", exclude={"configuration"})


def all_shown(items: list[Any]) -> list[Any]:
    return [shown(item) for item in items]


def refusal(call: Callable[[], object]) -> dict[str, Any]:
    from xpander_sdk import ModuleException

    try:
        call()
    except ModuleException as error:
        return {"status_code": error.status_code, "description": error.description}
    return {"status_code": None, "description": "it was taken"}


def reports() -> dict[str, Any]:
    from xpander_sdk import Backend, Task, Tokens

    first = Task.report_external_task(
        agent_id=AGENT,
        id=DOCUMENTED,
        input="Summarise the quarter",
        llm_response={"id": "resp-1", "choices": [{"text": "Up 22% YoY"}]},
        tokens=Tokens(prompt_tokens=2140, completion_tokens=380),
        is_success=True,
        result="Up 22% YoY",
        duration=4.7,
        used_tools=["web_search", "fetch_pdf"],
    )
    again = Task.report_external_task(agent_id=AGENT, id=DOCUMENTED, is_success=False, result="The source was wrong")
    return {
        "documented": shown(first),
        "the same id as a failure": shown(again),
        "Task, async": shown(
            asyncio.run(Task.areport_external_task(agent_id=AGENT, id="task-async", tokens=Tokens(prompt_tokens=5)))
        ),
        "Backend": shown(Backend().report_external_task(agent=SimpleNamespace(id=AGENT), id="backend", result="é😀")),
        "Backend, async": shown(
            asyncio.run(Backend().areport_external_task(agent_id=AGENT, id="backend-async", is_success=None))
        ),
        "no id": shown(Task.report_external_task(agent_id=AGENT, result="anonymous")),
    }


def measured() -> dict[str, Any]:
    """A task that the platform ran itself tells its metrics at the end."""
    from xpander_sdk import Task, Tokens

    task = Task.report_external_task(agent_id=MEASURED, id="measured", input="Measure it", is_success=None)
    task.tokens = Tokens(prompt_tokens=5, completion_tokens=2, cache_read_tokens=1)
    task.used_tools = ["web_search", "web_search"]
    task.result = "Measured"
    before = shown(Task.load("measured"))
    task.report_metrics()
    while_it_ran = shown(Task.load("measured"))
    task.status = type(task.status)("completed")
    asyncio.run(task.areport_metrics())
    return {"before": before, "while it ran": while_it_ran, "after": shown(Task.load("measured"))}


def loads() -> dict[str, Any]:
    from xpander_sdk import Task, Tasks

    again = Task.load(DOCUMENTED)
    again.reload()
    return {
        "Task.load": shown(Task.load(DOCUMENTED)),
        "Task.aload": shown(asyncio.run(Task.aload(DOCUMENTED))),
        "Task.reload": shown(again),
        "Tasks.get": shown(Tasks().get(DOCUMENTED)),
        "Tasks.aget": shown(asyncio.run(Tasks().aget(DOCUMENTED))),
        "TasksListItem.load": shown(Tasks().list(AGENT, filters={"status": "failed"})[0].load()),
    }


def lists() -> dict[str, Any]:
    from xpander_sdk import Tasks

    tasks = Tasks()
    return {
        "list": all_shown(tasks.list(AGENT)),
        "alist": all_shown(asyncio.run(tasks.alist(AGENT))),
        "failed": all_shown(tasks.list(AGENT, filters={"status": "failed"})),
        "failed, async": all_shown(asyncio.run(tasks.alist(AGENT, filters={"status": "failed"}))),
        "another agent": all_shown(tasks.list("an-agent-without-tasks")),
        "a user": all_shown(tasks.list_user_tasks("user-1")),
        "a user, async": all_shown(asyncio.run(tasks.alist_user_tasks("user-1", filters={"status": "failed"}))),
    }


def refusals() -> dict[str, Any]:
    from xpander_sdk import Configuration, Task, Tasks

    stranger = Configuration(api_key="a wrong key")
    return {
        "unknown id": refusal(lambda: Task.load("no-such-task")),
        "unknown id, async": refusal(lambda: asyncio.run(Tasks().aget("no-such-task"))),
        "wrong key, report": refusal(lambda: Task.report_external_task(configuration=stranger, agent_id=AGENT)),
        "wrong key, load": refusal(lambda: Task.load(DOCUMENTED, configuration=stranger)),
        "wrong key, list": refusal(lambda: Tasks(stranger).list(AGENT)),
        "another agent's id": refusal(lambda: Task.report_external_task(agent_id="another-agent", id=DOCUMENTED)),
        "id too long": refusal(lambda: Task.report_external_task(agent_id=AGENT, id="x" * 256)),
    }


def main() -> None:
    from loopback import keep_to_loopback  # here: the tests import this module from elsewhere

    keep_to_loopback()
    # In this order: the later ones look at what the first has left.
    parts = {"reports": reports, "measured": measured, "loads": loads, "lists": lists, "refusals": refusals}
    print(json.dumps({name: observe() for name, observe in parts.items()}))


if __name__ == "__main__":
    main()
