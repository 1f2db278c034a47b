"""What there is to filter by: the agents, tools and models of an organisation."""

import time
from collections import OrderedDict

from attrs import frozen

from xpander_server.domain import metrics
from xpander_server.store import Store

AT_MOST = 100  # of each
_SECONDS = 30.0
_ORGANIZATIONS = 1_000


@frozen
class Known:
    """Those that are used most come first."""

    agents: list[str]
    tools: list[str]
    models: list[str]


class FilterOptions:
    """Names, at most half a minute old. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    def of(self, organization_id: str) -> Known:
        at, known = self._known.get(organization_id, (0.0, None))
        now = time.monotonic()
        if known is not None and now - at < _SECONDS:
            return known
        amounts = self._store.metrics(organization_id).amounts
        summary = metrics.summarize(amounts)
        fresh = Known(
            [agent["agent_id"] for agent in metrics.summarize_agents(amounts)[:AT_MOST]],
            [tool["name"] for tool in summary["tools"][:AT_MOST]],
            [model["name"] for model in summary["models"][:AT_MOST]],
        )
        self._known[organization_id] = now, fresh
        while len(self._known) > _ORGANIZATIONS:
            self._known.popitem(last=False)
        return fresh
