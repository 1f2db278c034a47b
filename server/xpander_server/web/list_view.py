"""View: the list that the page of a run was opened from, as the parameter `view` of the page's URL."""

from urllib.parse import urlencode

from attrs import evolve

from xpander_server.domain.task import Task
from xpander_server.store import Store, TaskQuery
from xpander_server.web.filters import PageFilters
from xpander_server.web.list_options import ListOptions


def view_parameter(filters: PageFilters, options: ListOptions) -> str | None:
    """Return the query of a list, for the links of its runs; None for the list of all runs by time."""
    return urlencode({**filters.parameters, **options.parameters}) or None


def neighbors(store: Store, query: TaskQuery, options: ListOptions, task: Task) -> tuple[str | None, str | None]:
    """Return the ids of the runs before and after a run in a list."""
    if options.sort is None:
        return store.neighbors(evolve(query, oldest_first=options.is_ascending), task)
    ids = store.view(query).sorted_ids(options.sort, smallest_first=options.is_ascending)
    if task.id not in ids:
        return None, None
    position = ids.index(task.id)
    return ids[position - 1] if position else None, ids[position + 1] if position + 1 < len(ids) else None
