"""Program that sends the documented example in one of its four forms, and prints ID, status and time of the task.

The argument is the name of the form, for example `Task, async`.
"""

import asyncio
import json
import sys

from xpander_sdk import Backend, Configuration, Task, Tokens

IDS = {"agent_id": "agent-123", "id": "ext-job-9921"}
REPORT = {
    "input": "Summarize Q4 earnings",
    "result": "Q4 revenue grew 22% YoY, driven by ...",
    "tokens": Tokens(prompt_tokens=2_140, completion_tokens=380),
    "duration": 4.7,
    "used_tools": ["web_search", "fetch_pdf"],
    "is_success": True,
}


def report(form: str) -> Task:
    config = Configuration()  # picks up env vars
    backend = Backend(configuration=config)
    match form:
        case "Task, async":
            return asyncio.run(Task.areport_external_task(configuration=config, **IDS, **REPORT))
        case "Task, sync":
            return Task.report_external_task(configuration=config, **IDS, **REPORT)
        case "Backend, async":
            return asyncio.run(backend.areport_external_task(**IDS, **REPORT))
        case "Backend, sync":
            return backend.report_external_task(**IDS, **REPORT)
    raise ValueError(f"form must be one of the four documented forms, got {form!r}")


if __name__ == "__main__":
    task = report(sys.argv[1])
    print(json.dumps([task.id, task.status, task.created_at.isoformat()]))
