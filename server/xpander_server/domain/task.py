"""Task: the record of one run, and the rules by which reports update it.

Each field of a task is a last-writer-wins register: it keeps the value of the report with the latest time of report
(`reported_at`), and that time. Absent and null fields of a report change nothing. Neither do a `duration` of 0, empty
`used_tools` and empty `calls`, which clients send by default. Reports of one task may therefore arrive late, repeatedly
and in any order; the resulting fields are the same.

Example: three reports of the task "t", and the fields after each of them.

    arrival  reported_at  report                                   result      is_success  duration
    1        10:00:00     {"result": "draft"}                      "draft"     None        None
    2        10:00:09     {"result": "final", "is_success": true}  "final"     True        None
    3        10:00:05     {"result": "late", "duration": 4.7}      "final"     True        4.7

The third report is older than the second one. It does not replace the result, but it fills the duration.

Further rules:
    - A task belongs to the agent of its first report. A report of another agent raises `Conflict`.
    - A time of report more than `MAX_CLOCK_AHEAD` in the future is replaced by the time of arrival. Such a `created_at`
      or `finished_at` is ignored.
    - `created_at` and `finished_at` default to the times at which the first report, and the first report with an
      outcome, arrived.
    - Equal times of report: the later arrival wins.
    - `calls` has one entry for each `response_id`. If no report contains `tokens`, they are the sum of the calls.
    - The costs are computed when `calls`, `llm_response` or `tokens` change, and are stored. Only `reprice` applies new
      prices to them. The cost of a task with calls is the sum of their costs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import msgspec
from attrs import evolve, field, frozen

from xpander_server.clock import HOUR, SECOND, parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain.failure_reason import failure_reason
from xpander_server.domain.model_calls import (
    Call,
    complete_tokens,
    compute_call_costs,
    main_model,
    normalize_calls,
    sum_tokens,
    usage_by_model,
)
from xpander_server.domain.pricing import NO_OWN_PRICES, OwnPrices, compute_run_cost, sum_costs

MAX_CLOCK_AHEAD = 300 * SECOND
"""Tolerated advance of a caller's clock. A time far in the future would win against all later reports, and would keep
the task at the top of the history for years."""

STALE_AFTER = 24 * HOUR
"""Default time without a change after which an executing task is stale: its process has probably been killed."""

MAX_CHANGES = 20
"""Latest changes that a task keeps."""
_MAX_BEFORE_LENGTH = 200  # characters of JSON
_PRICED_FIELDS = frozenset({"llm_response", "tokens", "calls"})
_EXPLAINING_FIELDS = frozenset({"is_success", "error", "result", "calls", "llm_response"})


class Change(TypedDict):
    """One update of a task, as the store keeps it.

    Attributes:
        reported_at: Time of the report.
        at: Time of arrival.
        before: Previous values of the changed fields.
        lengths: Length in characters of JSON of each previous value that was too long to keep.
    """

    reported_at: int
    at: int
    before: dict[str, Any]
    lengths: dict[str, int]


class Conflict(Exception):
    """The id of a report belongs to a task of another agent."""

    _message = "The id {!r} belongs to another agent of this organization. Nothing was changed."

    def __init__(self, task_id: str) -> None:
        super().__init__(self._message.format(task_id))


class Erased(Conflict):
    """The id of a report belongs to a task that was erased."""

    _message = "The task {!r} was erased. Nothing was stored."


@frozen(kw_only=True)
class Task:
    """Record of one run. Times are microseconds since 1970 (UTC); None stands for an unknown value.

    Attributes:
        organization_id: Organization that owns the task.
        id: Id of the task, unique in the organization.
        agent_id: Agent of the first report.
        created_at: Start of the record: as reported, else the arrival of the first report. Metrics and history use it.
        updated_at: Arrival of the latest report that changed a field.
        finished_at: End of the run: as reported, else the arrival of the first report with an outcome. It has no
            meaning while `is_success` is None.
        input: Input of the run.
        llm_response: JSON text of the provider's response, exactly as reported.
        tokens: Number of tokens by kind: as reported, else the sum of the calls.
        is_success: Outcome; None while the run is executing.
        result: Result of the run.
        duration: Seconds.
        used_tools: Names of the tools that the run used.
        error: Why the run failed.
        calls: Model calls of the run, in the normal form of `model_calls`.
        call_costs: Cost of each call in nano-dollars, computed with `cost`; None for a call with an unknown cost.
        user_id: User for whom the agent ran.
        conversation_id: Conversation that the run belongs to.
        parent_task_id: Task that started this one.
        triggering_agent_id: Agent that started this one.
        metadata: Pairs of texts that the caller defines.
        model: Model of the calls with the most tokens, or the model that `llm_response` names if there are no calls.
        cost: Nano-dollars at the price of `created_at`, computed when `calls`, `llm_response` or `tokens` last changed.
        reason: Why the run failed, in one line; None if it did not fail, or states no reason. See `failure_reason`.
        reported_at: Time of report of each field that was reported.
        changes: Latest `MAX_CHANGES` updates in order of arrival; None before the first.
    """

    organization_id: str
    id: str
    agent_id: str
    created_at: int
    updated_at: int
    finished_at: int | None = None
    input: str | None = None
    llm_response: str | None = None
    tokens: dict[str, int] | None = None
    is_success: bool | None = None
    result: str | None = None
    duration: float | None = None
    used_tools: list[str] | None = None
    error: str | None = None
    calls: list[Call] | None = None
    call_costs: list[int | None] | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    cost: int | None = None
    reason: str | None = None
    reported_at: dict[str, int] = field(factory=dict)
    changes: list[Change] | None = field(default=None, eq=False, repr=False)

    @property
    def status(self) -> str:
        """One of `completed`, `failed` and `executing`."""
        return {True: "completed", False: "failed", None: "executing"}[self.is_success]

    def is_stale(self, stale_before: int) -> bool:
        """Return whether the run is executing, and the task was last changed before a time."""
        return self.is_success is None and self.updated_at < stale_before

    @property
    def started_at(self) -> int | None:
        """`finished_at` minus the duration; None while the run is executing."""
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
    own_prices: OwnPrices = NO_OWN_PRICES,
) -> Task:
    """Return the task after a report. If the report changes nothing, return `stored` itself.

    Args:
        stored: Task before the report; None for a new task.
        report: Validated report.
        organization_id: Organization of the caller.
        agent_id: Agent that the report names.
        task_id: Id of the task.
        reported_at: Time of report by the caller's clock, in microseconds. None stands for `now`.
        now: Time of arrival, in microseconds.
        own_prices: Prices of the organization.

    Raises:
        Conflict: The task belongs to another agent.
    """
    if stored is not None and stored.agent_id != agent_id:
        raise Conflict(task_id)
    if reported_at is None or reported_at > now + MAX_CLOCK_AHEAD:
        reported_at = now
    # newest: fields whose register this report wins.  changed: those of them with another value than before.
    if stored is None:
        changed = newest = _reported_fields(report, now)
        updated_at = now
        times = dict.fromkeys(newest, reported_at)
    else:
        before = stored.reported_at
        fields = _reported_fields(report, now)
        newest = {name: value for name, value in fields.items() if reported_at >= before.get(name, 0)}
        changed = {name: value for name, value in newest.items() if getattr(stored, name) != value}
        times = {**before, **dict.fromkeys(newest, reported_at)}
        if not changed and times == before:
            return stored
        updated_at = now if changed else stored.updated_at
    created_at = newest.get("created_at", now if stored is None else stored.created_at)
    finished_at = newest.get("finished_at", None if stored is None else stored.finished_at)
    if finished_at is None and newest.get("is_success") is not None:
        finished_at = now
    updates = {
        **changed,
        "created_at": created_at,
        "finished_at": finished_at,
        "updated_at": updated_at,
        "reported_at": times,
    }
    if not _PRICED_FIELDS.isdisjoint(changed):
        updates.update(_price(stored, changed, created_at, own_prices, has_reported_tokens="tokens" in times))
    if not _EXPLAINING_FIELDS.isdisjoint(changed):
        updates["reason"] = failure_reason(
            **{name: changed.get(name, stored and getattr(stored, name)) for name in _EXPLAINING_FIELDS}
        )
    if stored is None:
        return Task(organization_id=organization_id, id=task_id, agent_id=agent_id, **updates)
    if changed:
        older_changes = (stored.changes or [])[1 - MAX_CHANGES :]
        updates["changes"] = [*older_changes, _change(stored, changed, reported_at, now)]
    return evolve(stored, **updates)


def _change(stored: Task, changed_names: Iterable[str], reported_at: int, now: int) -> Change:
    change = Change(reported_at=reported_at, at=now, before={}, lengths={})
    for name in changed_names:
        value = getattr(stored, name)
        length = len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
        if length > _MAX_BEFORE_LENGTH or (name == "llm_response" and value is not None):
            change["lengths"][name] = length
        else:
            change["before"][name] = value
    return change


def reprice(task: Task, own_prices: OwnPrices = NO_OWN_PRICES) -> Task:
    """Return the task with the costs at the prices that are known now. If nothing changes, return `task` itself."""
    updates = _price(task, {}, task.created_at, own_prices, has_reported_tokens="tokens" in task.reported_at)
    return task if all(getattr(task, name) == value for name, value in updates.items()) else evolve(task, **updates)


def _price(
    stored: Task | None,
    changed: Mapping[str, Any],
    created_at: int,
    own_prices: OwnPrices,
    *,
    has_reported_tokens: bool,
) -> dict[str, Any]:
    """Return the fields that are computed from `_PRICED_FIELDS`, for a task in which one of them has changed."""
    calls = changed.get("calls", stored and stored.calls)
    tokens = changed.get("tokens", stored and stored.tokens)
    if calls:
        return price_calls(calls, tokens if has_reported_tokens else None, created_at, own_prices)
    response = changed.get("llm_response", stored and stored.llm_response)
    run = compute_run_cost(response, tokens, at=created_at, own_prices=own_prices)
    return {"model": run.model, "cost": run.cost}


def price_calls(
    calls: Sequence[Call], reported_tokens: dict[str, int] | None, created_at: int, own_prices: OwnPrices
) -> dict[str, Any]:
    """Return the fields of a task that are computed from its model calls.

    Args:
        calls: The calls, at least one.
        reported_tokens: The tokens that the run reports; None to use the sum of its calls.
        created_at: Time of the task, in microseconds since 1970.
        own_prices: Prices of the organization.
    """
    tokens = sum_tokens(calls) if reported_tokens is None else reported_tokens
    costs = compute_call_costs(calls, tokens, at=created_at, own_prices=own_prices)
    model = main_model(usage_by_model(calls, costs, tokens))
    return {"tokens": tokens, "call_costs": costs, "model": model, "cost": sum_costs(costs)}


def _reported_fields(report: Report, now: int) -> dict[str, Any]:
    """Return the fields that a report states, converted to the types of `Task`.

    null states nothing. Neither do a duration of 0 and empty `used_tools`: they are the defaults of the clients, and
    must not replace a value that another process has measured. Empty `calls` are treated alike.
    """
    fields: dict[str, Any] = {name: value for name, value in report.items() if value is not None and name != "id"}
    for name in ("duration", "used_tools", "calls"):
        if name in fields and not fields[name]:
            del fields[name]
    if "tokens" in fields:
        fields["tokens"] = complete_tokens(fields["tokens"])
    if "calls" in fields:
        fields["calls"] = normalize_calls(fields["calls"])
    if "duration" in fields:
        fields["duration"] = float(fields["duration"])
    for name in ("created_at", "finished_at"):
        if name in fields:
            time = parse_timestamp(fields.pop(name))
            if time <= now + MAX_CLOCK_AHEAD:
                fields[name] = time
    return fields
