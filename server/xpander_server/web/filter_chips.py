"""Filters in force and the position of the page as short texts, each with a link to the same view without it."""

from attrs import frozen

from xpander_server.domain.task import Task
from xpander_server.web.filters import TIME_RANGES, PageFilters
from xpander_server.web.list_options import ListOptions
from xpander_server.web.template_filters import format_time
from xpander_server.web.time_zones import page_zone

NAMES = {
    "q": "Text",
    "agent_id": "Agent",
    "status": "Status",
    "last": "Last",
    "since": "From",
    "until": "To",
    "is_stale": "Stale",
    "tool": "Tool",
    "model": "Model",
    "user_id": "User",
    "conversation_id": "Conversation",
    "parent_task_id": "Parent run",
    "triggering_agent_id": "Triggered by",
    "metadata": "Metadata",
    "min_duration": "Duration from",
    "max_duration": "Duration to",
    "min_tokens": "Tokens from",
    "max_tokens": "Tokens to",
    "min_cost": "Cost from",
    "max_cost": "Cost to",
    "cost": "Cost",
}
"""Names of the filters on pages, in the order of their chips."""


@frozen
class Chip:
    """A filter in force, or the position of the page.

    Attributes:
        parameter: The name of its parameter.
        name: Its name on pages.
        value: Its value on pages.
    """

    parameter: str
    name: str
    value: str


def list_chips(filters: PageFilters) -> list[Chip]:
    """Return a chip for each filter in force."""
    return [
        Chip(parameter, name, _format(parameter, filters))
        for parameter, name in NAMES.items()
        if parameter in filters.parameters and filters.parameters[parameter] != "all"
    ]


def position_chip(options: ListOptions, cursor: str | None, first: Task | None) -> Chip | None:
    """Return a chip for the position of a page in its list; None for the first page.

    Args:
        options: The order and the position of a list that is sorted by a figure.
        cursor: The position in a list by time.
        first: The first run of the page.
    """
    if options.offset:
        return Chip("offset", "Position", f"from run {options.offset + 1:,} on")
    if cursor is None:
        return None
    if first is None:
        return Chip("cursor", "Position", "newer runs" if options.is_ascending else "older runs")
    time = f"{format_time(first.created_at)[:16]}{page_zone().suffix}"
    return Chip("cursor", "Position", f"from {time} on" if options.is_ascending else f"until {time}")


def _format(parameter: str, filters: PageFilters) -> str:
    value = filters.parameters[parameter]
    if parameter == "cost":
        return "not priced"
    if parameter == "last":
        return TIME_RANGES[value]
    if parameter in ("since", "until"):
        time = filters.since if parameter == "since" else filters.until
        return value if time is None else f"{format_time(time)[:16]}{page_zone().suffix}"
    if parameter.endswith("_duration"):
        return f"{value} s"
    return f"${value}" if parameter.endswith("_cost") else value
