"""Serializers: stored values as objects of the contract."""

from typing import Any

import msgspec

from xpander_server.clock import format_timestamp
from xpander_server.domain import metrics
from xpander_server.domain.metrics import Amounts
from xpander_server.domain.model_calls import total_tokens
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.domain.task import Task
from xpander_server.store import Excerpt


def task(task: Task, stale_before: int) -> dict[str, Any]:
    """Return the contract's `Task`.

    Args:
        task: The task.
        stale_before: Time before which an executing task was last changed if it is stale.
    """
    return {
        "id": task.id,
        "agent_id": task.agent_id,
        "organization_id": task.organization_id,
        "input": {"text": task.input, "files": [], "user": None},
        "status": task.status,
        "is_stale": task.is_stale(stale_before),
        "created_at": format_timestamp(task.created_at),
        "started_at": format_timestamp(task.started_at),
        "finished_at": None if task.is_success is None else format_timestamp(task.finished_at),
        "updated_at": format_timestamp(task.updated_at),
        "result": task.result,
        "error": task.error,
        "llm_response": None if task.llm_response is None else msgspec.Raw(task.llm_response.encode()),
        **_usage(task),
        "calls": task.calls,
        "used_tools": task.used_tools or [],
        "source": "external",
        "user_id": task.user_id,
        "conversation_id": task.conversation_id,
        "parent_task_id": task.parent_task_id,
        "triggering_agent_id": task.triggering_agent_id,
        "metadata": task.metadata,
    }


def _usage(task: Task) -> dict[str, Any]:
    return {
        "duration": task.duration,
        "tokens": task.tokens and {**task.tokens, "total_tokens": total_tokens(task.tokens)},
        "model": task.model,
        "cost": None if task.cost is None else task.cost / NANODOLLARS,
    }


def list_item(task: Task, stale_before: int) -> dict[str, Any]:
    """Return the contract's `TaskListItem`; the arguments are those of `task`."""
    # Many programs report neither an error nor a result of a failed run, but a response that states the reason.
    error = task.error if task.error or task.result else task.reason
    return {
        **reported_task(task, stale_before),
        **_usage(task),
        "error": error if error is None else str(error),
        "result": task.result if task.result is None else str(task.result),
        "result_truncated": isinstance(task.result, Excerpt),
    }


def reported_task(task: Task, stale_before: int) -> dict[str, Any]:
    """Return the contract's `TaskListItem` without texts, as the outcome of a report in a batch contains it."""
    return {
        "id": task.id,
        "agent_id": task.agent_id,
        "organization_id": task.organization_id,
        "status": task.status,
        "is_stale": task.is_stale(stale_before),
        "user_id": task.user_id,
        "parent_task_id": task.parent_task_id,
        "triggering_agent_id": task.triggering_agent_id,
        "conversation_id": task.conversation_id,
        "created_at": format_timestamp(task.created_at),
        "updated_at": format_timestamp(task.updated_at),
    }


def point(start: int, amounts: Amounts) -> dict[str, Any]:
    """Return the contract's `MetricsPoint` of the time bucket that starts at `start`."""
    return {"start": format_timestamp(start), **metrics.summarize_point(amounts)}
