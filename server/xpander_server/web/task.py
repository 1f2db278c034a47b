"""Task page: the data of one task, and the history of its updates."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen
from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api import serializers
from xpander_server.api.responses import json_response
from xpander_server.auth.api_keys import ADMIN
from xpander_server.auth.authentication import Principal
from xpander_server.domain.failure_reason import find_failure
from xpander_server.domain.model_calls import total_tokens
from xpander_server.domain.task import MAX_CHANGES, Task
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store
from xpander_server.web.filters import PageFilters, parse_parameters, required_parameter
from xpander_server.web.json_tree import render_json_tree
from xpander_server.web.list_options import ListOptions, parse_list_options
from xpander_server.web.list_view import neighbors, view_parameter
from xpander_server.web.markdown import MAX_MARKDOWN_LENGTH, render_markdown
from xpander_server.web.rendering import link, render_template
from xpander_server.web.run_tree import tree_rows, tree_totals
from xpander_server.web.template_filters import format_time

_MAX_VALUE_LENGTH = 200
"""Characters of a changed value; of a longer value, the page shows only the length."""
_EMPTY_CALL: dict[str, Any] = {"model": None, "provider": None, "tokens": {}, "duration": None, "error": None}
_MAX_TOOLS = 30
_MAX_VIEW_LENGTH = 4_000
_MAX_TEXT_LENGTH = 20_000
"""Characters of a text on the page, until the whole text is asked for."""
_LONG_TEXT = 1_500
_LONG_TEXT_LINES = 20
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@frozen
class FieldChange:
    """Change of one field by an update: for each side the value, or the length of a long value.

    Attributes:
        name: The name of the field.
        before: The value before the update. None if it is absent or long.
        before_length: The number of characters of a long value before the update.
        after: The value after the update. None if it is absent or long.
        after_length: The number of characters of a long value after the update.
    """

    name: str
    before: Any
    before_length: int | None
    after: Any
    after_length: int | None


@frozen
class Update:
    """One update of a task.

    Attributes:
        at: The time at which the server stored the update, in microseconds since 1970 (UTC).
        reported_at: The time at which the caller made the report, in the same unit.
        fields: The fields that the update changed.
    """

    at: int
    reported_at: int
    fields: list[FieldChange]


class TaskPage:
    """The page of one task, and its downloads.

    Args:
        store: The store that contains the task.
        clock: Returns the current time in microseconds since 1970 (UTC).
        stale_after: Time without a change after which an executing task is stale, in microseconds.
    """

    def __init__(self, store: Store, clock: Callable[[], int], stale_after: int) -> None:
        self._store = store
        self._clock = clock
        self._stale_after = stale_after

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page."""
        task = await self._find_task(request, principal)
        view = request.query_params.get("view")
        is_markdown, is_whole = (request.query_params.get(name) == "1" for name in ("markdown", "whole"))
        # In a thread, because the texts and tools of a run can take longer than others should wait.
        return await run_in_threadpool(
            lambda: render_template("task.html", self._context(task, principal, view, is_markdown, is_whole))
        )

    def _context(
        self, task: Task, principal: Principal, view: str | None, is_markdown: bool, is_whole: bool
    ) -> dict[str, Any]:
        filters, options = self._parse_view(view)
        newer, older = neighbors(
            self._store, filters.task_query(task.organization_id, self._clock() - self._stale_after), options, task
        )
        tree = self._store.tree(task)
        tools = Counter(task.used_tools or [])
        return {
            "is_markdown": is_markdown,
            "is_whole": is_whole,
            "page_parameters": {
                "id": task.id,
                "view": view,
                "markdown": "1" if is_markdown else None,
                "whole": "1" if is_whole else None,
            },
            "principal": principal,
            "is_admin": ADMIN in principal.scopes,
            "task": task,
            "is_stale": task.is_stale(self._clock() - self._stale_after),
            "calls": [
                ({**_EMPTY_CALL, **call}, cost)
                for call, cost in zip(task.calls or [], task.call_costs or [], strict=True)
            ],
            "total_tokens": task.tokens and total_tokens(task.tokens),
            "tools": tools.most_common(_MAX_TOOLS),
            "other_tools": max(0, len(tools) - _MAX_TOOLS),
            "failure": None
            if task.is_success is not False
            else find_failure(error=task.error, result=task.result, calls=task.calls, llm_response=task.llm_response),
            "updates": list_updates(task),
            "max_updates": MAX_CHANGES,
            "response_link": link("response.json", id=task.id),
            "task_link": link("task.json", id=task.id),
            "file_name": _file_name(task.id),
            "texts": {
                name: show_text(text, is_markdown, is_whole)
                for name, text in (("input", task.input), ("result", task.result))
                if text
            },
            "view": view_parameter(filters, options),
            "list_link": link("history", {**filters.parameters, **options.parameters}),
            "newer_id": newer,
            "older_id": older,
            "ancestors": tree.ancestors,
            "children": tree_rows(task, tree),
            "children_totals": tree_totals(tree.descendants),
            "has_all_children": tree.is_complete,
            "response_tree": None if task.llm_response is None else render_json_tree(task.llm_response),
        }

    def _parse_view(self, view: str | None) -> tuple[PageFilters, ListOptions]:
        """Return the list that the page was opened from; for an invalid one, the list of all runs."""
        for query in (view or "", ""):
            parameters = QueryParams(query[:_MAX_VIEW_LENGTH])
            try:
                return parse_parameters(parameters, self._clock()), parse_list_options(parameters)
            except HTTPError:
                continue
        raise AssertionError("unreachable: a list without filters is valid")

    async def task_json(self, request: Request, principal: Principal) -> Response:
        """Return the task as JSON."""
        task = await self._find_task(request, principal)
        return json_response(serializers.task(task, self._clock() - self._stale_after))

    async def response_json(self, request: Request, principal: Principal) -> Response:
        """Return the model response of the task as JSON."""
        task = await self._find_task(request, principal)
        if task.llm_response is None:
            raise HTTPError(404, "No model response was reported for this run.")
        return json_response(msgspec.Raw(task.llm_response.encode()))

    async def _find_task(self, request: Request, principal: Principal) -> Task:
        task_id = required_parameter(request, "id")
        task = await run_in_threadpool(lambda: self._store.task(principal.organization_id, task_id))
        if task is None:
            raise HTTPError(404, f"This organization has no run with the id {task_id[:255]!r}.")
        return task


