"""Runs that explain a spike: those with the highest cost, duration and tokens of a short period."""

from collections.abc import Callable

from attrs import frozen

from xpander_server.clock import DAY
from xpander_server.domain.model_calls import total_tokens
from xpander_server.domain.task import Task
from xpander_server.store import Store, TaskQuery
from xpander_server.web.filters import PageFilters
from xpander_server.web.template_filters import format_duration, format_list_cost, format_number

MAX_PERIOD = DAY
"""Longest period whose runs are read."""
_MAX_RUNS = 5


@frozen
class LargestRun:
    """Run of a list, and its figure as text."""

    task: Task
    figure: str


@frozen
class LargestRuns:
    """Runs with the highest values of one figure.

    Attributes:
        title: The title of the list.
        sort: The parameter `sort` of the history with the same order.
        runs: The runs, those with the highest values first.
    """

    title: str
    sort: str
    runs: list[LargestRun]


def find_largest_runs(
    store: Store, organization_id: str, agent_id: str | None, filters: PageFilters
) -> list[LargestRuns]:
    """Return the largest runs of the period of a page; an empty list if the period is long or has no end.

    Args:
        store: The store.
        organization_id: The organization.
        agent_id: The agent; None for all.
        filters: The filters of the page; only their period is used.
    """
    since, until = filters.since, filters.until
    if since is None or until is None or until - since > MAX_PERIOD:
        return []
    fields = {} if agent_id is None else {"agent_id": agent_id}
    query = TaskQuery(organization_id=organization_id, filters=fields, since=since, until=until)
    summary = store.view(query)
    lists = []
    for title, sort, figure_of in _LISTS:
        ids = summary.sorted_ids(sort)[:_MAX_RUNS]
        runs = [(task, figure_of(task)) for task in store.sorted_previews(organization_id, ids)]
        known_runs = [LargestRun(task, figure) for task, figure in runs if figure is not None]
        if known_runs:
            lists.append(LargestRuns(title, sort, known_runs))
    return lists


def _cost(task: Task) -> str | None:
    return format_list_cost(task.cost) if task.cost else None


def _duration(task: Task) -> str | None:
    return format_duration(task.duration) if task.duration else None


def _tokens(task: Task) -> str | None:
    return format_number(total_tokens(task.tokens)) if task.tokens and total_tokens(task.tokens) else None


_LISTS: tuple[tuple[str, str, Callable[[Task], str | None]], ...] = (
    ("Most expensive runs", "cost", _cost),
    ("Slowest runs", "duration", _duration),
    ("Runs with the most tokens", "tokens", _tokens),
)
