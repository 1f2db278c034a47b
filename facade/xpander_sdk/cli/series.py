"""Metrics over time, one step after the other."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from xpander_sdk import Backend, Tokens
from xpander_sdk.metrics import CostSummary, DurationSummary, MetricsPoint, RunCounts

Step = Literal["hour", "day"]
_LENGTHS: dict[Step, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_USUAL: dict[Step, int] = {"hour": 24, "day": 14}
MOST = 100


def steps(by: Step, since: datetime | None, until: datetime | None, now: datetime) -> list[datetime]:
    """Where the steps begin, in UTC: those from `since` to before `until`; else the last 24 hours or 14 days.

    Raises:
        ValueError: they are over 100.
    """
    length = _LENGTHS[by]
    last = (until or now) - timedelta(microseconds=1 if until else 0)
    last = _begin(by, last)
    first = last - (_USUAL[by] - 1) * length if since is None else _begin(by, since)
    count = (last - first) // length + 1
    if count > MOST:
        raise ValueError(f"these are {count:,} {by}s; at most {MOST} are shown: give --since and --until")
    return [first + number * length for number in range(count)]


def _begin(by: Step, moment: datetime) -> datetime:
    return moment.replace(hour=0 if by == "day" else moment.hour, minute=0, second=0, microsecond=0)


def series(
    backend: Backend, agent_id: str, by: Step, since: datetime | None, until: datetime | None
) -> list[MetricsPoint]:
    """The metrics of an agent by the hour or the day; the first and the last step only as far as the range goes."""
    starts = steps(by, since, until, datetime.now(UTC))
    if not starts:
        return []
    found = backend.metrics(agent_id, since or starts[0], until, by)
    there = {point.start: point for point in found.series or ()}
    return [there.get(start) or _nothing(start) for start in starts]


def _nothing(start: datetime) -> MetricsPoint:
    return MetricsPoint(
        start=start,
        runs=RunCounts(0, 0, 0, 0),
        success_rate=None,
        duration=DurationSummary(0.0, None, None, None),
        tokens=Tokens(),
        cost=CostSummary(None, 0),
    )
