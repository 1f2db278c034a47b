"""The documented example, unchanged, in its four forms, as a program of its own."""

import json
import subprocess
import sys

import pytest

from xpander_sdk import Configuration, Tasks

EXAMPLE = """
from xpander_sdk import Task, Tokens, Configuration, Backend

config = Configuration()  # picks up env vars
backend = Backend(configuration=config)

task = {call}(
{configuration}    agent_id="agent-123",
    id="ext-job-9921",
    input="Summarize Q4 earnings",
    result="Q4 revenue grew 22% YoY, driven by ...",
    tokens=Tokens(prompt_tokens=2_140, completion_tokens=380),
    duration=4.7,
    used_tools=["web_search", "fetch_pdf"],
    is_success=True,
)
import json
print(json.dumps([task.id, task.status, task.created_at.isoformat()]))
"""
WITH_AWAIT = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
result = eval(code)
if inspect.iscoroutine(result):
    asyncio.run(result)
"""
FORMS = {
    "Task, async": ("await Task.areport_external_task", "    configuration=config,\n"),
    "Task, sync": ("Task.report_external_task", "    configuration=config,\n"),
    "Backend, async": ("await backend.areport_external_task", ""),
    "Backend, sync": ("backend.report_external_task", ""),
}


def run(target: Configuration, form: str) -> list[str]:
    call, configuration = FORMS[form]
    settings = {
        "XPANDER_BASE_URL": target.base_url,
        "XPANDER_API_KEY": target.api_key or "",
        "XPANDER_ORGANIZATION_ID": target.organization_id or "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITH_AWAIT],
        input=EXAMPLE.format(call=call, configuration=configuration),
        env=settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(180)
def test_each_form_of_the_documented_example_reports_the_one_record(target):
    told = [run(target, form) for form in FORMS]
    assert [answer[:2] for answer in told] == [["ext-job-9921", "completed"]] * len(FORMS)
    assert len({answer[2] for answer in told}) == 1  # first seen at one moment: an update keeps it
    assert [item.id for item in Tasks(target).list("agent-123")].count("ext-job-9921") == 1
