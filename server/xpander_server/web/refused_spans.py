"""Page of the refused spans: how many spans of an organization the server has refused lately, and why."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.authentication import Principal
from xpander_server.http.concurrency import BlockingRunner
from xpander_server.store import Store
from xpander_server.web.rendering import render_template

_CAUSES = {
    "invalid_export": "No export of traces",
    "too_large": "Body too large",
    "media_type": "Unknown form of the body",
    "invalid_spans": "Invalid spans",
    "too_many_spans": "Too many spans in a trace",
}


class RefusedSpansPage:
    """The page of the refused spans.

    Args:
        store: The store whose refusals are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run: Executes calls of the store.
    """

    def __init__(self, store: Store, clock: Callable[[], int], run: BlockingRunner) -> None:
        self._store = store
        self._clock = clock
        self._run = run

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page."""
        organization_id, now = principal.organization_id, self._clock()
        refusals = await self._run(lambda: self._store.span_refusals.read(organization_id, now))
        context = {"refusals": refusals, "causes": _CAUSES, "principal": principal}
        return render_template("refused_spans.html", context)
