"""One operation of the contract: lets a request in, checks it, and hands it on."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server import contract
from xpander_server.api.request_body import read_body
from xpander_server.auth.authentication import Authenticator, Principal
from xpander_server.contract import Operation
from xpander_server.http.dispatcher import RequestState
from xpander_server.http.errors import HTTPError


@frozen
class Call:
    """A request that was let in, and is as the contract says."""

    organization_id: str
    given: dict[str, Any]
    body: Any


Handler = Callable[[Call], Awaitable[Response]]


class Endpoint:
    """An operation, and what handles it."""

    def __init__(
        self, operation: Operation, handler: Handler, access: Authenticator, body_seconds: float | None
    ) -> None:
        self._operation = operation
        self._handler = handler
        self._access = access
        self._body_seconds = body_seconds

    async def answer(self, request: Request) -> Response:
        return await self._handler(await self._read(request))

    async def _read(self, request: Request) -> Call:
        operation = self._operation
        about: RequestState = request.scope["xpander.about"]
        about.operation = operation.name
        # Who asks comes first: a stranger learns nothing of what would be valid.
        organization_id = ""
        if operation.scope is not None:
            organization_id = (await require_scope(self._access, request, operation.scope)).organization_id
        segments = dict(request.path_params)
        if (named := segments.pop("organization_id", None)) is not None and not _is(named, organization_id):
            raise HTTPError(403, f"The key does not belong to {named[:100]!r}, the organisation in front of the path.")
        query = request.query_params.multi_items() if request.scope["query_string"] else ()
        given = operation.read_parameters(segments, query, request.scope["headers"])
        body = operation.read_body(await read_body(request, self._body_seconds)) if operation.has_body else None
        return Call(organization_id, given, body)


async def require_scope(access: Authenticator, request: Request, scope: str) -> Principal:
    """Who asks, if it may do what takes `scope`; noted for logs. Raises HTTPError."""
    about: RequestState = request.scope["xpander.about"]
    admission = await access.admit(request, scope, about.headers)
    about.organization_id, about.key = admission.organization_id, admission.key
    return admission


def _is(segment: str, organization_id: str) -> bool:
    try:
        return contract.segment_text(segment) == organization_id
    except UnicodeDecodeError:
        return False
