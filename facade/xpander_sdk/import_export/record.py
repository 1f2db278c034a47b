"""A run, as it is to be reported, whatever it was read from."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from xpander_sdk.reporting.validation import parse_run_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "xpander-report/import")
_TIMES_OF_REPORT = ("updated_at", "finished_at", "created_at")


@frozen
class Record:
    """One run.

    Attributes:
        agent_id: None where nothing names one.
        id: None where it has none.
        arguments: the others of `operations.report_task`.
        reported_at: the time of report, in microseconds since 1970 (UTC): what was reported later stays. None for now.
    """

    agent_id: str | None
    id: str | None
    arguments: dict[str, Any]
    reported_at: int | None = None


def time_of_report(times: dict[str, Any]) -> int | None:
    """When a run was last known to be as it is told here: when it was updated, else when it ended, else when it was
    first seen.

    Raises:
        ValueError: it is no time.
    """
    for name in _TIMES_OF_REPORT:
        if times.get(name) is not None:
            told = parse_run_time(name, times[name])
            return None if told is None else (told - _EPOCH) // timedelta(microseconds=1)
    return None


def named(seed: str) -> str:
    """An id for what has none: the same for the same seed."""
    return str(uuid.uuid5(_NAMESPACE, seed))
