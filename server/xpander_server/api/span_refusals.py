"""Endpoint that states which spans of the caller's organization were refused lately: `GET /v1/traces/refusals`.

A key with the scope `report` learns counts and times, which `doctor` needs. The reasons may contain parts of what other
programs have sent, so they are for keys with the scope `read`.
"""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.endpoint import require_scope
from xpander_server.api.responses import json_response
from xpander_server.auth.api_keys import READ, REPORT
from xpander_server.auth.authentication import Authenticator
from xpander_server.clock import format_timestamp
from xpander_server.http.concurrency import BlockingRunner
from xpander_server.http.dispatcher import request_state
from xpander_server.store import SpanRefusal, Store

PATH = "/v1/traces/refusals"


class SpanRefusals:
    """Endpoint that lists refused spans by their causes.

    Args:
        store: The store with the refusals.
        authenticator: Identifies the caller.
        run: Executes calls of the store.
        clock: Returns the current time in microseconds since 1970.
    """

    def __init__(
        self, store: Store, authenticator: Authenticator, run: BlockingRunner, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._run = run
        self._clock = clock

    async def handle(self, request: Request) -> Response:
        """Return the refusals of the caller's organization in the last seven days, the latest first.

        Raises:
            HTTPError: The request is not authorized.
        """
        request_state(request.scope).operation = "listSpanRefusals"
        principal = await require_scope(self._authenticator, request, REPORT, accepts_bearer=True)
        organization_id, now = principal.organization_id, self._clock()
        refusals = await self._run(lambda: self._store.span_refusals.read(organization_id, now))
        may_read = READ in principal.scopes
        return json_response({"refusals": [_describe(refusal, may_read=may_read) for refusal in refusals]})


def _describe(refusal: SpanRefusal, *, may_read: bool) -> dict[str, Any]:
    return {
        "cause": refusal.cause,
        "requests": refusal.requests,
        "spans": refusal.spans,
        "first_at": format_timestamp(refusal.first_at),
        "last_at": format_timestamp(refusal.last_at),
        "reason": refusal.reason if may_read else None,
    }
