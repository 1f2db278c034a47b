"""Run of a trace as a report, in the form that the merge of reports expects."""

import msgspec

from xpander_capture.spans import Run
from xpander_server.clock import format_timestamp
from xpander_server.contract import Report


def run_report(run: Run) -> Report:
    """Return the report of a run, without agent, id and time of report."""
    return {
        "input": run.input,
        "result": run.result or run.error,
        "error": run.error,
        "llm_response": None if run.llm_response is None else msgspec.json.encode(run.llm_response).decode(),
        "tokens": None if run.tokens is None else {**run.tokens},
        "is_success": run.is_success,
        "duration": run.duration,
        "used_tools": run.used_tools,
        "calls": run.calls or None,
        "user_id": run.user_id,
        "conversation_id": run.conversation_id,
        "parent_task_id": run.parent_task_id,
        "metadata": run.metadata or None,
        "created_at": format_timestamp(run.created_at),
        "finished_at": format_timestamp(run.finished_at),
    }
