"""Metrics of tasks: the amounts that a task counts for, their sums, and the contract's summary of a sum.

Metrics are sums of `Amounts`. A completed run of 1.5 seconds with one call of the tool "search" counts for

    {
        "completed runs": 1,
        "completed duration": 1500000,               # microseconds
        "completed bucket 719": 1,                   # see _bucket
        "completed prompt_tokens": 2140,
        "completed completion_tokens": 380,
        "completed cost": 9150000,                   # nano-dollars
        "completed tool_calls search": 1,
        "completed tool_runs search": 1,
        "completed model_runs gpt-4o": 1,
        "completed model_tokens gpt-4o": 2520,
        "completed model_cost gpt-4o": 9150000,
    }

A key has the form "outcome measure" or "outcome measure label":

    outcome          "completed", "failed" or "executing"
    runs             runs
    duration         microseconds of ended runs
    bucket N         ended runs whose duration lies in bucket N
    *_tokens         tokens, one measure for each of `TOKEN_KINDS`
    cost             nano-dollars of runs with a known price
    unpriced         runs without a known price
    tool_calls NAME  calls of a tool                    tool_runs NAME       runs that called the tool
    model_runs NAME  runs that called a model           model_tokens NAME    prompt and completion tokens of these calls
    model_cost NAME  nano-dollars of priced runs        model_unpriced NAME  runs with a call of unknown cost
    agent_runs ID    runs of an agent, in the amounts of an organization only
    other_MEASURE    sum of a measure with a NAME or an ID over the names that have no keys: see `metric_names`

A label is everything after the second space and may itself contain spaces. An amount of zero is left out.

All amounts are integers, so they add up exactly, in any order. When a task changes, the metrics change by the
difference of its amounts after and before. The keys are strings because the store keeps amounts as JSON objects.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from xpander_server.clock import SECOND
from xpander_server.domain.model_calls import TOKEN_KINDS, ModelUsage, total_tokens, usage_by_model
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.domain.task import Task

Amounts = dict[str, int]
"""Amounts by key, as the module describes them."""

OUTCOMES = ("completed", "failed", "executing")

MAX_TASK_TOOLS = 128
"""Tools that one task counts for by name; its further tools are summed up."""
MAX_TASK_MODELS = 32
"""Models that one task counts for by name; its further models are summed up."""

KIND_OF_MEASURE = {
    "tool_calls": "tool", "tool_runs": "tool",
    "model_runs": "model", "model_tokens": "model", "model_cost": "model", "model_unpriced": "model",
    "agent_runs": "agent",
}  # fmt: skip
"""Kind of the name that is the label of a measure."""
_NO_NAMES: Mapping[str, int] = {}
OTHER = "other_"
"""Prefix of the measures that sum up the names without keys."""

# Duration buckets as in DDSketch: each bucket is 2 % wider than the one before it, so a duration differs from the
# middle of its bucket by at most 1 %. Counts per bucket of different hours and servers add up.
_GROWTH = 1.02
_LOG_GROWTH = math.log(_GROWTH)

_NO_TOKENS = dict.fromkeys(TOKEN_KINDS, 0)


class AmountKey(NamedTuple):
    """Parts of a key of `Amounts`."""

    outcome: str
    measure: str
    label: str | None
    bucket: int | None
    """The label of the measure "bucket" as a number; None for other measures."""


# Cached: all points of a series have the same keys, and parsing them took a third of the metrics page's time.
@lru_cache(maxsize=16_384)
def parse_key(key: str) -> AmountKey:
    """Return the parts of a key of `Amounts`."""
    outcome, measure, *label = key.split(" ", 2)
    return AmountKey(
        outcome, measure, label[0] if label else None, bucket=int(label[0]) if measure == "bucket" else None
    )


@lru_cache(maxsize=16_384)
def _measure_or_bucket(key: str) -> str | int | None:
    """Return the measure of a key without a label, the number of a bucket, and None for all other keys."""
    _, measure, label, bucket = parse_key(key)
    return measure if label is None else bucket


def task_amounts(task: Task) -> Amounts:
    """Return the amounts that a task counts for in the metrics of its agent."""
    outcome = task.status
    amounts: Amounts = {f"{outcome} runs": 1}
    if task.duration is not None and outcome != "executing":
        duration = max(0, round(task.duration * SECOND))
        amounts[f"{outcome} duration"] = duration
        amounts[f"{outcome} bucket {_bucket(duration)}"] = 1
    for kind, count in (task.tokens or {}).items():
        amounts[f"{outcome} {kind}"] = count
    if task.used_tools:
        names = task.used_tools
        if len(names) > MAX_TASK_TOOLS:
            names = _add_other_tools(amounts, outcome, names)
        for name in names:
            calls = f"{outcome} tool_calls {name}"
            amounts[calls] = amounts.get(calls, 0) + 1
            amounts[f"{outcome} tool_runs {name}"] = 1
    if task.cost is None:
        amounts[f"{outcome} unpriced"] = 1
    else:
        amounts[f"{outcome} cost"] = task.cost
    for number, (model, usage) in enumerate(task_models(task).items()):
        prefix, label = (f"{outcome} ", f" {model}") if number < MAX_TASK_MODELS else (f"{outcome} {OTHER}", "")
        values = {"model_runs": 1, "model_tokens": usage.total_tokens}
        values.update({"model_unpriced": 1} if usage.cost is None else {"model_cost": usage.cost})
        for measure, amount in values.items():
            key = f"{prefix}{measure}{label}"
            amounts[key] = amounts.get(key, 0) + amount
    # A caller may report negative numbers, which do not count.
    return {key: amount for key, amount in amounts.items() if amount > 0}


def task_models(task: Task) -> dict[str, ModelUsage]:
    """Return the usage of each model that a task called: by its calls, or else by its response."""
    if task.calls:
        costs = task.call_costs or [None] * len(task.calls)
        return usage_by_model(task.calls, costs, task.tokens)
    if task.model is None:
        return {}
    tokens = {kind: max(0, count) for kind, count in (task.tokens or _NO_TOKENS).items()}
    return {task.model: ModelUsage(total_tokens(tokens), task.cost)}


def _add_other_tools(amounts: Amounts, outcome: str, names: list[str]) -> list[str]:
    """Add the tools beyond `MAX_TASK_TOOLS` to the amounts, and return the calls of the others."""
    tools = [*dict.fromkeys(names)]
    counted, others = set(tools[:MAX_TASK_TOOLS]), tools[MAX_TASK_TOOLS:]
    if not others:
        return names
    calls = [name for name in names if name in counted]
    amounts[f"{outcome} {OTHER}tool_calls"] = len(names) - len(calls)
    amounts[f"{outcome} {OTHER}tool_runs"] = len(others)
    return calls


def task_delta(before: Task | None, after: Task) -> Amounts:
    """Return the change of the metrics when a task changes; the amounts in it may be negative or zero.

    Args:
        before: The task before the change; None for a new task.
        after: The task after the change.
    """
    amounts = task_amounts(after)
    if before is not None:
        for key, amount in task_amounts(before).items():
            amounts[key] = amounts.get(key, 0) - amount
    return amounts


def add_amounts(total: Amounts, amounts: Mapping[str, int]) -> None:
    """Add `amounts` to `total` in place, and remove the keys whose sum is zero."""
    if not total and 0 not in amounts.values():
        total.update(amounts)
        return
    for key, amount in amounts.items():
        new_total = total.get(key, 0) + amount
        if new_total:
            total[key] = new_total
        else:
            total.pop(key, None)


def subtract_amounts(total: Amounts, amounts: Mapping[str, int]) -> None:
    """Subtract `amounts` from `total` in place, and remove the keys whose difference is zero."""
    add_amounts(total, {key: -amount for key, amount in amounts.items()})


def merge_amounts(parts: Iterable[Mapping[str, int]]) -> Amounts:
    """Return the sum of several amounts."""
    total: Amounts = {}
    for part in parts:
        add_amounts(total, part)
    return total


def with_agent_runs(agent_id: str, amounts: Mapping[str, int]) -> Amounts:
    """Return an agent's amounts as they count for its organization: with the measure `agent_runs` added."""
    return {**amounts, **agent_runs(agent_id, amounts)}


