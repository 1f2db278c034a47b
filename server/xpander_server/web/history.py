"""History page: the tasks of an organization, newest first."""

import hashlib
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.authentication import Principal
from xpander_server.http.concurrency import ListRunner, run_in_threadpool
from xpander_server.http.dispatcher import root_path
from xpander_server.http.errors import validation_error
from xpander_server.store import Page, Store
from xpander_server.web.filter_options import FilterOptionsCache
from xpander_server.web.filters import TIME_RANGES, PageFilters, has_empty_fields, parse_filters, without_empty_fields
from xpander_server.web.rendering import link, redirect, render_template

TASKS_PER_PAGE = 50
STATUSES = ("completed", "failed", "executing")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII)


class HistoryPage:
    """The history page, and the part of it that live pages poll.

    Args:
        store: The store whose tasks are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run_list: Executes lists and searches.
        stale_after: Time without a change after which an executing task is stale, in microseconds.
    """

    def __init__(self, store: Store, clock: Callable[[], int], run_list: ListRunner, stale_after: int) -> None:
        self._stale_after = stale_after
        self._store = store
        self._run_list = run_list
        self._clock = clock
        self._options = FilterOptionsCache(store)

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page, or only its table if the query contains `part`."""
        if has_empty_fields(request):
            return redirect(link("history", without_empty_fields(request)))
        filters = parse_filters(request, self._clock())
        organization_id = principal.organization_id
        page = await self._run_list(organization_id, lambda: self._read_page(filters, organization_id))
        context = {
            "principal": principal,
            "filters": filters,
            "tasks": page.tasks,
            "older_link": page.next_cursor and link("history", filters.parameters, cursor=page.next_cursor),
            "newest_link": link("history", filters.parameters),
            "is_filtered": bool(filters.parameters),
            "server_url": _server_url(request),
            "statuses": STATUSES,
            "stale_before": self._clock() - self._stale_after,
        }
        if "part" in request.query_params:
            return _with_etag(request, render_template("runs.html", context))
        options = await run_in_threadpool(lambda: self._options.get(principal.organization_id))
        is_live = filters.cursor is None and filters.until is None
        form_context = {
            "options": options,
            "time_ranges": TIME_RANGES,
            "live_link": is_live and link("history", filters.parameters, part="runs"),
        }
        return render_template("history.html", {**context, **form_context})

    def _read_page(self, filters: PageFilters, organization_id: str) -> Page:
        try:
            query = filters.task_query(organization_id, self._clock() - self._stale_after)
            return self._store.previews(query, limit=TASKS_PER_PAGE, cursor=filters.cursor)
        except ValueError as error:
            raise validation_error("query", "cursor", str(error), "cursor") from None


def _with_etag(request: Request, response: Response) -> Response:
    """Return `response` with an ETag, or 304 without a body if the client has the same content."""
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response


def _server_url(request: Request) -> str:
    """Return the URL at which the client reached this server, for the example of a first run."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host if _HOST.fullmatch(host) else 'THIS-SERVER'}{root_path.get()}"
