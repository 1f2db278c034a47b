"""Signing in, with an API key, and out."""

import re
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.request_body import read_form
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError
from xpander_server.web.rendering import link, redirect, rendered
from xpander_server.web.sessions import PATH, Sessions

_SECONDS = 30.0
_OWN_PAGE = re.compile(re.escape(PATH) + r"/[!-\[\]-~]*", re.ASCII)  # no space, no backslash
_HISTORY = link("history")


class LoginPages:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def show(self, request: Request) -> Response:
        request_state(request.scope).operation = "pageSignIn"
        if await self._sessions.visitor(request) is not None:
            return redirect(_own_page(request.query_params.get("next", "")))
        return _form(request.query_params.get("next", ""))

    async def sign_in(self, request: Request) -> Response:
        given = parse_qs((await read_form(request, _SECONDS)).decode("utf-8", "replace"))
        key, wanted = (given.get(name, [""])[0] for name in ("key", "next"))
        answer = redirect(_own_page(wanted))
        try:
            await self._sessions.begin(request, key.strip(), answer)
        except HTTPError as refusal:
            return _form(wanted, refusal)
        return answer

    async def sign_out(self, request: Request) -> Response:
        answer = redirect(link("sign-in"))
        await self._sessions.end(request, answer)
        return answer


def _form(wanted: str, refusal: HTTPError | None = None) -> Response:
    context = {"next": _own_page(wanted), "refusal": refusal and refusal.detail, "visitor": None}
    if refusal is None:
        return rendered("sign_in.html", context)
    return rendered("sign_in.html", context, refusal.status, refusal.headers)


def _own_page(wanted: str) -> str:
    """A page of ours to go to: never another site, whatever a link says."""
    return wanted if _OWN_PAGE.fullmatch(wanted) else _HISTORY
