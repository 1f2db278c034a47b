"""The rules of a task, pure: what a report makes of it.

A task is a set of last-writer-wins registers: each field remembers the time of the report that set it. Reports of one
task may therefore arrive late, twice and in any order, and the task ends up the same.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

import msgspec
from attrs import evolve, field, frozen

from xpander_server.clock import SECOND, parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain.pricing import compute_cost, parse_model

MAX_CLOCK_AHEAD = 300 * SECOND
"""A caller whose clock is further ahead than this would shut out every later report, and stand first in the history for
years; its times are not used."""

TOKEN_KINDS: tuple[str, ...] = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")


MAX_CHANGES = 20  # remembered of a task
_MAX_BEFORE = 200  # characters of JSON


class Change(TypedDict):
    """One update: when it was reported, when it came, and what was there before."""

    reported_at: int
    at: int
    before: dict[str, Any]
    """By field."""
    lengths: dict[str, int]
    """Of those that were too long to be remembered: how many characters of JSON they had."""


class Conflict(Exception):
    """The id belongs to another agent."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"The id {task_id!r} belongs to another agent of this organisation. Nothing was changed.")


@frozen(kw_only=True)
class Task:
    """One run, as a store keeps it. Times are microseconds since 1970 (UTC); None stands for unknown."""

    organization_id: str
    id: str
    agent_id: str
    created_at: int
    """When it was first seen, by whom reported it if that was said. The time at which it counts."""
    updated_at: int
    finished_at: int | None = None
    """When it ended; without meaning while nobody has said that it did."""
    input: str | None = None
    llm_response: str | None = None
    """JSON text, as it was reported."""
    tokens: dict[str, int] | None = None
    is_success: bool | None = None
    result: str | None = None
    duration: float | None = None
    used_tools: list[str] | None = None
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    model: str | None = None
    """As `llm_response` names it."""
    cost: int | None = None
    """Nano-dollars, by the prices that were known when it was last reported."""
    reported_at: dict[str, int] = field(factory=dict)
    """When each field was reported that has been."""
    changes: list[Change] | None = field(default=None, eq=False, repr=False)
    """What the latest updates changed, in the order in which they came; None before the first."""

    @property
    def status(self) -> str:
        return {True: "completed", False: "failed", None: "executing"}[self.is_success]

    @property
    def started_at(self) -> int | None:
        if self.finished_at is None or self.is_success is None:
            return None
        return self.finished_at - round((self.duration or 0) * SECOND)


def merge(
    stored: Task | None,
    report: Report,
    *,
    organization_id: str,
    agent_id: str,
    task_id: str,
    reported_at: int | None,
    now: int,
) -> Task:
    """The task after `report`: the same object where the report changes nothing.

    Args:
        reported_at: the caller's time of report; None stands for `now`.
        now: the time of arrival.

    Raises:
        Conflict: the task belongs to another agent.
    """
    if stored is not None and stored.agent_id != agent_id:
        raise Conflict(task_id)
    if reported_at is None or reported_at > now + MAX_CLOCK_AHEAD:
        reported_at = now
    if stored is None:
        changed = newer = _reported(report, now)
        updated_at = now
        times = dict.fromkeys(newer, reported_at)
    else:
        before = stored.reported_at
        newer = {name: value for name, value in _reported(report, now).items() if reported_at >= before.get(name, 0)}
        changed = {name: value for name, value in newer.items() if getattr(stored, name) != value}
        times = {**before, **dict.fromkeys(newer, reported_at)}
        if not changed and times == before:
            return stored
        updated_at = now if changed else stored.updated_at
    created_at = newer.get("created_at", now if stored is None else stored.created_at)
    finished_at = newer.get("finished_at", None if stored is None else stored.finished_at)
    if finished_at is None and newer.get("is_success") is not None:
        finished_at = now
    fields = {
        **changed,
        "created_at": created_at,
        "finished_at": finished_at,
        "updated_at": updated_at,
        "reported_at": times,
    }
    if "llm_response" in changed or "tokens" in changed:
        fields.update(_cost(stored, changed, created_at))
    if stored is not None:
        if changed:
            fields["changes"] = [*(stored.changes or [])[1 - MAX_CHANGES :], _change(stored, changed, reported_at, now)]
        return evolve(stored, **fields)
    return Task(organization_id=organization_id, id=task_id, agent_id=agent_id, **fields)


def _change(stored: Task, names: Iterable[str], reported_at: int, now: int) -> Change:
    change = Change(reported_at=reported_at, at=now, before={}, lengths={})
    for name in names:
        value = getattr(stored, name)
        length = len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
        if length > _MAX_BEFORE or (name == "llm_response" and value is not None):
            change["lengths"][name] = length
        else:
            change["before"][name] = value
    return change


def _cost(stored: Task | None, changed: Mapping[str, Any], created_at: int) -> dict[str, Any]:
    """The model and the cost of a task whose response or whose tokens have changed."""
    model, tokens = (None, None) if stored is None else (stored.model, stored.tokens)
    if "llm_response" in changed:
        model = parse_model(changed["llm_response"])
    tokens = changed.get("tokens", tokens)
    return {"model": model, "cost": compute_cost(model, tokens, at=created_at)}


def _reported(report: Report, now: int) -> dict[str, Any]:
    """What the report says, in the forms that a task keeps; null says nothing."""
    fields: dict[str, Any] = {name: value for name, value in report.items() if value is not None and name != "id"}
    if "tokens" in fields:
        fields["tokens"] = _tokens(fields["tokens"])
    if "duration" in fields:
        fields["duration"] = float(fields["duration"])
    for name in ("created_at", "finished_at"):
        if name in fields and (told := parse_timestamp(fields.pop(name))) <= now + MAX_CLOCK_AHEAD:
            fields[name] = told
    return fields


def _tokens(reported: Mapping[str, int | float | None]) -> dict[str, int]:
    # int(): to JSON Schema, 17046.0 is an integer.
    return {kind: int(reported.get(kind) or 0) for kind in TOKEN_KINDS}


def total_tokens(tokens: Mapping[str, int]) -> int:
    """Completion and prompt; cached tokens are no part of it."""
    return tokens["completion_tokens"] + tokens["prompt_tokens"]
