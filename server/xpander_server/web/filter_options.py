"""Options of the filters: the agents, tools and models of an organization."""

import time
from collections import OrderedDict

from attrs import frozen

from xpander_server.domain import metrics
from xpander_server.store import Store

MAX_OPTIONS = 100
"""Options of each filter."""
_CACHE_SECONDS = 30.0
_MAX_ORGANIZATIONS = 1_000


@frozen
class FilterOptions:
    """Names of the agents, tools and models, the most used first."""

    agents: list[str]
    tools: list[str]
    models: list[str]


class FilterOptionsCache:
    """Filter options of organizations, read from the store at most every 30 seconds.

    Instances are safe to share between threads.

    Args:
        store: The store whose metrics contain the names.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: OrderedDict[str, tuple[float, FilterOptions]] = OrderedDict()

    def get(self, organization_id: str) -> FilterOptions:
        """Return the options of an organization."""
        read_at, options = self._entries.get(organization_id, (0.0, None))
        now = time.monotonic()
        if options is not None and now - read_at < _CACHE_SECONDS:
            return options
        amounts = self._store.metrics(organization_id).amounts
        summary = metrics.summarize(amounts)
        options = FilterOptions(
            [agent["agent_id"] for agent in metrics.summarize_agents(amounts)[:MAX_OPTIONS]],
            [tool["name"] for tool in summary["tools"][:MAX_OPTIONS]],
            [model["name"] for model in summary["models"][:MAX_OPTIONS]],
        )
        self._entries[organization_id] = now, options
        while len(self._entries) > _MAX_ORGANIZATIONS:
            self._entries.popitem(last=False)
        return options
