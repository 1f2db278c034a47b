"""The main job, end to end, without a server and without a key: `make demo`.

Runs are reported into a SQLite file in a temporary folder: the documented example in its four forms, then a working day
of four agents. Then their history and their metrics are shown.
"""

import asyncio
import json
import tempfile
from pathlib import Path

from rich.console import Console

from xpander_sdk import Backend, Configuration, Task, Tasks, Tokens
from xpander_sdk.cli.reading import history_table, metrics_table

WORKING_DAY = Path(__file__).with_name("working-day.jsonl")
console = Console(width=110)


def report_in_four_forms(config: Configuration) -> None:
    """One run, reported four times under one id: it stays one task."""
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
    console.print(f"four reports of one id: {tasks[-1].id}, {tasks[-1].status}, first seen {tasks[-1].created_at}")
    assert len({task.created_at for task in tasks}) == 1


def report_working_day(config: Configuration) -> list[str]:
    backend = Backend(configuration=config)
    runs = [json.loads(line) for line in WORKING_DAY.read_text("utf-8").splitlines()]
    for run in runs:
        backend.report_external_task(**run)
    console.print(f"{len(runs)} reports of a working day, updates and a run in progress among them")
    return sorted({run["agent_id"] for run in runs})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Configuration(base_url=f"sqlite:///{folder}/runs.db")
        report_in_four_forms(config)
        agents = report_working_day(config)
        for agent_id in ["agent-123", *agents]:
            console.rule(f"history of {agent_id}, the newest six", align="left")
            console.print(history_table(Tasks(config).list(agent_id, limit=6)))
        console.rule("metrics", align="left")
        for agent_id in agents:
            console.print(metrics_table(Backend(config).metrics(agent_id)))
            console.print()
    console.print(
        "Keep your own: export XPANDER_BASE_URL=sqlite:///runs.db; .venv/bin/xpander-report send --agent-id agent-123"
    )


if __name__ == "__main__":
    main()
