"""Operations that read lists and metrics; see `operations`.

Their models of the API take long to import, and most programs only report. So `_lazy` imports this module, with all
models that it needs, at the first use.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dateutil.parser  # noqa: F401  # `xpander_api.types` needs it for unusual times
from attrs import frozen

from xpander_api import models
from xpander_api.api.metrics import get_agent_metrics as get_agent_metrics_endpoint
from xpander_api.api.metrics import get_organization_metrics as get_organization_metrics_endpoint
from xpander_api.api.tasks import list_agent_tasks as list_agent_tasks_endpoint
from xpander_api.api.tasks import list_tasks as list_tasks_endpoint
from xpander_api.api.tasks import list_user_tasks as list_user_tasks_endpoint
from xpander_sdk.client.operations import Operation, build_operation
from xpander_sdk.reporting.metadata import parse_metadata
from xpander_sdk.reporting.validation import parse_datetime, parse_id

Filters = Mapping[str, Any]

# Imported now, under the import lock: the methods of a model import the models of its properties.
for _name in models.__all__:
    getattr(models, _name)


@frozen
class Page:
    """Page of a history.

    Attributes:
        items: The tasks.
        next_cursor: The cursor of the next page; None on the last page.
        sorted_since: The time of creation of the oldest task that the order by a figure covers, as the backend wrote
            it; None if the order covers all tasks.
    """

    items: list[models.TaskListItem]
    next_cursor: str | None
    sorted_since: str | None


FILTERS = (
    "user_id", "conversation_id", "parent_task_id", "triggering_agent_id", "metadata", "status", "is_stale",
    "internal_status", "tool", "model", "q", "since", "until", "sort", "order",
)  # fmt: skip
_MAX_FILTERED_PAIRS = 8
_TIME_FILTERS = frozenset({"since", "until"})


def list_agent_tasks(agent_id: object, filters: Filters, limit: int | None, cursor: str | None) -> Operation[Page]:
    """Return the operation that lists tasks of an agent; raise `ValueError` for an invalid id or filter.

    Args:
        agent_id: The agent; None for all agents of the organization.
        filters: Conditions that all tasks must meet.
        limit: Number of tasks in the page.
        cursor: Cursor of the page; None for the first one.
    """
    if agent_id is None:
        name, request = "list_tasks", list_tasks_endpoint._get_kwargs()
    else:
        name, request = "list_agent_tasks", list_agent_tasks_endpoint._get_kwargs(parse_id("agent_id", agent_id))
    return build_operation(name, {**request, "params": _page_parameters(filters, limit, cursor)}, _page)


def list_user_tasks(user_id: object, filters: Filters, limit: int | None, cursor: str | None) -> Operation[Page]:
    """Return the operation that lists tasks of a user; raise `ValueError` for an invalid id or filter."""
    request = list_user_tasks_endpoint._get_kwargs(parse_id("user_id", user_id))
    return build_operation("list_user_tasks", {**request, "params": _page_parameters(filters, limit, cursor)}, _page)


def get_agent_metrics(
    agent_id: str, since: datetime | None, until: datetime | None, by: str | None
) -> Operation[models.AgentMetrics]:
    """Return the operation that loads the metrics of an agent."""
    request = get_agent_metrics_endpoint._get_kwargs(agent_id)
    request["params"] = _metrics_parameters(since, until, by)
    return build_operation("get_agent_metrics", request, lambda body, _: models.AgentMetrics.from_dict(body))


def get_organization_metrics(
    since: datetime | None, until: datetime | None, by: str | None
) -> Operation[models.OrganizationMetrics]:
    """Return the operation that loads the metrics of the organization."""
    request = get_organization_metrics_endpoint._get_kwargs()
    request["params"] = _metrics_parameters(since, until, by)
    return build_operation(
        "get_organization_metrics", request, lambda body, _: models.OrganizationMetrics.from_dict(body)
    )


def _metrics_parameters(since: datetime | None, until: datetime | None, by: str | None) -> dict[str, str]:
    if by not in (None, "hour", "day"):
        raise ValueError(f"by must be 'hour', 'day' or None, got {by!r}")
    times = {"since": since, "until": until}
    parameters = {"by": by, **{name: None if time is None else time.isoformat() for name, time in times.items()}}
    return {name: value for name, value in parameters.items() if value is not None}


def _page(body: Any, headers: Mapping[str, str]) -> Page:
    if not isinstance(body, list):
        raise TypeError("a history must be an array")
    items = [models.TaskListItem.from_dict(item) for item in body]
    return Page(items, headers.get("x-next-cursor"), headers.get("x-sorted-since"))


def _page_parameters(filters: Filters, limit: int | None, cursor: str | None) -> dict[str, Any]:
    if not isinstance(filters, Mapping):
        raise ValueError(f"filters must be a dict, got {type(filters).__name__}")
    unknown = set(filters) - set(FILTERS)
    if unknown:
        raise ValueError(f"filters must have keys of {', '.join(FILTERS)}, got {', '.join(sorted(map(repr, unknown)))}")
    values = {name: value for name, value in filters.items() if value is not None}
    for name in _TIME_FILTERS & values.keys():
        if (time := parse_datetime(f"filters[{name!r}]", values[name])) is not None:
            values[name] = time.isoformat()
    if (pairs := values.pop("metadata", None)) is not None:
        pairs = _metadata_parameter(pairs)
    if (is_stale := values.pop("is_stale", None)) is not None and not isinstance(is_stale, bool):
        raise ValueError(f"filters['is_stale'] must be True, False or None, got {type(is_stale).__name__}")
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"filters[{name!r}] must be a str, got {type(value).__name__}")
    if (status := values.get("status")) is not None and status not in list(models.TaskStatus):
        raise ValueError(f"filters['status'] must be one of {', '.join(models.TaskStatus)}, got {status!r}")
    return {
        **{name: str(getattr(value, "value", value)) for name, value in values.items()},
        **({"metadata": pairs} if pairs else {}),
        **({"is_stale": str(is_stale).lower()} if is_stale is not None else {}),
        **({"limit": limit} if limit is not None else {}),
        **({"cursor": cursor} if cursor is not None else {}),
    }


def _metadata_parameter(pairs: Any) -> list[str]:
    if not isinstance(pairs, Mapping):
        raise ValueError(f"filters['metadata'] must be a mapping of names to texts, got {type(pairs).__name__}")
    if len(pairs) > _MAX_FILTERED_PAIRS:
        raise ValueError(f"filters['metadata'] must contain at most {_MAX_FILTERED_PAIRS} pairs, got {len(pairs)}")
    return [f"{name}={text}" for name, text in parse_metadata("filters['metadata']", pairs).items()]
