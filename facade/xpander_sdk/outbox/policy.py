"""The rules of delivery, pure: what a failure means, how long to wait, what reports of one run add up to.

Times are microseconds since 1970 (UTC), as a wall clock shows them: it is the only clock that all processes and all
times of a file share.
"""

import json
import random
from collections.abc import Callable, Sequence
from enum import Enum, auto

from xpander_sdk import errors
from xpander_sdk.reporting.report import Report, encode_json

SECOND = 1_000_000
MAX_RUN_WAIT = 3_600 * SECOND
MAX_TARGET_WAIT = 60 * SECOND
MAX_RETRY_AFTER = 3_600 * SECOND
PAUSE = 300 * SECOND
"""How long a target that refuses the key is left alone."""
MAX_WAIT = MAX_RETRY_AFTER + MAX_TARGET_WAIT
"""No wait is longer: one that seems to be was written before the clock was put back, and is over."""
UNKNOWN_AGENT_ATTEMPTS = 5


class FailureKind(Enum):
    """What a failed attempt means for what was sent."""

    REFUSED = auto()
    """For good: the same report would be refused again."""
    LOCKED_OUT = auto()
    """The key is not let in; nothing is wrong with the report."""
    NOT_FOUND = auto()
    """Perhaps not yet; others at the same target are not concerned."""
    FAILED = auto()
    """The target failed; on this report, or on all."""
    NOT_NOW = auto()
    """The target is away."""


def classify_failure(error: errors.ModuleException) -> FailureKind:
    if isinstance(error, errors.InvalidReportError | errors.ConflictError | errors.TooLargeError):
        return FailureKind.REFUSED
    if isinstance(error, errors.AuthenticationError | errors.PermissionDeniedError):
        return FailureKind.LOCKED_OUT
    if isinstance(error, errors.NotFoundError):
        return FailureKind.NOT_FOUND
    if isinstance(error, errors.ContractError) or error.status_code in (500, 501, 505):
        return FailureKind.FAILED
    return FailureKind.NOT_NOW


def run_backoff(attempts: int, is_away: bool, draw: Callable[[], float] = random.random) -> int:
    """How long a run waits after its `attempts`th failure: from 1 s, doubled to an hour, half of it by chance.

    Args:
        is_away: the run is not to blame: a minute at the most, so that it goes out soon after its target is back.
    """
    longest = MAX_TARGET_WAIT if is_away else MAX_RUN_WAIT
    return round(min(longest, SECOND * 2.0 ** min(attempts - 1, 20)) * (0.5 + draw() / 2))


def destination_backoff(failures: int, retry_after: float | None, draw: Callable[[], float] = random.random) -> int:
    """How long a target is left alone after its `failures`th failure in a row: from 0.5 s, doubled to a minute.

    Args:
        retry_after: seconds that the target asks for; an hour at the most is given.
    """
    wait = round(min(MAX_TARGET_WAIT, SECOND * 2.0 ** min(failures - 2, 20)) * (0.5 + draw() / 2))
    if retry_after is not None:
        wait += round(min(MAX_RETRY_AFTER, retry_after * SECOND))
    return wait


def merge_reports(reports: Sequence[Report]) -> Report:
    """What reports of one run add up to: of each field, what was said of it last; null says nothing.

    Last is, as for a backend, what says the latest time; of the same time, what was kept last.
    """
    if len(reports) == 1:
        return reports[0]
    body: dict[str, object] = {}
    for report in sorted(reports, key=lambda report: report.reported_at):
        said = json.loads(report.content)
        body.update((name, value) for name, value in said.items() if value is not None or name not in body)
    last = reports[-1]
    return Report(
        agent_id=last.agent_id,
        id=last.id,
        reported_at=max(report.reported_at for report in reports),
        content=encode_json(body),
    )
