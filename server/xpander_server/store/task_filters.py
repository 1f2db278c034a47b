r"""Filters of tasks that a query tests on each task: conditions in SQL, and exact tests of the tasks that may match.

The conditions compare JSON text, so they accept every matching task, and possibly others too: `q` "nb" also matches the
escape sequence in "line\nbreak". The exact tests need further columns, which are read only of tasks that may match.

A text is searched with `instr` and `strpos`, not with LIKE, whose time can be the product of the lengths of the text
and the pattern.
"""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Float,
    Text,
    and_,
    cast,
    collate,
    false,
    func,
    not_,
    or_,
    true,
    type_coerce,
)

from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.json_text import as_text
from xpander_server.store.excerpts import excerpt, first_characters
from xpander_server.store.schema.tables import tasks

SEARCHED_CHARACTERS = 16_000
"""Characters of JSON of `input` and `result` in which a text is searched."""
INDEXED_FILTERS = ("parent_task_id", "conversation_id", "metadata", "user_id", "agent_id")
"""Filters with an index of the tasks of each value by time, in the order of how few tasks they usually select."""
_IS_SUCCESS = {"completed": True, "failed": False, "executing": None}
_EQUALITY_FILTERS = frozenset({*INDEXED_FILTERS, "triggering_agent_id"} - {"metadata"})
_SEARCHED_TEXTS = (tasks.c.input, tasks.c.result, tasks.c.error)
_EXACT_COLUMNS: dict[str, list[ColumnElement[Any]]] = {
    "tool": [tasks.c.used_tools],
    "model": [tasks.c.model, tasks.c.calls],
    "metadata": [tasks.c.metadata],
    "q": [excerpt(column, SEARCHED_CHARACTERS).label(f"searched_{column.name}") for column in _SEARCHED_TEXTS],
}
"""Columns that the exact test of a filter needs."""
_COUNTED_KINDS = ("prompt_tokens", "completion_tokens")
_TO_LOWERCASE = str.maketrans(ascii_uppercase, ascii_lowercase)

UNPRICED = "none"
"""Value of the filter `cost`."""

Filters = Mapping[str, str | bool | Sequence[str]]
"""Values by the names of the contract's filters, such as `status`, `tool` or `q`; a list of pairs for `metadata`.

`min_` and `max_` with `duration` (seconds), `tokens` or `cost` (dollars) are limits, as decimal numbers.
`cost` with the value `UNPRICED` selects the tasks without a cost.
"""


class Staleness(NamedTuple):
    """Value of the filter `is_stale`, and the time before which a stale task was last changed."""

    is_stale: bool
    before: int


def exact_columns(filters: Filters) -> list[ColumnElement[Any]]:
    """Return the columns that the exact test of some filters needs."""
    columns: list[ColumnElement[Any]] = []
    for name in filters:
        columns += _EXACT_COLUMNS.get(name, ())
    return columns


def matches(filters: Mapping[str, Any], task_id: str, values: Mapping[str, Any]) -> bool:
    """Return whether a task that the condition of `may_match` has accepted matches the filters.

    Args:
        filters: The filters.
        task_id: The id of the task.
        values: The values of the task's `exact_columns`, by their names.
    """
    return all(_matches(name, value, task_id, values) for name, value in filters.items())


def _matches(name: str, value: Any, task_id: str, values: Mapping[str, Any]) -> bool:
    if name == "q":
        return _contains(task_id, value) or any(_contains(values[text.name], value) for text in _EXACT_COLUMNS["q"])
    if name == "tool":
        return value in (values["used_tools"] or [])
    if name == "model":
        return value == values["model"] or any(call.get("model") == value for call in values["calls"] or [])
    if name == "metadata":
        pairs = values["metadata"] or {}
        return all(pairs.get(key) == text for key, text in map(split_pair, value))
    return True


def split_pair(pair: str) -> tuple[str, str]:
    """Return the name and the value of a pair, which the contract writes as `name=value`."""
    name, _, value = pair.partition("=")
    return name, value


def _contains(document: str | None, text: str) -> bool:
    return document is not None and _to_lowercase(text) in _to_lowercase(document)


def may_match(dialect: str, filters: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return an SQL condition that every matching task fulfills, and possibly other tasks too."""
    return and_(true(), *(_may_match(dialect, *item) for item in filters.items()))


def _may_match(dialect: str, name: str, value: Any) -> ColumnElement[bool]:
    position = func.instr if dialect == "sqlite" else func.strpos

    def contains(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return func.coalesce(position(column, text) > 0, false())

    if name == "status" and value in _IS_SUCCESS:
        return tasks.c.is_success.is_(_IS_SUCCESS[value])
    if name == "is_stale":
        condition = and_(tasks.c.is_success.is_(None), tasks.c.updated_at < value.before)
        return condition if value.is_stale else not_(condition)
    if name in _EQUALITY_FILTERS:
        return func.coalesce(tasks.c[name] == value, false())
    if name == "tool":
        return contains(type_coerce(tasks.c.used_tools, Text), as_text(value))
    if name == "model":
        is_main_model = func.coalesce(tasks.c.model == value, false())
        return or_(is_main_model, contains(type_coerce(tasks.c.calls, Text), as_text(value)))
    if name == "metadata":
        # msgspec writes an object without spaces.
        pairs = (f"{as_text(key)}:{as_text(text)}" for key, text in map(split_pair, value))
        return and_(*(contains(type_coerce(tasks.c.metadata, Text), pair) for pair in pairs))
    if name == "q":
        searched = _to_lowercase(as_text(value)[1:-1])
        is_in_text = (contains(_lower(dialect, text), searched) for text in _SEARCHED_TEXTS)
        return or_(contains(_lower_id(dialect), _to_lowercase(value)), *is_in_text)
    if name == "cost" and value == UNPRICED:
        return tasks.c.cost.is_(None)
    if name.startswith(("min_", "max_")):
        figure = _figure(dialect, name[4:])
        limit = float(value)
        return func.coalesce(figure >= limit if name.startswith("min_") else figure <= limit, false())
    # The other filters and states exist in the contract, but no reported task has them (such as status "paused").
    return false()


def _lower(dialect: str, column: Column[Any]) -> ColumnElement[Any]:
    # Only A to Z are compared without case, as SQLite's lower does; for PostgreSQL, that is lower in the locale C.
    start = first_characters(column, SEARCHED_CHARACTERS)
    return func.lower(start if dialect == "sqlite" else collate(start, "C"))


def _lower_id(dialect: str) -> ColumnElement[Any]:
    return func.lower(tasks.c.id if dialect == "sqlite" else collate(tasks.c.id, "C"))


def _figure(dialect: str, name: str) -> ColumnElement[Any]:
    """Return an SQL expression for the duration in seconds, the tokens, or the cost in dollars."""
    if name == "tokens":
        document = type_coerce(tasks.c.tokens, Text)
        counts: list[ColumnElement[Any]]
        if dialect == "sqlite":
            counts = [func.json_extract(document, f"$.{kind}") for kind in _COUNTED_KINDS]
        else:
            counts = [cast(func.json_extract_path_text(cast(document, JSON), kind), Float) for kind in _COUNTED_KINDS]
        return counts[0] + counts[1]
    return tasks.c.duration if name == "duration" else type_coerce(tasks.c.cost, Float) / float(NANODOLLARS)


def _to_lowercase(text: str) -> str:
    return text.translate(_TO_LOWERCASE)
