"""Order, rows, columns and position of the list of runs, parsed from the query of its URL.

sort     duration, tokens or cost; absent for the time
order    asc for the oldest or smallest first; absent for the newest or largest first
rows     roomy for rows of two lines; absent for compact rows
columns  names of columns, separated by commas; run for no columns but those of every list; absent for the usual ones
offset   position in a list that is sorted by a figure; a list by time has a cursor instead
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from xpander_server.http.errors import validation_error
from xpander_server.store.view_summary import VIEW_TASKS

SORTS = {"duration": "Duration", "tokens": "Tokens", "cost": "Cost"}
"""Figures to sort by, with their names on pages."""
COLUMNS = {
    "agent": "Agent", "model": "Model", "user": "User", "conversation": "Conversation", "duration": "Duration",
    "tokens": "Tokens", "cost": "Cost",
}  # fmt: skip
"""Columns to choose from, with their names, in their order on pages. Each list has a status, a run and a time, too."""
_USUAL_COLUMNS = ("agent", "duration", "tokens", "cost")
RUN = "run"
"""Column of each list, whose name is the value of `columns` if there are no others."""
_ALLOWED = {"sort": tuple(SORTS), "order": ("asc",), "rows": ("roomy",)}


@frozen(kw_only=True)
class ListOptions:
    """Order, rows, columns and position of a list.

    Attributes:
        sort: The key of `SORTS`; None for the time.
        is_ascending: Whether the oldest run or the smallest figure is first.
        is_roomy: Whether rows have two lines.
        columns: The chosen keys of `COLUMNS`.
        offset: The position in a list that is sorted by a figure.
    """

    sort: str | None = None
    is_ascending: bool = False
    is_roomy: bool = False
    columns: Sequence[str] = _USUAL_COLUMNS
    offset: int = 0

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a link with the same order, rows and columns, without the position."""
        values = {
            "sort": self.sort,
            "order": "asc" if self.is_ascending else None,
            "rows": "roomy" if self.is_roomy else None,
            "columns": columns_parameter(self.columns),
        }
        return {name: value for name, value in values.items() if value is not None}

    def sort_parameters(self, sort: str | None) -> dict[str, str | None]:
        """Return the parameters of a link that sorts by a figure, or that reverses the order if this is the order."""
        order = "asc" if sort == self.sort and not self.is_ascending else None
        return {**self.parameters, "sort": sort, "order": order}

    def aria_sort(self, sort: str | None) -> str | None:
        """Return the value of `aria-sort` of a column; None for a column that does not determine the order."""
        if sort != self.sort:
            return None
        return "ascending" if self.is_ascending else "descending"


def columns_parameter(columns: Sequence[str]) -> str | None:
    """Return the parameter `columns` for columns in any order; None for the usual ones."""
    chosen = tuple(name for name in COLUMNS if name in columns)
    return None if chosen == _USUAL_COLUMNS else ",".join(chosen) or RUN


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
    columns = parameters.get("columns")
    chosen = columns.split(",") if columns else _USUAL_COLUMNS
    if not {RUN, *COLUMNS}.issuperset(chosen):
        raise validation_error("query", "columns", f"must be names from {', '.join(COLUMNS)}", "enum")
    return ListOptions(
        sort=values["sort"],
        is_ascending=values["order"] == "asc",
        is_roomy=values["rows"] == "roomy",
        columns=tuple(name for name in COLUMNS if name in chosen),
        offset=int(offset),
    )
