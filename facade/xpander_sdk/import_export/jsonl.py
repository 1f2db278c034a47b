"""Parser of JSON lines: one line to one record.

A line has one of two forms. An object with `status` is a task, as `export` writes it:

    {"id": "run-1", "agent_id": "agent-123", "status": "completed", "input": {"text": "…", "user": {"id": "user-7"}},
     "result": "…", "created_at": "2026-01-05T09:30:00Z", "started_at": "…", "finished_at": "…"}

Other objects are reports, with the arguments of `report_external_task` and, optionally, the times of the run:

    {"id": "run-1", "agent_id": "agent-123", "input": "…", "result": "…", "is_success": true, "duration": 4.7,
     "created_at": "2026-01-05T09:30:00Z"}
"""

from collections.abc import Mapping
from typing import Any

from xpander_sdk.import_export.record import Record, time_of_report
from xpander_sdk.reporting.validation import parse_run_time

_COMMON_FIELDS = (
    "llm_response", "tokens", "result", "duration", "used_tools", "error", "calls", "user_id", "conversation_id",
    "parent_task_id", "metadata", "triggering_agent_id", "created_at", "finished_at",
)  # fmt: skip
_REPORT_FIELDS = frozenset({*_COMMON_FIELDS, "agent_id", "id", "input", "is_success", "updated_at"})
# A report has three outcomes: success, failure, or still executing (None).
_IS_SUCCESS_BY_STATUS: Mapping[str, bool | None] = {
    "completed": True, "failed": False, "error": False, "stopped": False,
    "pending": None, "executing": None, "paused": None,
}  # fmt: skip


def parse_record(value: object) -> Record:
    """Return the record of a parsed line.

    Fields that the line does not contain are unknown, except `is_success`, which is true.

    Raises:
        ValueError: the value is neither a report nor a task.
    """
    if not isinstance(value, dict):
        raise ValueError(f"the line must be a JSON object, got {type(value).__name__}")
    return _record_from_task(value) if "status" in value else _record_from_report(value)


def _record_from_report(report: dict[str, Any]) -> Record:
    unknown = sorted(set(report) - _REPORT_FIELDS)
    if unknown:
        raise ValueError(f"unknown argument {unknown[0][:100]!r}")
    arguments = {name: report.get(name) for name in _COMMON_FIELDS}
    arguments["input"] = report.get("input")
    arguments["is_success"] = report.get("is_success", True)
    if arguments["is_success"] is not None and arguments["finished_at"] is None:
        # Like a run that is reported at its end: creation and end of the task are the same time.
        arguments["finished_at"] = arguments["created_at"]
    return Record(report.get("agent_id"), report.get("id"), arguments, time_of_report(report))


def _record_from_task(task: dict[str, Any]) -> Record:
    status = task["status"]
    if not isinstance(status, str) or status not in _IS_SUCCESS_BY_STATUS:
        raise ValueError(f"status must be one of {', '.join(_IS_SUCCESS_BY_STATUS)}, got {str(status)[:40]!r}")
    task_input = task.get("input")
    if not isinstance(task_input, dict):
        task_input = {"text": task_input}
    arguments = {name: task.get(name) for name in _COMMON_FIELDS}
    arguments["input"] = task_input.get("text")
    arguments["is_success"] = _IS_SUCCESS_BY_STATUS[status]
    user = task_input.get("user")
    if arguments["user_id"] is None and isinstance(user, dict):
        arguments["user_id"] = user.get("id")
    if arguments["duration"] is None:
        arguments["duration"] = _duration(task)
    return Record(task.get("agent_id"), task.get("id"), arguments, time_of_report(task))


def _duration(task: dict[str, Any]) -> float | None:
    started, finished = task.get("started_at"), task.get("finished_at")
    if started is None or finished is None or started == finished:
        return None
    start, end = parse_run_time("started_at", started), parse_run_time("finished_at", finished)
    return None if start is None or end is None else (end - start).total_seconds()
