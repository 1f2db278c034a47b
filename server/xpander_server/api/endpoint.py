"""Endpoint of one operation: authenticates and validates a request, and calls the operation's handler."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server import contract
from xpander_server.api.body_reader import BodyReader
from xpander_server.api.request_body import BodyMemory, read_body
from xpander_server.auth.api_keys import READ
from xpander_server.auth.authentication import Authenticator, Principal
from xpander_server.contract import Operation
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError

_NOBODY = Principal("", scopes=frozenset())
"""Caller of an operation without authentication."""


@frozen
class OperationRequest:
    """Authenticated and validated request of an operation.

    Attributes:
        organization_id: Organization of the caller; empty for operations without authentication.
        caller: Name of the caller's key; empty without one.
        parameters: Parameters of the path, the query and the headers by name, without those that are absent.
        body: Validated body; None for operations without a body.
        may_read: Whether the caller may read tasks.
        charge: Function that counts the request as the given number of uses of its key in place of one. It raises
            `HTTPError` 429 above the rate limit.
    """

    organization_id: str
    caller: str
    parameters: dict[str, Any]
    body: Any
    may_read: bool
    charge: Callable[[int], None]


Handler = Callable[[OperationRequest], Awaitable[Response]]


class Endpoint:
    """Endpoint of one operation.

    Args:
        operation: Operation as the contract describes it.
        handler: Function that executes the operation.
        authenticator: Identifies the caller.
        body_timeout: Seconds in which the body must arrive; None for no limit.
        read_large: Decodes and validates large bodies.
        memory: Bounds the bytes of bodies.
    """

    def __init__(
        self,
        operation: Operation,
        handler: Handler,
        authenticator: Authenticator,
        body_timeout: float | None,
        read_large: BodyReader,
        memory: BodyMemory,
    ) -> None:
        self._operation = operation
        self._handler = handler
        self._authenticator = authenticator
        self._body_timeout = body_timeout
        self._read_large = read_large
        self._memory = memory

    async def handle(self, request: Request) -> Response:
        """Return the response to `request`.

        Raises:
            HTTPError: The request is not authorized or not valid, or the handler has rejected it.
        """
        return await self._handler(await self._validate(request))

    async def _validate(self, request: Request) -> OperationRequest:
        operation = self._operation
        request_state(request.scope).operation = operation.name
        # Authentication precedes validation: callers without a key must not learn which requests would be valid.
        principal = _NOBODY
        if operation.scope is not None:
            principal = await require_scope(self._authenticator, request, operation.scope)
        organization_id, may_read = principal.organization_id, READ in principal.scopes
        segments = dict(request.path_params)
        prefix = segments.pop("organization_id", None)
        if prefix is not None and not _names_organization(prefix, organization_id):
            reason = f"The API key does not belong to the organization {prefix[:100]!r} of the path."
            raise HTTPError(403, f"{reason} If base_url has a path, such as that of a page, remove it.")
        query = request.query_params.multi_items() if request.scope["query_string"] else ()
        parameters = operation.read_parameters(segments, query, request.scope["headers"])
        body = await self._read_body(request, organization_id) if operation.has_body else None
        charge = partial(self._charge, request, principal)
        return OperationRequest(organization_id, principal.key_name, parameters, body, may_read, charge)

    def _charge(self, request: Request, principal: Principal, count: int) -> None:
        self._authenticator.charge(principal, count, request_state(request.scope).headers)

    async def _read_body(self, request: Request, organization_id: str) -> Any:
        with self._memory.reserve(organization_id) as reservation:
            encoded = await read_body(request, self._body_timeout, reservation)
            body = encoded.decode_small()
            if body is not None:
                return self._operation.read_body(body)
            return await self._read_large(organization_id, self._operation, encoded)


async def require_scope(
    authenticator: Authenticator, request: Request, scope: str, *, accepts_bearer: bool = False
) -> Principal:
    """Authenticate a request, require a scope, and note the caller in the state of the request.

    Args:
        authenticator: Identifies the caller.
        request: The request.
        scope: Scope that the key must have.
        accepts_bearer: Whether the key may be in `Authorization: Bearer`, whatever the scope is.

    Raises:
        HTTPError: 401 without a valid key, 403 without the scope, 429 above the rate limit.
    """
    state = request_state(request.scope)
    principal = await authenticator.authenticate(request, scope, state.headers, accepts_bearer=accepts_bearer)
    state.organization_id, state.key_name = principal.organization_id, principal.key_name
    return principal


def _names_organization(segment: str, organization_id: str) -> bool:
    try:
        return contract.decode_segment(segment) == organization_id
    except UnicodeDecodeError:
        return False
