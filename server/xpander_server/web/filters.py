"""What a view shows, as its link says: read by the rules of the contract."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from starlette.requests import Request

from xpander_server import contract
from xpander_server.clock import DAY, HOUR, format_timestamp, parse_timestamp
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import TaskQuery

LASTS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", "all": "All time"}
_LAST = {"24h": (HOUR, 24), "7d": (DAY, 7), "30d": (DAY, 30), "90d": (DAY, 90)}
_NAMES = ("agent_id", "user_id", "parent_task_id", "triggering_agent_id", "status", "tool", "model", "q")
# What browsers send of a field for a time: without a zone, and perhaps without seconds.
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)


@frozen(kw_only=True)
class View:
    """Which tasks, of which time."""

    given: Mapping[str, str]
    """As the link says, but for the place within the view."""
    cursor: str | None
    filters: Mapping[str, str]
    since: int | None
    until: int | None
    last: str | None
    """A key of `LASTS`, where the time is so many hours or days until now."""

    def question(self, organization_id: str) -> TaskQuery:
        return TaskQuery(organization_id=organization_id, filters=self.filters, since=self.since, until=self.until)


def has_empty(request: Request) -> bool:
    """Whether the link says nothing of some names, as a form does."""
    return any(not value for _, value in request.query_params.multi_items())


def without_empty(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query_params.multi_items() if value}


def read_view(request: Request, now: int, last: str | None = None) -> View:
    """What a link says.

    Args:
        last: the time where it says none.

    Raises:
        HTTPError: it is not as the contract says.
    """
    given = {
        name: value
        for name, value in request.query_params.items()
        if value and name in (*_NAMES, "since", "until", "last", "cursor")
    }
    own = given.pop("last", last)
    # A time of one's own goes before.
    last = None if "since" in given or "until" in given else own
    asked = dict(given)
    for name in ("since", "until"):
        if _LOCAL.fullmatch(asked.get(name, "")):
            asked[name] += "Z" if asked[name].count(":") == 2 else ":00Z"
    read = contract.operations()["listTasks"].read_parameters({}, list(asked.items()), [])
    since, until = (_microseconds(name, read.pop(name, None)) for name in ("since", "until"))
    cursor = read.pop("cursor", None)
    if last is not None and last not in LASTS:
        raise validation_error("query", "last", f"is none of {', '.join(LASTS)}", "enum")
    if last in _LAST:
        # By whole hours or days, the one that goes on included: those are added up already.
        unit, count = _LAST[last]
        since, until = (now // unit - count + 1) * unit, None
    filters = {name: value for name, value in read.items() if name in _NAMES}
    given.pop("cursor", None)
    if last is not None:
        given["last"] = last
    return View(given=given, cursor=cursor, filters=filters, since=since, until=until, last=last)


def one(request: Request, name: str) -> str:
    value = request.query_params.get(name)
    if not value:
        raise HTTPError(404, f"The link has no {name}.")
    return value


def local(microseconds: int | None) -> str:
    """For a field for a time, in UTC."""
    return "" if microseconds is None else format_timestamp(microseconds)[:16]


def _microseconds(name: str, given: Any) -> int | None:
    try:
        return None if given is None else parse_timestamp(given)
    except ValueError:
        raise validation_error("query", name, "is no time of the calendar", "format") from None
