"""Rules of delivery as pure functions: classes of failures, waiting times, and the merging of reports.

Times are microseconds since 1970-01-01 UTC. The wall clock is the only clock that all processes of a file share.
"""

import json
from collections.abc import Callable, Sequence
from enum import Enum, auto

from xpander_sdk import errors
from xpander_sdk._random import random
from xpander_sdk.reporting import plain_json
from xpander_sdk.reporting.report import Report

SECOND = 1_000_000
MAX_RUN_WAIT = 3_600 * SECOND
MAX_DESTINATION_WAIT = 60 * SECOND
MAX_RETRY_AFTER = 3_600 * SECOND
UNAUTHORIZED_WAIT = 300 * SECOND
"""Time between two attempts at a destination that rejects the key."""
MAX_WAIT = MAX_RETRY_AFTER + MAX_DESTINATION_WAIT
"""Longest possible wait; `is_in_force` relies on it."""
MAX_UNKNOWN_AGENT_ATTEMPTS = 5


class FailureKind(Enum):
    """Classes of failed attempts, by the consequence for the report and for its destination."""

    REJECTED = auto()
    """The report is invalid: the backend would reject it again."""
    UNAUTHORIZED = auto()
    """The key is invalid; the report is not the cause."""
    NOT_FOUND = auto()
    """The agent does not exist yet; other runs of the destination are not affected."""
    SERVER_ERROR = auto()
    """The destination failed, either on this report or on all."""
    UNAVAILABLE = auto()
    """The destination cannot be reached, or asks to try later."""


def classify_failure(error: errors.ModuleException) -> FailureKind:
    """Return the class of a failed attempt."""
    if isinstance(error, errors.InvalidReportError | errors.ConflictError | errors.TooLargeError):
        return FailureKind.REJECTED
    if isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError):
        return FailureKind.UNAUTHORIZED
    if isinstance(error, errors.NotFoundError):
        return FailureKind.NOT_FOUND
    if isinstance(error, errors.ContractError) or error.status_code in (500, 501, 505):
        return FailureKind.SERVER_ERROR
    return FailureKind.UNAVAILABLE


def is_in_force(until: int, now: int) -> bool:
    """Return whether a stored wait or lease that ends at `until` still applies.

    A time more than `MAX_WAIT` ahead was written before the clock was set back, and does not apply any more.
    """
    return now < until <= now + MAX_WAIT


def run_backoff(failed_attempts: int, is_unavailable: bool, draw: Callable[[], float] = random) -> int:
    """Return the time until the next attempt for a run, in microseconds.

    The time starts at 1 second and doubles up to an hour. Half of it is random.

    Args:
        failed_attempts: Number of failed attempts for the run, at least 1.
        is_unavailable: The destination is the cause. The wait is then limited to a minute, so that the report is sent
            soon after the destination has recovered.
        draw: Function that returns a random number from 0 to 1.
    """
    longest = MAX_DESTINATION_WAIT if is_unavailable else MAX_RUN_WAIT
    return round(min(longest, SECOND * 2.0 ** min(failed_attempts - 1, 20)) * (0.5 + draw() / 2))


def destination_backoff(failures: int, retry_after: float | None, draw: Callable[[], float] = random) -> int:
    """Return the time until the next attempt at a destination, in microseconds.

    The time starts at 0.5 seconds and doubles up to a minute. Half of it is random.

    Args:
        failures: Number of failures in a row, at least 1.
        retry_after: Seconds that the destination asks for, added to the time; at most an hour is granted.
        draw: Function that returns a random number from 0 to 1.
    """
    wait = round(min(MAX_DESTINATION_WAIT, SECOND * 2.0 ** min(failures - 2, 20)) * (0.5 + draw() / 2))
    if retry_after is not None:
        wait += round(min(MAX_RETRY_AFTER, retry_after * SECOND))
    return wait


def merge_reports(reports: Sequence[Report]) -> Report:
    """Merge reports of one run into one, with the same result as if each were sent.

    Each field has its latest value. null replaces no value, and neither do the defaults: a duration of 0, empty
    `used_tools` and empty `calls`. As on the server, "latest" is the order of `reported_at`, and for equal times the
    order of submission. For example:

        {"id": "r", "input": "2+2?", "is_success": null}   reported_at 1
        {"id": "r", "result": "4", "is_success": true}     reported_at 2
        {"id": "r", "input": "2+2?", "result": "4", "is_success": true}   the merged report, reported_at 2
    """
    if len(reports) == 1:
        return reports[0]
    merged: dict[str, object] = {}
    for report in sorted(reports, key=lambda report: report.reported_at):
        fields = json.loads(report.content)
        merged.update((name, value) for name, value in fields.items() if name not in merged or _is_stated(name, value))
    last = reports[-1]
    return Report(
        agent_id=last.agent_id,
        id=last.id,
        reported_at=max(report.reported_at for report in reports),
        content=plain_json.encode(merged),
    )


def _is_stated(name: str, value: object) -> bool:
    return value is not None and (bool(value) or name not in ("duration", "used_tools", "calls"))
