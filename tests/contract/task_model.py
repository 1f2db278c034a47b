"""Model of the contract: the expected task and metrics after any sequence of reports.

The model is written from the contract alone, so that it does not repeat an error of the server.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import define, field

TOKEN_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
COUNT_AS_ABSENT_IF_EMPTY = ("duration", "used_tools")
REPORTED_TIMES = ("created_at", "finished_at")
MAX_CLOCK_DIFFERENCE = timedelta(seconds=300)
"""A later reported time is ignored."""


@define
class ModelTask:
    """Expected state of one task.

    Attributes:
        agent: The agent of the task.
        values: The values of the reported fields.
        reported_at: The time of the report that set each field, in microseconds since 1970.
        last_response: The task in the last response of the server. The server chooses its times, but must keep them.
    """

    agent: str
    values: dict[str, Any] = field(factory=dict)
    reported_at: dict[str, int] = field(factory=dict)
    last_response: dict[str, Any] = field(factory=dict)

    def apply(self, report: dict[str, Any], reported_at: int) -> bool:
        """Apply the fields that a report states and that are not older, and return whether a value changed."""
        before = json.dumps(self.values)
        for name, value in report.items():
            if name == "id" or value is None or (name in COUNT_AS_ABSENT_IF_EMPTY and not value):
                continue
            if name in REPORTED_TIMES and parse_time(value) > datetime.now(UTC) + MAX_CLOCK_DIFFERENCE:
                continue
            if reported_at >= self.reported_at.get(name, reported_at):
                self.values[name] = _normalize(name, value)
                self.reported_at[name] = reported_at
        return json.dumps(self.values) != before

    @property
    def status(self) -> str:
        """The expected status."""
        return {None: "executing", True: "completed", False: "failed"}[self.values.get("is_success")]

    @property
    def tokens(self) -> dict[str, int]:
        """The expected counts of tokens, without the total."""
        return self.values.get("tokens", dict.fromkeys(TOKEN_KINDS, 0))


def _normalize(name: str, value: Any) -> Any:
    if name == "tokens":
        return {kind: value.get(kind) or 0 for kind in TOKEN_KINDS}
    if name in REPORTED_TIMES:
        return parse_time(value).astimezone(UTC).isoformat()
    return float(value) if name == "duration" else value


def total_tokens(tokens: dict[str, int]) -> int:
    """Return the total of a task's or of several tasks' tokens."""
    return tokens["completion_tokens"] + tokens["prompt_tokens"]


def parse_time(timestamp: str) -> datetime:
    """Return the time that a timestamp of the contract states."""
    return datetime.fromisoformat(timestamp)


def assert_metrics(metrics: dict[str, Any], tasks: Sequence[ModelTask]) -> None:
    """Assert that a response with metrics equals the metrics of the tasks."""
    statuses = Counter(task.status for task in tasks)
    assert metrics["runs"] == {
        "total": len(tasks), **{name: statuses[name] for name in ("completed", "failed", "executing")},
    }  # fmt: skip
    ended = statuses["completed"] + statuses["failed"]
    assert metrics["success_rate"] == (pytest.approx(statuses["completed"] / ended) if ended else None)
    ended_tasks = [task for task in tasks if task.status != "executing"]
    _assert_durations(metrics["duration"], [t.values["duration"] for t in ended_tasks if "duration" in t.values])
    tokens = {kind: sum(max(0, task.tokens[kind]) for task in tasks) for kind in TOKEN_KINDS}
    assert metrics["tokens"] == {**tokens, "total_tokens": total_tokens(tokens)}
    _assert_tools(metrics["tools"], [task.values.get("used_tools", []) for task in tasks])


def _assert_durations(summary: dict[str, Any], reported_durations: Sequence[float]) -> None:
    durations = sorted(max(0.0, duration) for duration in reported_durations)
    assert summary["total"] == pytest.approx(math.fsum(durations), abs=1e-6 * max(1, len(durations)))
    for percent in (50, 95, 99):
        # Nearest rank: the smallest duration that at least this share of the durations does not exceed.
        candidates = [
            duration
            for duration in durations
            if 100 * sum(other <= duration for other in durations) >= percent * len(durations)
        ]
        percentile = min(candidates, default=None)
        expected = None if percentile is None else pytest.approx(percentile, rel=0.01, abs=1e-6)
        assert summary[f"p{percent}"] == expected


def _assert_tools(tools: Sequence[dict[str, Any]], used_tools: Sequence[Sequence[str]]) -> None:
    calls = Counter(name for names in used_tools for name in names)
    runs = Counter(name for names in used_tools for name in set(names))
    assert {tool["name"]: (tool["calls"], tool["runs"]) for tool in tools} == {
        name: (calls[name], runs[name]) for name in calls
    }
    assert len(tools) == len(calls)
    call_counts = [tool["calls"] for tool in tools]
    assert call_counts == sorted(call_counts, reverse=True), "the most called tool must come first"
