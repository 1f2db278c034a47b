"""Metrics of an agent or of all agents, and metrics over time: one point for each hour or day."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from xpander_sdk import Backend, Metrics, Tokens
from xpander_sdk.metrics import CostSummary, DurationSummary, MetricsPoint, RunCounts

Bucket = Literal["hour", "day"]
MAX_BUCKETS = 100
_LENGTHS: dict[Bucket, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_DEFAULT_COUNTS: dict[Bucket, int] = {"hour": 24, "day": 14}


def bucket_starts(bucket: Bucket, since: datetime | None, until: datetime | None, now: datetime) -> list[datetime]:
    """Return the start of each time bucket, in UTC.

    Args:
        bucket: length of a bucket.
        since: time in the first bucket. Default: the last 24 hours or 14 days.
        until: end of the last bucket, exclusive. Default: `now`.
        now: the present time.

    Raises:
        ValueError: the range has more than 100 buckets.
    """
    length = _LENGTHS[bucket]
    # `until` is exclusive: at midnight, the last day is the day before.
    end = now if until is None else until - timedelta(microseconds=1)
    last = _round_down(bucket, end)
    first = last - (_DEFAULT_COUNTS[bucket] - 1) * length if since is None else _round_down(bucket, since)
    count = (last - first) // length + 1
    if count > MAX_BUCKETS:
        raise ValueError(
            f"the time range must have at most {MAX_BUCKETS} {bucket}s, got {count:,}; "
            "shorten it with --since and --until"
        )
    return [first + number * length for number in range(count)]


def load_metrics(
    backend: Backend,
    agent_id: str | None,
    since: datetime | str | None,
    until: datetime | str | None,
    bucket: Bucket | None = None,
) -> Metrics:
    """Load the metrics of an agent; of all agents of the organization, if no agent is given.

    Raises:
        ModuleException: the request failed.
    """
    if agent_id is None:
        return backend.organization_metrics(since, until, bucket)
    return backend.metrics(agent_id, since, until, bucket)


def load_series(
    backend: Backend, agent_id: str | None, bucket: Bucket, since: datetime | None, until: datetime | None
) -> list[MetricsPoint]:
    """Load the metrics of an agent, or of all agents, by hour or day, with empty points for the buckets without runs.

    The first and the last point contain only the part of their bucket that is inside the range.

    Raises:
        ValueError: the range has more than 100 buckets.
        ModuleException: the request failed.
    """
    starts = bucket_starts(bucket, since, until, datetime.now(UTC))
    if not starts:
        return []
    metrics = load_metrics(backend, agent_id, since or starts[0], until, bucket)
    points = {point.start: point for point in metrics.series or ()}
    return [points.get(start) or _empty_point(start) for start in starts]


def _round_down(bucket: Bucket, time: datetime) -> datetime:
    return time.replace(hour=0 if bucket == "day" else time.hour, minute=0, second=0, microsecond=0)


def _empty_point(start: datetime) -> MetricsPoint:
    return MetricsPoint(
        start=start,
        runs=RunCounts(0, 0, 0, 0),
        success_rate=None,
        duration=DurationSummary(0.0, None, None, None),
        tokens=Tokens(),
        cost=CostSummary(None, 0),
    )
