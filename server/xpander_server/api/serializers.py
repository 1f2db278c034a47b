"""What the contract shows of a task."""

from datetime import timedelta
from functools import lru_cache
from typing import Any, overload

import msgspec

from xpander_server.domain import metrics
from xpander_server.domain.metrics import Amounts
from xpander_server.domain.task import EPOCH, Task, total_tokens


@overload
def timestamp(microseconds: int) -> str: ...
@overload
def timestamp(microseconds: int | None) -> str | None: ...
def timestamp(microseconds: int | None) -> str | None:
    """RFC 3339, in UTC, always with six decimals; None for None."""
    if microseconds is None:
        return None
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=64)
def _second(since_1970: int) -> str:
    return (EPOCH + timedelta(seconds=since_1970)).isoformat(timespec="seconds").removesuffix("+00:00")


def task(task: Task) -> dict[str, Any]:
    """The contract's `Task`."""
    return {
        "id": task.id,
        "agent_id": task.agent_id,
        "organization_id": task.organization_id,
        "input": {"text": task.input, "files": [], "user": None},
        "status": task.status,
        "created_at": timestamp(task.created_at),
        "started_at": timestamp(task.started_at),
        "finished_at": None if task.is_success is None else timestamp(task.finished_at),
        "updated_at": timestamp(task.updated_at),
        "result": task.result,
        "llm_response": None if task.llm_response is None else msgspec.Raw(task.llm_response.encode()),
        "tokens": task.tokens and {**task.tokens, "total_tokens": total_tokens(task.tokens)},
        "used_tools": task.used_tools or [],
        "duration": task.duration,
        "source": "external",
        "user_id": task.user_id,
        "parent_task_id": task.parent_task_id,
        "triggering_agent_id": task.triggering_agent_id,
    }


def list_item(task: Task) -> dict[str, Any]:
    """The contract's `TaskListItem`."""
    return {
        "id": task.id,
        "agent_id": task.agent_id,
        "organization_id": task.organization_id,
        "status": task.status,
        "user_id": task.user_id,
        "parent_task_id": task.parent_task_id,
        "triggering_agent_id": task.triggering_agent_id,
        "created_at": timestamp(task.created_at),
        "updated_at": timestamp(task.updated_at),
        "result": task.result,
    }


def point(start: int, amounts: Amounts) -> dict[str, Any]:
    """The contract's `MetricsPoint`."""
    return {"start": timestamp(start), **metrics.point(amounts)}
