"""Form that chooses the time zone of the pages."""

from collections.abc import Sequence
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.request_body import read_form
from xpander_server.http.errors import HTTPError
from xpander_server.web.filters import to_exact_time
from xpander_server.web.rendering import FORM_TIMEOUT, redirect, safe_target
from xpander_server.web.time_zone_cookie import read_cookie, set_cookie
from xpander_server.web.time_zones import Zone, choose_zone, find_zone, zone_choice


async def choose_time_zone(request: Request) -> Response:
    """Remember the time zone of the form, and redirect to the page with the form."""
    fields = parse_qs((await read_form(request, FORM_TIMEOUT)).decode("utf-8", "replace"))
    name, target = (fields.get(field, [""])[0] for field in ("tz", "next"))
    zone = find_zone(name)
    if zone is None:
        raise HTTPError(422, f"Unknown time zone {name[:64]!r}. Use an IANA name, such as Europe/Berlin.")
    path, _, query = target.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    zone_choice.set(choose_zone(dict(parameters).get("tz"), read_cookie(request), target))
    response = redirect(safe_target(f"{path}?{urlencode(_in_zone(parameters, zone))}".rstrip("?")))
    set_cookie(request, response, zone)
    return response


def _in_zone(parameters: Sequence[tuple[str, str]], zone: Zone) -> list[tuple[str, str]]:
    """Return the parameters of a page in another zone: the same instants, which a local time would not mean."""
    same_instants = [
        (name, to_exact_time(value) if name in ("since", "until") else value)
        for name, value in parameters
        if name != "tz"
    ]
    return same_instants if zone.is_utc else [*same_instants, ("tz", zone.name)]