@frozen
class ShownText:
    """A text as the page shows it.

    Attributes:
        text: The text, or its start.
        html: The text as HTML if it is shown as Markdown, otherwise None.
        length: The number of characters of the whole text.
        is_cut: Whether `text` is only the start.
        is_long: Whether the text is shown in a box of limited height.
    """

    text: str
    html: Markup | None
    length: int
    is_cut: bool
    is_long: bool


def show_text(text: str, is_markdown: bool, is_whole: bool) -> ShownText:
    """Return a text as the page shows it.

    Args:
        text: The whole text.
        is_markdown: Whether the text is rendered as Markdown.
        is_whole: Whether the whole text is shown.
    """
    is_cut = len(text) > (MAX_MARKDOWN_LENGTH if is_markdown else _MAX_TEXT_LENGTH) and (is_markdown or not is_whole)
    shown = text[:_MAX_TEXT_LENGTH] if is_cut else text
    is_long = len(text) > _LONG_TEXT or text.count("\n", 0, _LONG_TEXT) > _LONG_TEXT_LINES
    return ShownText(shown, render_markdown(text) if is_markdown else None, len(text), is_cut, is_long)


def list_updates(task: Task) -> list[Update]:
    """Return the updates of a task, the latest first, with the fields that each update changed.

    The store keeps only the values before each update. The value after an update is the value before the next update
    of the same field, or else the current value of the task. Example, with three reports of `result`:

        reports:  "one", "two", "three"
        stored:   update 1: before "one"; update 2: before "two"; task: "three"
        returned: update 2: "two" -> "three"; update 1: "one" -> "two"
    """
    later_values: dict[str, tuple[Any, int | None]] = {}
    updates = []
    for change in reversed(task.changes or []):
        fields = []
        for name in sorted({*change["before"], *change["lengths"]}):
            before = _format_value(name, change["before"].get(name)), change["lengths"].get(name)
            after = later_values.get(name, _current_value(task, name))
            fields.append(FieldChange(name, *before, *after))
            later_values[name] = before
        updates.append(Update(change["at"], change["reported_at"], fields))
    return updates


def _current_value(task: Task, name: str) -> tuple[Any, int | None]:
    """Return the value of a field, or None and its length if it is long."""
    value = getattr(task, name)
    if name == "llm_response" and value is not None:
        return None, len(value)
    length = len(value) if isinstance(value, str) else len(json.dumps(value))
    return (None, length) if length > _MAX_VALUE_LENGTH else (_format_value(name, value), None)


def _format_value(name: str, value: Any) -> Any:
    return format_time(value) if name.endswith("_at") and value is not None else value


def _file_name(task_id: str) -> str:
    return _UNSAFE_CHARACTERS.sub("-", task_id)[:80].strip(".-") or "run"
