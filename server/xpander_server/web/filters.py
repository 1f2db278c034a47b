"""Filters and time range of a page, parsed from the query of its URL.

The query has the parameters of the contract's operation `listTasks`, and two others: `last`, the name of a time range
that ends now, and `cost=none` for the runs without a cost. Example: `?agent_id=a&status=failed&last=7d`. A time without
an offset is a local time of the page's time zone.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import frozen
from starlette.requests import Request

from xpander_server import contract
from xpander_server.clock import DAY, HOUR, SECOND, format_timestamp, parse_timestamp
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import UNPRICED, TaskQuery
from xpander_server.web.time_zones import page_zone

TIME_RANGES = {
    "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days", "month": "This month", "all": "All time",
}  # fmt: skip
"""Values of the parameter `last`, with their names on pages."""
SHORT_RANGES = {"24h": "24 h", "7d": "7 d", "30d": "30 d", "90d": "90 d", "month": "Month", "all": "All"}
"""Names for the narrow pages of phones."""
MONTH = "month"
_RANGE_LENGTHS = {"24h": (HOUR, 24), "7d": (DAY, 7), "30d": (DAY, 30), "90d": (DAY, 90)}
"""Unit and number of units of each time range."""
TIME_RANGE_LENGTHS = {name: unit * count for name, (unit, count) in _RANGE_LENGTHS.items()}
"""Length of each time range, in microseconds."""
_TASK_FIELDS = (
    "agent_id", "user_id", "conversation_id", "parent_task_id", "triggering_agent_id", "metadata", "status", "is_stale",
    "tool", "model", "q",
)  # fmt: skip
LIMITS = ("min_duration", "max_duration", "min_tokens", "max_tokens", "min_cost", "max_cost")
"""Limits of figures: of the duration in seconds, of the tokens and of the cost in dollars."""
_LIMIT = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_INPUT_TIME = re.compile(r"\d{4}-\d\d-\d\dT(\d\dZ|\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)", re.ASCII)
"""The value of a `datetime-local` input: no time zone, and the seconds are optional. Links of pages end with `Z`."""


@frozen(kw_only=True)
class PageFilters:
    """Filters, time range and position of a page.

    Attributes:
        parameters: The parameters of a link to the same tasks, without the cursor.
        cursor: The position within the tasks; None for the newest.
        fields: The filters of the tasks' fields, text and figures, by parameter name.
        since: The start of the time range, in microseconds since 1970 (UTC).
        until: The end of the time range, exclusive, in the same unit.
        last: The key of `TIME_RANGES`, or None if the range has explicit limits or no limits.
    """

    parameters: Mapping[str, str]
    cursor: str | None
    fields: Mapping[str, str]
    since: int | None
    until: int | None
    last: str | None

    def task_query(self, organization_id: str, stale_before: int) -> TaskQuery:
        """Return the query for the tasks of an organization that match the filters.

        Args:
            organization_id: The organization.
            stale_before: Time before which an executing task was last changed if it is stale.
        """
        return TaskQuery(
            organization_id=organization_id,
            filters=self.fields,
            since=self.since,
            until=self.until,
            stale_before=stale_before,
        )


def has_empty_fields(request: Request) -> bool:
    """Return whether the query has parameters without a value, which browsers send for empty form fields."""
    return any(not value for _, value in request.query_params.multi_items())


def without_empty_fields(request: Request) -> dict[str, str]:
    """Return the parameters of the query that have a value."""
    return {name: value for name, value in request.query_params.multi_items() if value}


def parse_filters(request: Request, now: int, default_range: str | None = None) -> PageFilters:
    """Parse and validate the query of a request; see `parse_parameters`."""
    return parse_parameters(request.query_params, now, default_range)


def parse_parameters(query: Mapping[str, str], now: int, default_range: str | None = None) -> PageFilters:
    """Parse and validate parameters.

    Args:
        query: The parameters. Unknown ones are ignored.
        now: The current time, in microseconds since 1970 (UTC).
        default_range: The key of `TIME_RANGES` to use if the query has no time range.

    Raises:
        HTTPError: A parameter violates the contract.
    """
    parameters = {
        name: value
        for name, value in query.items()
        if value and name in (*_TASK_FIELDS, *LIMITS, "cost", "since", "until", "last", "cursor")
    }
    last = parameters.pop("last", default_range)
    if "since" in parameters or "until" in parameters:
        last = None  # explicit limits take precedence
    raw_values = dict(parameters)
    for name in ("since", "until"):
        if name in raw_values:
            raw_values[name] = to_exact_time(raw_values[name])
    limits = {name: raw_values.pop(name) for name in LIMITS if name in raw_values}
    for name, value in limits.items():
        if not _LIMIT.fullmatch(value):
            raise validation_error("query", name, "must be a number such as 10 or 0.5", "number")
    page_filters = {**limits, **({"cost": raw_values.pop("cost")} if "cost" in raw_values else {})}
    if page_filters.get("cost", UNPRICED) != UNPRICED:
        raise validation_error("query", "cost", f"must be {UNPRICED}", "enum")
    values = contract.operations()["listTasks"].read_parameters({}, list(raw_values.items()), [])
    since, until = (_parse_time(name, values.pop(name, None)) for name in ("since", "until"))
    cursor = values.pop("cursor", None)
    if last is not None and last not in TIME_RANGES:
        raise validation_error("query", "last", f"must be one of {', '.join(TIME_RANGES)}", "enum")
    if last in _RANGE_LENGTHS:
        # The range consists of whole hours or local days, including the current one: rollups exist for hours and days.
        unit, count = _RANGE_LENGTHS[last]
        since = (now // HOUR - count + 1) * HOUR if unit == HOUR else page_zone().start_of_day(now, 1 - count)
        until = None
    elif last == MONTH:
        since, until = page_zone().start_of_month(now), None
    fields = {**{name: value for name, value in values.items() if name in _TASK_FIELDS}, **page_filters}
    parameters.pop("cursor", None)
    if last is not None:
        parameters["last"] = last
    return PageFilters(parameters=parameters, cursor=cursor, fields=fields, since=since, until=until, last=last)


def to_exact_time(text: str) -> str:
    """Return a time of a link as RFC 3339 text; other text is returned as it is.

    A `datetime-local` input has a local time of the page's time zone.
    """
    if not _INPUT_TIME.fullmatch(text):
        return text
    is_utc = text.endswith("Z")
    text = text.removesuffix("Z")
    text += ":00" * (2 - text.count(":"))
    zone = page_zone()
    if is_utc or zone.is_utc:
        return f"{text}Z"
    try:
        local_time = datetime.fromisoformat(text)
    except ValueError:
        return f"{text}Z"
    minute = zone.from_local(*local_time.timetuple()[:5])
    return format_timestamp(minute + local_time.second * SECOND + local_time.microsecond)


def period_parameters(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of the time range in a query; those with an invalid form are left out."""
    limits = {name: value for name in ("since", "until") if _INPUT_TIME.fullmatch(value := query.get(name, ""))}
    return {**limits, **({"last": query["last"]} if query.get("last") in TIME_RANGES else {})}


def required_parameter(request: Request, name: str) -> str:
    """Return a parameter of the query.

    Raises:
        HTTPError: The parameter is absent or empty.
    """
    value = request.query_params.get(name)
    if not value:
        raise HTTPError(404, f"The link has no parameter {name!r}.")
    return value


def _parse_time(name: str, value: Any) -> int | None:
    try:
        return None if value is None else parse_timestamp(value)
    except ValueError:
        raise validation_error("query", name, "must be a valid calendar time", "format") from None