def agent_runs(agent_id: str, amounts: Mapping[str, int]) -> Amounts:
    """Return the measure `agent_runs` of an agent's amounts."""
    runs = {f"{outcome} agent_runs {agent_id}": amounts.get(f"{outcome} runs", 0) for outcome in OUTCOMES}
    return {key: amount for key, amount in runs.items() if amount}


def has_other_names(amounts: Mapping[str, int]) -> bool:
    """Return whether amounts contain a sum of several names without their names."""
    return any(f" {OTHER}" in key and parse_key(key).measure.startswith(OTHER) for key in amounts)


def summarize(amounts: Mapping[str, int], other_names: Mapping[str, int] = _NO_NAMES) -> dict[str, Any]:
    """Return the contract's summary of a sum of amounts, with its tools and models.

    Args:
        amounts: The sum.
        other_names: The number of distinct names in the overflow entries, by kind.
    """
    by_label = _sum_by_label(amounts)
    tools = _with_overflow(by_label, "tool_calls", "(other tools)", other_names.get("tool"))
    models = _with_overflow(by_label, "model_runs", "(other models)", other_names.get("model"))
    return {
        **summarize_point(amounts),
        "tools": [{**entry, "calls": calls, "runs": by_label["tool_runs"][label]} for label, entry, calls in tools],
        "models": [
            {
                **entry,
                "runs": runs,
                "total_tokens": by_label["model_tokens"][label],
                "cost": by_label["model_cost"][label] / NANODOLLARS
                if by_label["model_unpriced"][label] < runs
                else None,
                "unpriced_runs": by_label["model_unpriced"][label],
            }
            for label, entry, runs in models
        ],
    }


