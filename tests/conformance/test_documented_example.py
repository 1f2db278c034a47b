"""The documented example in its four forms, each in a program that reads its settings from the environment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xpander_sdk import Configuration, Tasks

PROGRAM = Path(__file__).with_name("documented_example.py")
FORMS = ["Task, async", "Task, sync", "Backend, async", "Backend, sync"]


def run_example(target: Configuration, form: str) -> list[str]:
    """Run the program, and return ID, status and creation time of its task."""
    settings = {
        "XPANDER_BASE_URL": target.base_url,
        "XPANDER_API_KEY": target.api_key,
        "XPANDER_ORGANIZATION_ID": target.organization_id,
    }
    variables = {name: str(value) for name, value in settings.items() if value is not None}
    command = [sys.executable, "-P", "-W", "error", str(PROGRAM), form]
    process = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.timeout(180)
def test_all_forms_of_documented_example_report_one_task(target):
    tasks = [run_example(target, form) for form in FORMS]
    assert [[task_id, status] for task_id, status, _ in tasks] == [["ext-job-9921", "completed"]] * len(FORMS)
    assert len({created_at for _, _, created_at in tasks}) == 1  # an update keeps the time of the first report
    assert [item.id for item in Tasks(target).list("agent-123")].count("ext-job-9921") == 1
