"""Routes of the pages."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.responses import handle_errors
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.clock import now
from xpander_server.domain.task import STALE_AFTER
from xpander_server.http.concurrency import ListRunner, run_in_threadpool, without_limits
from xpander_server.store import Store
from xpander_server.web.agents import AgentPages
from xpander_server.web.erasure import ErasurePage
from xpander_server.web.errors import ErrorsPage
from xpander_server.web.history import HistoryPage
from xpander_server.web.login import LoginPages
from xpander_server.web.metrics import MetricsPage
from xpander_server.web.refused_spans import RefusedSpansPage
from xpander_server.web.rendering import form_handler, link, page_form_handler, page_handler, redirect
from xpander_server.web.sessions import BASE_PATH, SessionManager
from xpander_server.web.static_files import serve_static
from xpander_server.web.task import TaskPage
from xpander_server.web.time_zone_form import choose_time_zone


def page_routes(
    store: Store,
    authenticator: KeyAuthenticator,
    clock: Callable[[], int] = now,
    run_list: ListRunner | None = None,
    stale_after: int = STALE_AFTER,
) -> list[BaseRoute]:
    """Return the routes of the pages, which are below `/ui`.

    Every page except the sign-in page requires a session, which a key with the scope `read` opens.

    Args:
        store: The store whose tasks the pages show.
        authenticator: Verifies the keys at sign-in and limits the rate of requests.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run_list: Executes lists and searches. Default: in worker threads, without limits.
        stale_after: Time without a change after which an executing task is stale, in microseconds.
    """
    sessions = SessionManager(store.sessions, authenticator, clock)
    login = LoginPages(sessions)
    run_list = run_list or without_limits(run_in_threadpool)
    history, task, metrics, errors, agents, erasure = (
        HistoryPage(store, clock, run_list, stale_after),
        TaskPage(store, clock, stale_after),
        MetricsPage(store, clock),
        ErrorsPage(store, clock, run_list),
        AgentPages(store, clock, run_list),
        ErasurePage(store, clock),
    )
    # Pages that require a session. The operation appears in logs and in Prometheus metrics.
    pages = [
        ("/history", "pageHistory", history.show),
        ("/runs", "pageRuns", history.download),
        ("/task", "pageTask", task.show),
        ("/erase", "pageErase", erasure.ask),
        ("/task.json", "pageTaskJson", task.task_json),
        ("/response.json", "pageResponseJson", task.response_json),
        ("/metrics", "pageMetrics", metrics.show),
        ("/numbers", "pageNumbers", metrics.download),
        ("/errors", "pageErrors", errors.show),
        ("/refused-spans", "pageRefusedSpans", RefusedSpansPage(store, clock, run_in_threadpool).show),
        ("/agents", "pageAgents", agents.show_list),
        ("/agent", "pageAgent", agents.show),
    ]
    return [
        Route("/", _redirect_to_history),
        Route(BASE_PATH, _redirect_to_history),
        Route(BASE_PATH + "/", _redirect_to_history),
        Route(BASE_PATH + "/sign-in", handle_errors(login.show), methods=["GET"]),
        Route(BASE_PATH + "/sign-in", form_handler("pageSignIn", login.sign_in), methods=["POST"]),
        Route(BASE_PATH + "/sign-out", form_handler("pageSignOut", login.sign_out), methods=["POST"]),
        Route(BASE_PATH + "/erase", page_form_handler(sessions, "pageEraseTask", erasure.erase), methods=["POST"]),
        Route(BASE_PATH + "/time-zone", form_handler("pageTimeZone", choose_time_zone), methods=["POST"]),
        *(Route(BASE_PATH + path, page_handler(sessions, operation, page)) for path, operation, page in pages),
        Route(BASE_PATH + "/static/{name}", handle_errors(serve_static)),
    ]


async def _redirect_to_history(_: Request) -> Response:
    return redirect(link("history"))
