"""Order, rows and position of the list of runs, parsed from the query of its URL.

sort     duration, tokens or cost; absent for the time
order    asc for the oldest or smallest first; absent for the newest or largest first
rows     roomy for rows of several lines; absent for compact rows
offset   position in a list that is sorted by a figure; a list by time has a cursor instead
"""

from collections.abc import Mapping

from attrs import frozen

from xpander_server.http.errors import validation_error
from xpander_server.store.view_summary import VIEW_TASKS

SORTS = {"duration": "Duration", "tokens": "Tokens", "cost": "Cost"}
"""Figures to sort by, with their names on pages."""
_ALLOWED = {"sort": tuple(SORTS), "order": ("asc",), "rows": ("roomy",)}


@frozen(kw_only=True)
class ListOptions:
    """Order, rows and position of a list.

    Attributes:
        sort: The key of `SORTS`; None for the time.
        is_ascending: Whether the oldest run or the smallest figure is first.
        is_roomy: Whether rows have several lines.
        offset: The position in a list that is sorted by a figure.
    """

    sort: str | None = None
    is_ascending: bool = False
    is_roomy: bool = False
    offset: int = 0

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a link with the same order and rows, without the position."""
        parameters = {} if self.sort is None else {"sort": self.sort}
        if self.is_ascending:
            parameters["order"] = "asc"
        return {**parameters, "rows": "roomy"} if self.is_roomy else parameters

    def sort_parameters(self, sort: str | None) -> dict[str, str | None]:
        """Return the parameters of a link that sorts by a figure, or that reverses the order if this is the order."""
        return {"sort": sort, "order": "asc" if sort == self.sort and not self.is_ascending else None}

    def aria_sort(self, sort: str | None) -> str | None:
        """Return the value of `aria-sort` of a column; None for a column that does not determine the order."""
        if sort != self.sort:
            return None
        return "ascending" if self.is_ascending else "descending"


def parse_list_options(parameters: Mapping[str, str]) -> ListOptions:
    """Parse the options of a list; empty parameters are ignored.

    Raises:
        HTTPError: A parameter has an unknown value.
    """
    values = {name: parameters.get(name) or None for name in _ALLOWED}
    for name, allowed in _ALLOWED.items():
        if values[name] is not None and values[name] not in allowed:
            raise validation_error("query", name, f"must be one of {', '.join(allowed)}", "enum")
    offset = parameters.get("offset") or "0"
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 6 and int(offset) < VIEW_TASKS):
        raise validation_error("query", "offset", f"must be a number below {VIEW_TASKS}", "range")
    return ListOptions(
        sort=values["sort"],
        is_ascending=values["order"] == "asc",
        is_roomy=values["rows"] == "roomy",
        offset=int(offset),
    )
