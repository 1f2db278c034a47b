"""What metrics are: a fold over the tasks of an agent, each counted once, in the state that it has now."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen

from xpander_server.tasks import TOKEN_KINDS, total_tokens


@frozen
class Run:
    """Of one task, what counts."""

    status: str
    duration: float | None
    tokens: dict[str, int] | None
    used_tools: list[str] | None


def summarise(runs: Iterable[Run]) -> dict[str, Any]:
    """The contract's `AgentMetrics`, less the agent and the range."""
    statuses: Counter[str] = Counter()
    durations: list[float] = []
    tokens: dict[str, int] = dict.fromkeys(TOKEN_KINDS, 0)
    calls: Counter[str] = Counter()
    users: Counter[str] = Counter()
    for run in runs:
        statuses[run.status] += 1
        if run.duration is not None and run.status != "executing":
            durations.append(max(0.0, run.duration))
        for kind, count in (run.tokens or {}).items():
            tokens[kind] += max(0, count)
        calls.update(run.used_tools or [])
        users.update(set(run.used_tools or []))
    durations.sort()
    ended = statuses["completed"] + statuses["failed"]
    return {
        "runs": {"total": statuses.total(), **{name: statuses[name] for name in ("completed", "failed", "executing")}},
        "success_rate": statuses["completed"] / ended if ended else None,
        "duration": {
            "total": math.fsum(durations),
            **{f"p{percent}": percentile(durations, percent) for percent in (50, 95, 99)},
        },
        "tokens": {**tokens, "total_tokens": total_tokens(tokens)},
        "tools": [
            {"name": name, "calls": count, "runs": users[name]}
            for name, count in sorted(calls.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def percentile(ascending: Sequence[float], percent: int) -> float | None:
    """The smallest value that at least `percent` per cent do not exceed (nearest rank); None of nothing."""
    # In integers: 0.99 * 100 is more than 99 to a float.
    return ascending[-(-len(ascending) * percent // 100) - 1] if ascending else None
