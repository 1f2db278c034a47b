"""The history: which runs there were, newest first, and those that come."""

import hashlib
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import validation_error
from xpander_server.store import Page as Found
from xpander_server.store import Store
from xpander_server.web.filter_options import FilterOptions
from xpander_server.web.filters import LASTS, View, has_empty, local, read_view, without_empty
from xpander_server.web.rendering import link, redirect, rendered
from xpander_server.web.sessions import Visitor

PAGE = 50  # tasks
STATUSES = ("completed", "failed", "executing")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII)


class History:
    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._names = FilterOptions(store)

    async def show(self, request: Request, visitor: Visitor) -> Response:
        if has_empty(request):
            return redirect(link("history", without_empty(request)))
        view = read_view(request, self._clock())
        found = await run_in_threadpool(lambda: self._found(view, visitor.organization_id))
        context = {
            "visitor": visitor,
            "view": view,
            "tasks": found.tasks,
            "older": found.next_cursor and link("history", view.given, cursor=found.next_cursor),
            "newest": link("history", view.given),
            "is_filtered": bool(view.given),
            "server": _server(request),
            "statuses": STATUSES,
        }
        if "part" in request.query_params:
            return _unless_known(request, rendered("runs.html", context))
        names = await run_in_threadpool(lambda: self._names.of(visitor.organization_id))
        more = {
            "names": names,
            "lasts": LASTS,
            "local": local,
            "live": view.cursor is None and view.until is None and link("history", view.given, part="runs"),
        }
        return rendered("history.html", {**context, **more})

    def _found(self, view: View, organization_id: str) -> Found:
        try:
            return self._store.previews(view.question(organization_id), limit=PAGE, cursor=view.cursor)
        except ValueError as error:
            raise validation_error("query", "cursor", str(error), "cursor") from None


def _unless_known(request: Request, answer: Response) -> Response:
    """`answer`, or nothing where whoever asks has it."""
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    answer.headers["ETag"] = tag
    return answer


def _server(request: Request) -> str:
    """This server, as whoever asks has reached it."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host if _HOST.fullmatch(host) else 'THIS-SERVER'}"
