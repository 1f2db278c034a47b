"""Run of a trace as the arguments of a report."""

from datetime import UTC, datetime, timedelta
from typing import Any

from xpander_capture.spans import Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run_arguments(run: Run) -> dict[str, Any]:
    """Return the arguments of `report.new_report` for a run, without agent, id and time of report."""
    times = {"created_at": _time(run.created_at), "finished_at": _time(run.finished_at)}
    return {**run.report_fields(), **times}


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
