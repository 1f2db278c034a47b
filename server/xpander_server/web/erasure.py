"""Erasure of a run by a user with an admin key: a page that asks for confirmation, and its form."""

from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.request_body import read_form
from xpander_server.auth.api_keys import ADMIN
from xpander_server.auth.authentication import Principal
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.store import ErasureSelection, Store
from xpander_server.web.filters import required_parameter
from xpander_server.web.rendering import FORM_TIMEOUT, render_template


class ErasurePage:
    """The page that asks whether to erase a run, and the handler of its form.

    Keys without the scope `admin` get the answer of a page that does not exist.

    Args:
        store: The store that contains the run.
        clock: Returns the current time in microseconds since 1970 (UTC).
    """

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def ask(self, request: Request, principal: Principal) -> Response:
        """Render the question."""
        _require_admin(principal)
        task_id = required_parameter(request, "id")
        task = await run_in_threadpool(lambda: self._store.task(principal.organization_id, task_id))
        if task is None:
            raise _not_found(task_id)
        return _render(principal, task_id, task)

    async def erase(self, request: Request, principal: Principal) -> Response:
        """Erase the run of the form, and render what was done."""
        _require_admin(principal)
        fields = parse_qs((await read_form(request, FORM_TIMEOUT)).decode("utf-8", "replace"))
        task_id = fields.get("id", [""])[0]
        selection = ErasureSelection(organization_id=principal.organization_id, task_id=task_id)
        actor, now = principal.key_name, self._clock()
        if not await run_in_threadpool(lambda: self._store.erase(selection, actor=actor, now=now)):
            raise _not_found(task_id)
        return _render(principal, task_id, None)


def _render(principal: Principal, task_id: str, task: Task | None) -> Response:
    return render_template("erasure.html", {"principal": principal, "task_id": task_id, "task": task})


def _require_admin(principal: Principal) -> None:
    if ADMIN not in principal.scopes:
        raise HTTPError(404, "Page not found.")


def _not_found(task_id: str) -> HTTPError:
    return HTTPError(404, f"This organization has no run with the id {task_id[:255]!r}.")
