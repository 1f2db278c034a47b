"""Metrics over time, one step after the other."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

from attrs import frozen

from xpander_sdk import Backend, Metrics

Step = Literal["hour", "day"]
_LENGTHS: dict[Step, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_USUAL: dict[Step, int] = {"hour": 24, "day": 14}
MOST = 100
_IN_FLIGHT = 8


@frozen
class Point:
    """What the runs of one step add up to."""

    since: datetime
    metrics: Metrics


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


async def series(
    backend: Backend, agent_id: str, by: Step, since: datetime | None, until: datetime | None
) -> list[Point]:
    """The metrics of an agent by the hour or the day; the first and the last step only as far as the range goes."""
    starts = steps(by, since, until, datetime.now(UTC))
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def of(start: datetime) -> Point:
        end = start + _LENGTHS[by]
        async with slots:
            found = await backend.ametrics(agent_id, max(start, since or start), min(end, until or end))
        return Point(start, found)

    return list(await asyncio.gather(*map(of, starts)))
