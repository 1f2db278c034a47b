"""Fast form of `merge` for the first report of a task, which most reports are.

`task.merge` is the reference. `create_task` handles reports with the fields that it knows, and gives the same task in a
fraction of the time, because it has nothing to compare. A field that is new in the contract is left to the reference.
"""

from typing import Any

from xpander_server.clock import parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain.failure_reason import failure_reason
from xpander_server.domain.model_calls import complete_tokens, normalize_calls
from xpander_server.domain.pricing import NO_OWN_PRICES, OwnPrices, compute_run_cost
from xpander_server.domain.task import MAX_CLOCK_AHEAD, Task, price_calls

_PLAIN_FIELDS = frozenset(
    {
        "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools", "error",
        "user_id", "conversation_id", "parent_task_id", "triggering_agent_id", "calls", "metadata",
    }
)  # fmt: skip


def create_task(
    report: Report,
    *,
    organization_id: str,
    agent_id: str,
    task_id: str,
    reported_at: int | None,
    now: int,
    own_prices: OwnPrices = NO_OWN_PRICES,
) -> Task | None:
    """Return the task after its first report, as `merge(None, …)` does; None for reports with other fields.

    The arguments are those of `merge`.
    """
    if reported_at is None or reported_at > now + MAX_CLOCK_AHEAD:
        reported_at = now
    times: dict[str, int] = {}
    stated_times: dict[str, int] = {}
    for name, value in report.items():
        if value is None or name == "id":
            continue
        if name in ("created_at", "finished_at"):
            time = parse_timestamp(str(value))
            if time > now + MAX_CLOCK_AHEAD:
                continue
            stated_times[name] = time
        elif name not in _PLAIN_FIELDS:
            return None
        times[name] = reported_at
    duration, used_tools, llm_response = report.get("duration"), report.get("used_tools"), report.get("llm_response")
    if not duration:  # 0 and an empty list state nothing
        duration = None
        times.pop("duration", None)
    if not used_tools:
        used_tools = None
        times.pop("used_tools", None)
    reported_calls = report.get("calls")
    calls = normalize_calls(reported_calls) if reported_calls else None
    if calls is None:
        times.pop("calls", None)
    tokens = report.get("tokens")
    counts = None if tokens is None else complete_tokens(tokens)
    is_success = report.get("is_success")
    created_at = stated_times.get("created_at", now)
    computed: dict[str, Any] = {"tokens": counts}
    if calls is not None:
        computed = price_calls(calls, counts, created_at, own_prices)
    elif llm_response is not None or counts is not None:
        run = compute_run_cost(llm_response, counts, at=created_at, own_prices=own_prices)
        computed = {"tokens": counts, "model": run.model, "cost": run.cost}
    return Task(
        organization_id=organization_id,
        id=task_id,
        agent_id=agent_id,
        created_at=created_at,
        updated_at=now,
        finished_at=stated_times.get("finished_at", None if is_success is None else now),
        input=report.get("input"),
        llm_response=llm_response,
        is_success=is_success,
        result=report.get("result"),
        duration=None if duration is None else float(duration),
        used_tools=used_tools,
        error=report.get("error"),
        user_id=report.get("user_id"),
        conversation_id=report.get("conversation_id"),
        parent_task_id=report.get("parent_task_id"),
        triggering_agent_id=report.get("triggering_agent_id"),
        calls=calls,
        metadata=report.get("metadata"),
        reason=failure_reason(
            is_success=is_success,
            error=report.get("error"),
            result=report.get("result"),
            calls=calls,
            llm_response=llm_response,
        ),
        reported_at=times,
        **computed,
    )
