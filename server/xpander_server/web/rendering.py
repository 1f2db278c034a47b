"""Rendering of pages: request handlers, templates, links and static files."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from xpander_server.api.responses import RequestHandler, handle_errors
from xpander_server.auth.authentication import Principal
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.dispatcher import request_state, root_path
from xpander_server.http.errors import HTTPError
from xpander_server.store import StoreUnavailable
from xpander_server.web import template_filters
from xpander_server.web.filters import SHORT_RANGES, period_parameters
from xpander_server.web.sessions import BASE_PATH, SessionManager, is_same_origin
from xpander_server.web.static_files import static_version
from xpander_server.web.time_zone_cookie import read_choice
from xpander_server.web.time_zones import zone_choice

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# HTML has no form for these characters: a browser drops them, or shows U+FFFD.
_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # With "no-referrer", a browser would send forms with the origin "null", which is_same_origin rejects.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FORM_TIMEOUT = 30.0
"""Seconds in which a form must arrive."""
_SAFE_TARGET = re.compile(re.escape(BASE_PATH) + r"/[!-\[\]-~]*", re.ASCII)
"""A path of a page: printable ASCII without spaces and without backslashes, which browsers treat as slashes."""
Page = Callable[[Request, Principal], Awaitable[Response]]


def page_handler(sessions: SessionManager, operation: str, page: Page) -> RequestHandler:
    """Return a request handler for a page that requires a session.

    A request without a session is redirected to the sign-in page. Errors are rendered as pages.

    Args:
        sessions: Finds the session of a request.
        operation: The name of the page in logs and in Prometheus metrics.
        page: Renders the page for the principal of the session.
    """

    async def handle(request: Request) -> Response:
        request_state(request.scope).operation = operation
        principal = None
        try:
            principal = await sessions.find(request)
            if principal is None:
                return _redirect_to_sign_in(request)
            zone_choice.set(read_choice(request))
            return await page(request, principal)
        except HTTPError as error:
            parameters = period_parameters(request.query_params) if error.status == 422 else {}
            return render_error(error, principal, parameters)
        except StoreUnavailable:
            return render_error(HTTPError(503, "The store does not answer.", {"Retry-After": "1"}), principal)

    return handle_errors(handle)


def page_form_handler(sessions: SessionManager, operation: str, page: Page) -> RequestHandler:
    """Return a request handler for a form that requires a session; it rejects forms that another site sent.

    Args:
        sessions: Finds the session of a request.
        operation: The name of the form in logs and in Prometheus metrics.
        page: Processes the form for the principal of the session.
    """
    return form_handler(operation, page_handler(sessions, operation, page))


def form_handler(operation: str, handler: RequestHandler) -> RequestHandler:
    """Return a request handler for a form, which rejects forms that another site sent.

    Args:
        operation: The name of the form in logs and in Prometheus metrics.
        handler: Processes the form.
    """

    async def handle(request: Request) -> Response:
        request_state(request.scope).operation = operation
        try:
            if not is_same_origin(request):
                raise HTTPError(403, "This form was sent from another site.")
            return await handler(request)
        except HTTPError as error:
            return render_error(error)

    return handle_errors(handle)


def render_template(
    template: str,
    context: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a template as a page, with the security headers of pages."""
    text = environment().get_template(template).render(context)
    if _NOT_IN_HTML.search(text):
        text = _NOT_IN_HTML.sub(_symbol, text)
    return Response(
        text,
        status,
        {**_PAGE_HEADERS, **(headers or {})},
        media_type="text/html; charset=utf-8",
    )


async def render_page(template: str, context: Mapping[str, Any]) -> Response:
    """Render a template as `render_template` does, in a thread: a large page takes longer than others should wait."""
    return await run_in_threadpool(lambda: render_template(template, context))


def _symbol(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # U+0000 becomes ␀
    return "␡" if code == 0x7F else "�"


def render_error(
    error: HTTPError, principal: Principal | None = None, parameters: Mapping[str, str] | None = None
) -> Response:
    """Render an error as a page.

    Args:
        error: The error.
        principal: The principal of the session, whose page has the links to the other pages; None without a session.
        parameters: The parameters of the link to the history.
    """
    detail = error.detail
    if not isinstance(detail, str):
        detail = " ".join(f"{problem['loc'][-1]}: {problem['msg']}." for problem in detail)
    context = {"status": error.status, "detail": detail, "principal": principal, "parameters": parameters or {}}
    return render_template("error.html", context, error.status, error.headers)


def link(page: str, parameters: Mapping[str, str | None] | None = None, **more_parameters: str | None) -> str:
    """Return the URL of a page, which keeps the time zone of the present one; parameters that are None are omitted."""
    merged = {"tz": zone_choice.get().parameter, **(parameters or {}), **more_parameters}
    query = {name: value for name, value in merged.items() if value is not None}
    return f"{root_path.get()}{BASE_PATH}/{page}" + ("?" + urlencode(query) if query else "")


def redirect(url: str) -> Response:
    """Return a response that redirects the browser to `url` with a GET request."""
    return RedirectResponse(url, 303)


def is_safe_target(target: str) -> bool:
    """Return whether a text of a form is the path of a page, and not the URL of another site."""
    return _SAFE_TARGET.fullmatch(target) is not None


def safe_target(target: str) -> str:
    """Return the URL of the page `target`; of the history if that is no page, and never of another site."""
    return root_path.get() + target if is_safe_target(target) else link("history")


@cache
def environment() -> Environment:
    """Return the Jinja environment, with the templates, their filters and their global functions."""
    templates = Environment(
        loader=PackageLoader("xpander_server.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        link=link,
        static=_static_link,
        status_icons=template_filters.STATUS_ICONS,
        zone_choice=zone_choice.get,
        short_ranges=SHORT_RANGES,
    )
    for function in (
        template_filters.format_time,
        template_filters.time_tag,
        template_filters.format_for_input,
        template_filters.format_duration,
        template_filters.format_number,
        template_filters.format_short,
        template_filters.format_dollars,
        template_filters.format_cost,
        template_filters.format_percent,
        template_filters.format_day_of_year,
        template_filters.format_age,
        template_filters.format_list_cost,
        template_filters.format_list_dollars,
        template_filters.count_values,
        template_filters.one_line,
        template_filters.to_text,
    ):
        templates.filters[function.__name__] = function
    return templates


def _static_link(name: str) -> str:
    return f"{root_path.get()}{BASE_PATH}/static/{name}?{static_version(name)}"


def _redirect_to_sign_in(request: Request) -> Response:
    if "part" in request.query_params:
        # The script of a page sent the request. It reloads the page when it receives 401.
        raise HTTPError(401, "Signed out.")
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return redirect(link("sign-in", next=f"{path}?{query}" if query else path))
