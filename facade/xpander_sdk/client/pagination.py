"""Pages of a history: which request to send next, and which items to keep. No I/O."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from xpander_sdk.errors import ContractError

if TYPE_CHECKING:
    from xpander_api import models
    from xpander_sdk.client.operations import Operation
    from xpander_sdk.client.read_operations import Page

T = TypeVar("T")

Query = Callable[[str | None, Mapping[str, Any], int | None, str | None], "Operation[Page]"]


class Pagination(Generic[T]):
    """State of one walk through a history.

        while pagination.operation is not None:
            items = pagination.advance(send(pagination.operation))

    Args:
        query: Function that returns the operation for a page.
        owner_id: The agent or user whose tasks are listed; None for all agents.
        filters: Conditions that all tasks must meet.
        limit: Maximum number of tasks; None for all.
        page_size: Number of tasks in a page unless the request specifies another.
        convert: Conversion of each task.

    Attributes:
        operation: The next request; None at the end.
        sorted_since: The `sorted_since` of the last page; see `Page`.

    Raises:
        ValueError: The limit, the id or a filter is invalid.
    """

    def __init__(
        self,
        query: Query,
        owner_id: str | None,
        filters: Mapping[str, Any] | None,
        limit: int | None,
        page_size: int,
        convert: "Callable[[models.TaskListItem], T]",
    ) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ValueError(f"limit must be a whole number of at least 0, or None for all, got {limit!r}")
        self._query = partial(query, owner_id, {} if filters is None else filters)
        self._page_size = page_size
        self._convert = convert
        self._remaining = limit
        self._cursors: set[str] = set()
        self.sorted_since: str | None = None
        self.operation = None if limit == 0 else self._request(None)

    def _request(self, cursor: str | None) -> "Operation[tuple[list[T], Page]]":
        # Not every backend supports `limit`: it is sent only if less than a whole page is needed.
        is_partial = self._remaining is not None and self._remaining < self._page_size
        return self._query(self._remaining if is_partial else None, cursor).map(self._read)

    def _read(self, page: "Page") -> "tuple[list[T], Page]":
        return [self._convert(item) for item in page.items], page

    def advance(self, converted: "tuple[list[T], Page]") -> list[T]:
        """Return the items of a page, at most as many as are needed, and set the next operation.

        Raises:
            ContractError: The backend returned the same cursor twice.
        """
        items, page = converted
        cursor, self.sorted_since = page.next_cursor, page.sorted_since
        items = items[: self._remaining]
        if self._remaining is not None:
            self._remaining -= len(items)
        if self._remaining == 0:
            cursor = None
        if cursor in self._cursors:
            raise ContractError(None, "the pages of the history form a circle: the backend returned a cursor twice")
        if cursor is not None:
            self._cursors.add(cursor)
        self.operation = None if cursor is None else self._request(cursor)
        return items
