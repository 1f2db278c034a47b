"""Report runs into a file and show their history and metrics, without a server and without a key (`make demo`).

The demo uses a SQLite file in a temporary folder. It reports one run in the four documented forms, then the runs of a
working day of four agents. Then it shows the history with the command line, and the metrics with the SDK.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from xpander_sdk import Backend, Configuration, Task, Tokens

WORKING_DAY = Path(__file__).with_name("working-day.jsonl")
COMMAND = Path(sys.executable).with_name("xpander-report")


def report_in_four_forms(config: Configuration) -> None:
    """Report one run four times with the same id, and check that it remains one task."""
    run = {
        "agent_id": "agent-123",
        "id": "ext-job-9921",
        "input": "Summarize Q4 earnings",
        "result": "Q4 revenue grew 22% YoY, driven by ...",
        "tokens": Tokens(prompt_tokens=2_140, completion_tokens=380),
        "duration": 4.7,
        "used_tools": ["web_search", "fetch_pdf"],
        "is_success": True,
    }
    backend = Backend(configuration=config)

    async def asynchronously() -> list[Task]:
        return [
            await Task.areport_external_task(configuration=config, **run),
            await backend.areport_external_task(**run),
        ]

    tasks = asyncio.run(asynchronously())
    tasks.append(Task.report_external_task(configuration=config, **run))
    tasks.append(backend.report_external_task(**run))
    print(f"four reports of one id: {tasks[-1].id}, {tasks[-1].status}, created {tasks[-1].created_at}")
    assert len({task.created_at for task in tasks}) == 1


def report_working_day(config: Configuration) -> list[str]:
    """Report the runs of the example file, and return the ids of their agents."""
    backend = Backend(configuration=config)
    runs = [json.loads(line) for line in WORKING_DAY.read_text("utf-8").splitlines()]
    for run in runs:
        backend.report_external_task(**run)
    print(f"{len(runs)} reports of a working day, including updates and a run in progress")
    return sorted({run["agent_id"] for run in runs})


def show_history(base_url: str, agent_id: str) -> None:
    """Show the newest runs of an agent with the command line."""
    arguments = ["history", agent_id, "--limit", "6"]
    print(f"\nxpander-report {' '.join(arguments)}", flush=True)
    environment = {**os.environ, "XPANDER_BASE_URL": base_url, "COLUMNS": "110"}
    subprocess.run([COMMAND, *arguments], env=environment, check=True)


def show_metrics(config: Configuration, agents: list[str]) -> None:
    """Print one line with the metrics of each agent."""
    backend = Backend(config)
    print(f"\n{'agent':16} {'runs':>4} {'failed':>6} {'success':>7} {'p95':>9} {'tokens':>8}")
    for agent_id in agents:
        metrics = backend.metrics(agent_id)
        print(
            f"{agent_id:16} {metrics.runs.total:4} {metrics.runs.failed:6} {metrics.success_rate:7.0%}"
            f" {metrics.duration.p95:7.1f} s {metrics.tokens.total_tokens:8,}"
        )


def main() -> None:
    """Report all runs, then show them."""
    with tempfile.TemporaryDirectory() as folder:
        config = Configuration(base_url=f"sqlite:///{folder}/runs.db")
        report_in_four_forms(config)
        agents = report_working_day(config)
        for agent_id in ["agent-123", *agents]:
            show_history(config.base_url, agent_id)
        show_metrics(config, agents)
    print("\nReport your own runs: export XPANDER_BASE_URL=sqlite:///runs.db; .venv/bin/xpander-report send --help")


if __name__ == "__main__":
    main()
