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
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError


@frozen
class OperationRequest:
    """A request that was let in, and is as the contract says."""

    organization_id: str
    parameters: dict[str, Any]
    body: Any


Handler = Callable[[OperationRequest], Awaitable[Response]]


class Endpoint:
    """An operation, and what handles it."""

    def __init__(
        self, operation: Operation, handler: Handler, authenticator: Authenticator, body_timeout: float | None
    ) -> None:
        self._operation = operation
        self._handler = handler
        self._authenticator = authenticator
        self._body_timeout = body_timeout

    async def answer(self, request: Request) -> Response:
        return await self._handler(await self._read(request))

    async def _read(self, request: Request) -> OperationRequest:
        operation = self._operation
        state = request_state(request.scope)
        state.operation = operation.name
        # Who asks comes first: a stranger learns nothing of what would be valid.
        organization_id = ""
        if operation.scope is not None:
            organization_id = (await require_scope(self._authenticator, request, operation.scope)).organization_id
        segments = dict(request.path_params)
        if (named := segments.pop("organization_id", None)) is not None and not _is(named, organization_id):
            raise HTTPError(403, f"The key does not belong to {named[:100]!r}, the organisation in front of the path.")
        query = request.query_params.multi_items() if request.scope["query_string"] else ()
        parameters = operation.read_parameters(segments, query, request.scope["headers"])
        body = operation.read_body(await read_body(request, self._body_timeout)) if operation.has_body else None
        return OperationRequest(organization_id, parameters, body)


async def require_scope(authenticator: Authenticator, request: Request, scope: str) -> Principal:
    """Who asks, if it may do what takes `scope`; noted for logs. Raises HTTPError."""
    state = request_state(request.scope)
    principal = await authenticator.authenticate(request, scope, state.headers)
    state.organization_id, state.key_name = principal.organization_id, principal.key_name
    return principal


def _is(segment: str, organization_id: str) -> bool:
    try:
        return contract.decode_segment(segment) == organization_id
    except UnicodeDecodeError:
        return False
