"""What metrics are, pure.

Each task contributes amounts, in the state that it has now. All of them are whole numbers, so that they add up exactly
in any order, and an update of a task moves the difference of its contributions. A summary is made of sums alone.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from xpander_server.clock import SECOND
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.domain.task import TOKEN_KINDS, Task, total_tokens

Amounts = dict[str, int]
"""By "outcome measure label": what tasks add up to. None is zero."""

OUTCOMES = ("completed", "failed", "executing")

# Durations are counted in buckets, each 2 % wider than the one before it: whatever is in a bucket is within 1 % of its
# middle (as in DDSketch). Buckets of different hours and servers simply add up.
_GROWTH = 1.02
_LOG_GROWTH = math.log(_GROWTH)

_NO_TOKENS = dict.fromkeys(TOKEN_KINDS, 0)


def task_amounts(task: Task) -> Amounts:
    """What a task adds to the metrics of its agent. Durations are microseconds, costs nano-dollars."""
    outcome = task.status
    amounts: Amounts = {f"{outcome} runs": 1}
    if task.duration is not None and outcome != "executing":
        duration = max(0, round(task.duration * SECOND))
        amounts[f"{outcome} duration"] = duration
        amounts[f"{outcome} bucket {_bucket(duration)}"] = 1
    for kind, count in (task.tokens or {}).items():
        amounts[f"{outcome} {kind}"] = count
    if task.used_tools:
        for name in task.used_tools:
            calls = f"{outcome} tool_calls {name}"
            amounts[calls] = amounts.get(calls, 0) + 1
            amounts[f"{outcome} tool_runs {name}"] = 1
    if task.cost is None:
        amounts[f"{outcome} unpriced"] = 1
    else:
        amounts[f"{outcome} cost"] = task.cost
    if task.model is not None:
        amounts[f"{outcome} model_runs {task.model}"] = 1
        amounts[f"{outcome} model_tokens {task.model}"] = total_tokens(
            {kind: max(0, count) for kind, count in (task.tokens or _NO_TOKENS).items()}
        )
        if task.cost is None:
            amounts[f"{outcome} model_unpriced {task.model}"] = 1
        else:
            amounts[f"{outcome} model_cost {task.model}"] = task.cost
    return {key: amount for key, amount in amounts.items() if amount > 0}


def task_delta(before: Task | None, after: Task) -> Amounts:
    """What the metrics move by when a task changes."""
    amounts = task_amounts(after)
    if before is not None:
        for key, amount in task_amounts(before).items():
            amounts[key] = amounts.get(key, 0) - amount
    return amounts


def add_amounts(total: Amounts, amounts: Mapping[str, int]) -> None:
    """Add `amounts` to `total`, in which no zero stays."""
    for key, amount in amounts.items():
        now = total.get(key, 0) + amount
        if now:
            total[key] = now
        else:
            total.pop(key, None)


def with_agent_runs(agent_id: str, amounts: Mapping[str, int]) -> Amounts:
    """What the amounts of one of its agents are to an organisation: the same, and its runs by agent."""
    runs = {f"{outcome} agent_runs {agent_id}": amounts.get(f"{outcome} runs", 0) for outcome in OUTCOMES}
    return {**amounts, **{key: amount for key, amount in runs.items() if amount}}


_PLAIN = frozenset({"runs", "duration", "cost", "unpriced", *TOKEN_KINDS})


def summarize(amounts: Mapping[str, int]) -> dict[str, Any]:
    """The contract's summary of what tasks add up to."""
    named: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, amount in amounts.items():
        _, measure, *label = key.split(" ", 2)
        if label:
            named[measure][label[0]] += amount
    return {
        **summarize_point(amounts),
        "tools": [
            {"name": name, "calls": calls, "runs": named["tool_runs"][name]}
            for name, calls in _most_first(named["tool_calls"])
        ],
        "models": [
            {
                "name": name,
                "runs": count,
                "total_tokens": named["model_tokens"][name],
                "cost": named["model_cost"][name] / NANODOLLARS if named["model_unpriced"][name] < count else None,
                "unpriced_runs": named["model_unpriced"][name],
            }
            for name, count in _most_first(named["model_runs"])
        ],
    }


@lru_cache(maxsize=16_384)
def _part(key: str) -> tuple[int | None, str, str | None]:
    """Of a key of amounts: its bucket, its outcome, its measure; of a bucket no measure, of a name neither."""
    # Remembered: in each span of a series the keys are the same, and taking them apart took a third of a page's time.
    outcome, _, measure = key.partition(" ")
    if measure.startswith("bucket "):
        return int(measure[7:]), outcome, None
    return None, outcome, measure if measure in _PLAIN else None


def summarize_point(amounts: Mapping[str, int]) -> dict[str, Any]:
    """The part of a summary that a series shows: without names."""
    totals: dict[str, int] = {}
    runs: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
    buckets: dict[int, int] = {}
    for key, amount in amounts.items():
        bucket, outcome, measure = _part(key)
        if bucket is not None:
            buckets[bucket] = buckets.get(bucket, 0) + amount
        elif measure is not None:
            totals[measure] = totals.get(measure, 0) + amount
            if measure == "runs":
                runs[outcome] += amount
    ended = runs["completed"] + runs["failed"]
    tokens = {kind: totals.get(kind, 0) for kind in TOKEN_KINDS}
    unpriced = totals.get("unpriced", 0)
    return {
        "runs": {"total": sum(runs.values()), **runs},
        "success_rate": runs["completed"] / ended if ended else None,
        "duration": {"total": totals.get("duration", 0) / SECOND, **_percentiles(buckets)},
        "tokens": {**tokens, "total_tokens": total_tokens(tokens)},
        "cost": {
            "total": totals.get("cost", 0) / NANODOLLARS if unpriced < sum(runs.values()) else None,
            "unpriced_runs": unpriced,
        },
    }


def summarize_agents(amounts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Of an organisation's amounts: its agents and their runs, busiest first."""
    runs: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for key, amount in amounts.items():
        outcome, _, rest = key.partition(" ")
        if rest.startswith("agent_runs "):
            runs[rest.removeprefix("agent_runs ")][outcome] += amount
    totals = {agent_id: sum(counts.values()) for agent_id, counts in runs.items()}
    return [
        {"agent_id": agent_id, "runs": {"total": total, **runs[agent_id]}} for agent_id, total in _most_first(totals)
    ]


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _bucket(microseconds: int) -> int:
    """0 for nothing; else the number of the bucket, from 1 for one microsecond."""
    return 1 + round(math.log(microseconds) / _LOG_GROWTH) if microseconds else 0


def _percentiles(buckets: Mapping[int, int]) -> dict[str, float | None]:
    in_order, total = sorted(buckets.items()), sum(buckets.values())
    return {f"p{percent}": _percentile(in_order, total, percent) for percent in (50, 95, 99)}


def _percentile(buckets: Iterable[tuple[int, int]], total: int, percent: int) -> float | None:
    """The smallest duration that at least `percent` per cent do not exceed, in seconds, within 1 %."""
    # In integers: 0.99 * 100 is more than 99 to a float.
    rank = -(-total * percent // 100)
    for bucket, count in buckets:
        rank -= count
        if rank <= 0:
            return _GROWTH ** (bucket - 1) / SECOND if bucket else 0.0
    return None


def merge_amounts(parts: Iterable[Mapping[str, int]]) -> Amounts:
    """The sum of several amounts."""
    total: Amounts = {}
    for part in parts:
        add_amounts(total, part)
    return total
