"""One task: what is known of it, and what its updates changed."""

import json
import re
from collections import Counter
from typing import Any

import msgspec
from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api import serializers
from xpander_server.api.responses import json_response
from xpander_server.domain.task import MAX_CHANGES, Task, total_tokens
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store
from xpander_server.web.filters import one
from xpander_server.web.json_tree import render_json_tree
from xpander_server.web.rendering import link, rendered
from xpander_server.web.sessions import Visitor
from xpander_server.web.template_filters import when

_LONG = 200  # characters
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@frozen
class Shown:
    """A field that an update changed: its value before and after, or how long that was."""

    name: str
    before: Any
    before_length: int | None
    after: Any
    after_length: int | None


@frozen
class Update:
    """One update of a task."""

    at: int
    reported_at: int
    fields: list[Shown]


class Tasks:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def show(self, request: Request, visitor: Visitor) -> Response:
        task = await self._task(request, visitor)
        context = {
            "visitor": visitor,
            "task": task,
            "total_tokens": task.tokens and total_tokens(task.tokens),
            "tools": Counter(task.used_tools or []).most_common(),
            "updates": updates(task),
            "max_changes": MAX_CHANGES,
            "tree": None
            if task.llm_response is None
            else await run_in_threadpool(lambda: render_json_tree(task.llm_response or "")),
            "response_link": link("response.json", id=task.id),
            "task_link": link("task.json", id=task.id),
            "file_name": _file_name(task.id),
        }
        return rendered("task.html", context)

    async def whole(self, request: Request, visitor: Visitor) -> Response:
        return json_response(serializers.task(await self._task(request, visitor)))

    async def response(self, request: Request, visitor: Visitor) -> Response:
        task = await self._task(request, visitor)
        if task.llm_response is None:
            raise HTTPError(404, "No response of a provider was reported for this run.")
        return json_response(msgspec.Raw(task.llm_response.encode()))

    async def _task(self, request: Request, visitor: Visitor) -> Task:
        task_id = one(request, "id")
        task = await run_in_threadpool(lambda: self._store.task(visitor.organization_id, task_id))
        if task is None:
            raise HTTPError(404, f"There is no run {task_id[:255]!r} in this organisation.")
        return task


def updates(task: Task) -> list[Update]:
    """What each update changed, the latest first. What it changed to is what the next one changed from."""
    after: dict[str, tuple[Any, int | None]] = {}
    shown = []
    for change in reversed(task.changes or []):
        fields = []
        for name in sorted({*change["before"], *change["lengths"]}):
            before = _told(name, change["before"].get(name)), change["lengths"].get(name)
            fields.append(Shown(name, *before, *after.get(name, _now(task, name))))
            after[name] = before
        shown.append(Update(change["at"], change["reported_at"], fields))
    return shown


def _now(task: Task, name: str) -> tuple[Any, int | None]:
    value = getattr(task, name)
    if name == "llm_response" and value is not None:
        return None, len(value)
    length = len(value) if isinstance(value, str) else len(json.dumps(value))
    return (None, length) if length > _LONG else (_told(name, value), None)


def _told(name: str, value: Any) -> Any:
    return when(value) if name.endswith("_at") and value is not None else value


def _file_name(task_id: str) -> str:
    return _UNSAFE.sub("-", task_id)[:80].strip(".-") or "run"
