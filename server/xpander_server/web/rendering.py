"""Around every page: who may see it, how it is rendered, what becomes of a refusal."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from xpander_server.api.responses import RequestHandler, handle_errors
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError
from xpander_server.store import StoreUnavailable
from xpander_server.web import template_filters
from xpander_server.web.sessions import PATH, Sessions, Visitor, is_of_this_site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    # Not "no-referrer": forms would then not say from which site they were sent.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}

Page = Callable[[Request, Visitor], Awaitable[Response]]


class PageRenderer:
    """Renders pages for those who are signed in, and sends the others to sign in."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def page(self, name: str, page: Page) -> RequestHandler:
        """`page`, for visitors alone. `name` stands in logs and figures."""

        async def answer(request: Request) -> Response:
            request_state(request.scope).operation = name
            try:
                visitor = await self._sessions.visitor(request)
                if visitor is None:
                    return _to_sign_in(request)
                return await page(request, visitor)
            except HTTPError as refusal:
                return told(refusal)
            except StoreUnavailable:
                return told(HTTPError(503, "The store does not answer.", {"Retry-After": "1"}))

        return handle_errors(answer)


def form(name: str, answer: RequestHandler) -> RequestHandler:
    """`answer`, for what only a form of ours may ask."""

    async def answering(request: Request) -> Response:
        request_state(request.scope).operation = name
        try:
            if not is_of_this_site(request):
                raise HTTPError(403, "This was sent by another site.")
            return await answer(request)
        except HTTPError as refusal:
            return told(refusal)

    return handle_errors(answering)


def rendered(
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    text = environment().get_template(template).render(context)
    return Response(
        text,
        status,
        {**_HEADERS, **(headers or {})},
        media_type="text/html; charset=utf-8",
    )


def told(refusal: HTTPError) -> Response:
    """A refusal, as a page."""
    detail = refusal.detail
    if not isinstance(detail, str):
        detail = " ".join(f"{problem['loc'][-1]}: {problem['msg']}." for problem in detail)
    context = {"status": refusal.status, "detail": detail, "visitor": None}
    return rendered("refused.html", context, refusal.status, refusal.headers)


def link(page: str, parameters: Mapping[str, str | None] | None = None, **more: str | None) -> str:
    """A link to a page, without those parameters that are None."""
    given = {name: value for name, value in {**(parameters or {}), **more}.items() if value is not None}
    return f"{PATH}/{page}" + ("?" + urlencode(given) if given else "")


def redirect(to: str) -> Response:
    return RedirectResponse(to, 303)


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("xpander_server.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(link=link, static=_static_link, marks=template_filters.STATUS_MARKS)
    for function in (
        template_filters.when,
        template_filters.seconds,
        template_filters.number,
        template_filters.short,
        template_filters.dollars,
        template_filters.cost,
        template_filters.share,
        template_filters.line,
        template_filters.as_text,
    ):
        made.filters[function.__name__] = function
    return made


async def static(request: Request) -> Response:
    """A style, a script or an icon of ours."""
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPError(404, "There is no such file.")
    return Response(_content(name), headers=_FOREVER, media_type=_TYPES[name.rpartition(".")[2]])


_STATIC = ("pages.css", "pages.js", "icon.svg")


@cache
def _content(name: str) -> bytes:
    return files("xpander_server.web").joinpath("static", name).read_bytes()


@cache
def _static_link(name: str) -> str:
    # With the content in the name, a browser may keep it for ever.
    return f"{PATH}/static/{name}?{hashlib.sha256(_content(name)).hexdigest()[:12]}"


def _to_sign_in(request: Request) -> Response:
    if "part" in request.query_params:
        raise HTTPError(401, "Signed out.")  # a script asks
    wanted = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return redirect(link("sign-in", next=f"{wanted}?{query}" if query else wanted))
