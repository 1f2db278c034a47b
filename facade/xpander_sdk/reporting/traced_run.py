"""Run of a trace as the arguments of a report."""

from datetime import UTC, datetime, timedelta
from typing import Any

from xpander_capture.spans import Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run_arguments(run: Run) -> dict[str, Any]:
    """Return the arguments of `report.new_report` for a run, without agent, id and time of report."""
    return {
        "input": run.input,
        "result": run.result or run.error,
        "error": run.error,
        "llm_response": run.llm_response,
        "tokens": run.tokens,
        "is_success": run.is_success,
        "duration": run.duration,
        "used_tools": run.used_tools,
        "calls": run.calls or None,
        "user_id": run.user_id,
        "conversation_id": run.conversation_id,
        "parent_task_id": run.parent_task_id,
        "metadata": run.metadata or None,
        "created_at": _time(run.created_at),
        "finished_at": _time(run.finished_at),
    }


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
