"""Runs of a list as rows of a CSV or JSON file."""

from collections.abc import Sequence
from typing import Any

from xpander_server.domain.model_calls import total_tokens
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.domain.task import Task
from xpander_server.web.time_zones import page_zone

MAX_ROWS = 1_000
"""Runs in one file."""


def export_rows(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return a row for each run; `input` and `result` are the excerpts that the list shows."""
    return [
        {
            "id": task.id,
            "status": task.status,
            "agent_id": task.agent_id,
            "created_at": page_zone().format_timestamp(task.created_at),
            "duration": task.duration,
            "total_tokens": task.tokens and total_tokens(task.tokens),
            "cost": None if task.cost is None else task.cost / NANODOLLARS,
            "model": task.model,
            "input": task.input,
            "result": task.result,
            "reason": task.reason,
            "used_tools": ", ".join(task.used_tools or []) or None,
            "user_id": task.user_id,
            "conversation_id": task.conversation_id,
            "parent_task_id": task.parent_task_id,
            "triggering_agent_id": task.triggering_agent_id,
            "metadata": ", ".join(f"{name}={value}" for name, value in (task.metadata or {}).items()) or None,
        }
        for task in tasks
    ]
