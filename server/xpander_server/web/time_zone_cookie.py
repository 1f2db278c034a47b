"""Time zone that a browser remembers, in a cookie with the name of the zone."""

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.http.dispatcher import root_path
from xpander_server.web.sessions import BASE_PATH
from xpander_server.web.time_zones import Zone, ZoneChoice, choose_zone

_COOKIE = "xpander_zone"
_LIFETIME = 365 * 24 * 3_600
"""Seconds."""


def read_choice(request: Request) -> ZoneChoice:
    """Return the time zone of a requested page."""
    return choose_zone(request.query_params.get("tz"), read_cookie(request), _page_of(request))


def read_cookie(request: Request) -> str | None:
    """Return the name of the zone that the browser remembers, or None."""
    return request.cookies.get(_COOKIE)


def set_cookie(request: Request, response: Response, zone: Zone) -> None:
    """Make the browser remember a zone."""
    response.set_cookie(
        _COOKIE,
        zone.name,
        max_age=_LIFETIME,
        path=root_path.get() + BASE_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def _page_of(request: Request) -> str:
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path
