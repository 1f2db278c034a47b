"""Program that sends the documented example in one of its four forms, and prints ID, status and time of the task.

The argument is the name of the form in FORMS.
"""

import asyncio
import json
import sys

from xpander_sdk import Backend, Configuration, Task, Tokens

config = Configuration()  # picks up env vars
backend = Backend(configuration=config)

REPORT = {
    "agent_id": "agent-123",
    "id": "ext-job-9921",
    "input": "Summarize Q4 earnings",
    "result": "Q4 revenue grew 22% YoY, driven by ...",
    "tokens": Tokens(prompt_tokens=2_140, completion_tokens=380),
    "duration": 4.7,
    "used_tools": ["web_search", "fetch_pdf"],
    "is_success": True,
}
FORMS = {
    "Task, async": lambda: asyncio.run(Task.areport_external_task(configuration=config, **REPORT)),
    "Task, sync": lambda: Task.report_external_task(configuration=config, **REPORT),
    "Backend, async": lambda: asyncio.run(backend.areport_external_task(**REPORT)),
    "Backend, sync": lambda: backend.report_external_task(**REPORT),
}

if __name__ == "__main__":
    task = FORMS[sys.argv[1]]()
    print(json.dumps([task.id, task.status, task.created_at.isoformat()]))
