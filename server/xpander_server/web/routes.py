"""The pages, and where each of them is."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from xpander_server.api.responses import handle_errors
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.clock import now as time_now
from xpander_server.store import Store
from xpander_server.web.history import History
from xpander_server.web.login import LoginPages
from xpander_server.web.metrics import Metrics
from xpander_server.web.rendering import PageRenderer, form, link, redirect, static
from xpander_server.web.sessions import PATH, Sessions
from xpander_server.web.task import Tasks


def page_routes(store: Store, authenticator: KeyAuthenticator, clock: Callable[[], int] = time_now) -> list[BaseRoute]:
    """Pages over `store`, below /ui, for who signs in with a key that may read.

    Args:
        clock: microseconds since 1970 (UTC).
    """
    sessions = Sessions(store.sessions, authenticator, clock)
    shell, entrance = PageRenderer(sessions), LoginPages(sessions)
    history, tasks, metrics = History(store, clock), Tasks(store), Metrics(store, clock)
    return [
        Route("/", _to_history),
        Route(PATH, _to_history),
        Route(PATH + "/", _to_history),
        Route(PATH + "/sign-in", handle_errors(entrance.show), methods=["GET"]),
        Route(PATH + "/sign-in", form("pageSignIn", entrance.sign_in), methods=["POST"]),
        Route(PATH + "/sign-out", form("pageSignOut", entrance.sign_out), methods=["POST"]),
        Route(PATH + "/history", shell.page("pageHistory", history.show)),
        Route(PATH + "/task", shell.page("pageTask", tasks.show)),
        Route(PATH + "/task.json", shell.page("pageTaskJson", tasks.whole)),
        Route(PATH + "/response.json", shell.page("pageResponseJson", tasks.response)),
        Route(PATH + "/metrics", shell.page("pageMetrics", metrics.show)),
        Route(PATH + "/numbers", shell.page("pageNumbers", metrics.numbers)),
        Route(PATH + "/static/{name}", handle_errors(static)),
    ]


async def _to_history(_: Request) -> Response:
    return redirect(link("history"))
