"""`history --follow` in another process, with a server."""

import json
import os
import signal
import subprocess
import sys
from uuid import uuid4

import pytest

from support.server import KEY, Server
from xpander_sdk import Backend


def follow(server: Server, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xpander_sdk.cli", "history", *arguments, "--follow", "--interval", "0.5"],
        env={**os.environ, "XPANDER_BASE_URL": server.url, "XPANDER_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def agent_id() -> str:
    return f"followed-{uuid4()}"


def test_follow_prints_new_tasks_and_statuses_until_ctrl_c(server, agent_id):
    backend = Backend(server.configuration)
    backend.report_external_task(agent_id=agent_id, id=f"{agent_id}-1")
    with follow(server, agent_id, "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == f"{agent_id}-1"
        backend.report_external_task(agent_id=agent_id, id=f"{agent_id}-2", is_success=None)
        assert json.loads(process.stdout.readline())["status"] == "executing"
        backend.report_external_task(agent_id=agent_id, id=f"{agent_id}-2", result="done")
        assert json.loads(process.stdout.readline())["status"] == "completed"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "", "")


def test_output_to_a_pipe_has_no_colors_and_aligned_columns(server, agent_id):
    backend = Backend(server.configuration)
    with follow(server, agent_id) as process:
        assert process.stdout is not None
        header = process.stdout.readline()
        backend.report_external_task(agent_id=agent_id, id="short" + agent_id[-4:], result="\x1b[31mred")
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert "\x1b" not in header + line
    assert (header.index("task"), header.index("status")) == (line.index("short"), line.index("completed"))
