"""Run that was read from a file, ready to be reported."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen

from xpander_sdk.reporting.validation import parse_run_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "xpander-report/import")
# The latest known time of a run, most specific first.
_TIMES_OF_REPORT = ("updated_at", "finished_at", "created_at")


@frozen
class Record:
    """Run of a file, independent of the file's format.

    Attributes:
        agent_id: agent of the run; None if the file does not contain it.
        id: id of the run; None if the file does not contain it.
        arguments: the other arguments of `reporting.report.new_report`.
        reported_at: time of report in microseconds since 1970 (UTC). A later report of the same run is not
            overwritten. None for the present time.
    """

    agent_id: str | None
    id: str | None
    arguments: dict[str, Any]
    reported_at: int | None = None


def time_of_report(times: dict[str, Any]) -> int | None:
    """Return the time of report of a run in microseconds since 1970 (UTC).

    The first of `updated_at`, `finished_at` and `created_at` that has a value counts.

    Raises:
        ValueError: the value is not a time.
    """
    for name in _TIMES_OF_REPORT:
        if times.get(name) is not None:
            time = parse_run_time(name, times[name])
            return None if time is None else (time - _EPOCH) // timedelta(microseconds=1)
    return None


def id_from_seed(seed: str) -> str:
    """Return an id for a run without one. The same seed gives the same id."""
    return str(uuid.uuid5(_NAMESPACE, seed))
