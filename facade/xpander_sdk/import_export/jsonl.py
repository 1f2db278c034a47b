"""A JSON object → a record: the arguments of `report_external_task`, or a whole task, as `export` writes it."""

from collections.abc import Mapping
from typing import Any

from xpander_sdk.import_export.record import Record, time_of_report
from xpander_sdk.reporting.validation import parse_run_time

_SHARED = (
    "llm_response", "tokens", "result", "duration", "used_tools", "user_id", "parent_task_id", "triggering_agent_id",
    "created_at", "finished_at",
)  # fmt: skip
_TAKEN = frozenset({*_SHARED, "agent_id", "id", "input", "is_success", "updated_at"})
_OUTCOMES: Mapping[str, bool | None] = {
    "completed": True, "failed": False, "error": False, "stopped": False,
    "pending": None, "executing": None, "paused": None,
}  # fmt: skip


def read(value: object) -> Record:
    """The record that a line's object stands for. What it does not say is unknown, but for `is_success`, which is true.

    Raises:
        ValueError: it is neither of the two.
    """
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return _task(value) if "status" in value else _report(value)


def _report(line: dict[str, Any]) -> Record:
    unknown = sorted(set(line) - _TAKEN)
    if unknown:
        raise ValueError(f"there is no argument {unknown[0][:100]!r}")
    arguments = {name: line.get(name) for name in _SHARED}
    arguments["input"] = line.get("input")
    arguments["is_success"] = line.get("is_success", True)
    if arguments["is_success"] is not None and arguments["finished_at"] is None:
        # As of a run that is reported when it has ended: then it is first seen.
        arguments["finished_at"] = arguments["created_at"]
    return Record(line.get("agent_id"), line.get("id"), arguments, time_of_report(line))


def _task(line: dict[str, Any]) -> Record:
    status = line["status"]
    if not isinstance(status, str) or status not in _OUTCOMES:
        raise ValueError(f"status must be one of {', '.join(_OUTCOMES)}, not {str(status)[:40]!r}")
    asked = line.get("input")
    if not isinstance(asked, dict):
        asked = {"text": asked}
    arguments = {name: line.get(name) for name in _SHARED}
    arguments["input"] = asked.get("text")
    arguments["is_success"] = _OUTCOMES[status]
    user = asked.get("user")
    if arguments["user_id"] is None and isinstance(user, dict):
        arguments["user_id"] = user.get("id")
    if arguments["duration"] is None:
        arguments["duration"] = _lasted(line)
    return Record(line.get("agent_id"), line.get("id"), arguments, time_of_report(line))


def _lasted(line: dict[str, Any]) -> float | None:
    started, finished = line.get("started_at"), line.get("finished_at")
    if started is None or finished is None or started == finished:
        return None
    began, ended = parse_run_time("started_at", started), parse_run_time("finished_at", finished)
    return None if began is None or ended is None else (ended - began).total_seconds()