def summarize_point(amounts: Mapping[str, int]) -> dict[str, Any]:
    """Return the part of the summary that each point of a series contains: no tools, no models."""
    totals: dict[str, int] = {}
    buckets: dict[int, int] = {}
    for key, amount in amounts.items():
        measure = _measure_or_bucket(key)
        if isinstance(measure, int):  # most keys
            buckets[measure] = buckets.get(measure, 0) + amount
        elif measure is not None:
            totals[measure] = totals.get(measure, 0) + amount
    runs = {outcome: amounts.get(f"{outcome} runs", 0) for outcome in OUTCOMES}
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


def summarize_agents(amounts: Mapping[str, int], other_names: Mapping[str, int] = _NO_NAMES) -> list[dict[str, Any]]:
    """Return the agents in an organization's amounts with their runs, those with the most runs first.

    Args:
        amounts: The sum.
        other_names: The number of distinct names in the overflow entries, by kind.
    """
    runs: defaultdict[str | None, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for key, amount in amounts.items():
        outcome, measure, label, _ = parse_key(key)
        if measure.removeprefix(OTHER) == "agent_runs":
            runs[label][outcome] += amount
    totals = {"agent_runs": {agent_id: sum(counts.values()) for agent_id, counts in runs.items()}}
    return [
        {"agent_id": entry.pop("name"), **entry, "runs": {"total": total, **runs[agent_id]}}
        for agent_id, entry, total in _with_overflow(totals, "agent_runs", "(other agents)", other_names.get("agent"))
    ]


def _sum_by_label(amounts: Mapping[str, int]) -> "defaultdict[str, defaultdict[str | None, int]]":
    """Return the sums by measure and label; the label of all names without keys is None."""
    by_label: defaultdict[str, defaultdict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    for key, amount in amounts.items():
        _, measure, label, _ = parse_key(key)
        if label is not None or measure.startswith(OTHER):
            by_label[measure.removeprefix(OTHER)][label] += amount
    return by_label


def _with_overflow(
    by_label: Mapping[str, Mapping[str | None, int]], measure: str, overflow_name: str, names: int | None
) -> Iterator[tuple[str | None, dict[str, Any], int]]:
    """Yield the label, the start of the entry, and the sum of each name, largest first; the overflow entry is last."""
    counts = by_label[measure]
    overflow: dict[str, Any] = {"name": overflow_name, "is_overflow": True, **({"names": names} if names else {})}
    for label, count in sorted(counts.items(), key=lambda item: (item[0] is None, -item[1], item[0])):
        yield label, overflow if label is None else {"name": label}, count


def _bucket(microseconds: int) -> int:
    """Return the bucket of a duration: 0 for 0, 1 for 1 microsecond, and 719 for 1.5 seconds."""
    return 1 + round(math.log(microseconds) / _LOG_GROWTH) if microseconds else 0


def _percentiles(buckets: Mapping[int, int]) -> dict[str, float | None]:
    """Return the smallest durations that at least 50, 95 and 99 % of the runs do not exceed, in seconds, within 1 %."""
    ascending = sorted(buckets)
    # The number of runs up to each bucket.
    counts = list(accumulate(map(buckets.__getitem__, ascending)))
    return {f"p{percent}": _percentile(ascending, counts, percent) for percent in (50, 95, 99)}


def _percentile(buckets: Sequence[int], counts: Sequence[int], percent: int) -> float | None:
    if not buckets:
        return None
    # Integer arithmetic: as a float, 0.99 * 100 is greater than 99.
    rank = -(-counts[-1] * percent // 100)
    bucket = buckets[bisect_left(counts, rank)]
    return _GROWTH ** (bucket - 1) / SECOND if bucket else 0.0
