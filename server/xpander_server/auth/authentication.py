"""Authentication and authorization of requests."""

import ipaddress
from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.to_thread
from attrs import frozen
from starlette.requests import Request

from xpander_server.auth.api_keys import ADMIN, SCOPES
from xpander_server.auth.rate_limit import Limiter, Rate, RateLimiter
from xpander_server.auth.verifier import KeyGrant, Verification, Verifier
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError
from xpander_server.http.request_headers import header_values

FAILURE_RATE = Rate(100, 10.0)
"""Unknown keys that one address may try."""
MAX_PENDING_VERIFICATIONS = 200
"""Requests with keys that are not in the cache, and that are queued for verification."""
_NO_KEY = Verification(None, 0.0)

LimiterFactory = Callable[[Rate, str], Limiter]
"""Function that returns the limiter of a rate, given what its names are names of."""


@frozen
class Principal:
    """Authenticated caller of a request.

    Attributes:
        organization_id: Organization of the caller.
        key_name: Name of the API key; empty in the embedded backend.
        scopes: Permitted kinds of operations.
    """

    organization_id: str
    key_name: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)


class Authenticator(Protocol):
    """Authenticates requests and checks scopes."""

    async def authenticate(
        self, request: Request, scope: str, headers: dict[str, str], *, accepts_bearer: bool = False
    ) -> Principal:
        """Return the caller of `request`.

        Args:
            request: Request to authenticate.
            scope: Scope that the operation requires.
            headers: Receives headers for the response, for every status.
            accepts_bearer: Whether the key may be in `Authorization: Bearer`, whatever the scope is.

        Raises:
            HTTPError: The caller is unknown, or has no permission, or exceeds a rate limit.
        """
        ...

    def charge(self, principal: Principal, count: int, headers: dict[str, str]) -> None:
        """Count further uses of the key of an authenticated request, which has counted as one use.

        Args:
            principal: Caller of the request.
            count: Number of all uses, with the one that is counted already.
            headers: Receives headers for the response.

        Raises:
            HTTPError: 429 above the rate limit; no further use is counted.
        """
        ...


class SingleOrganizationAuthenticator:
    """Authenticator without keys: every request belongs to one organization."""

    def __init__(self, organization_id: str) -> None:
        self._principal = Principal(organization_id)

    async def authenticate(
        self, request: Request, scope: str, headers: dict[str, str], *, accepts_bearer: bool = False
    ) -> Principal:
        """Return the principal of the organization."""
        return self._principal

    def charge(self, principal: Principal, count: int, headers: dict[str, str]) -> None:
        """Do nothing: there are no rate limits without keys."""


class KeyAuthenticator:
    """Authenticator that reads the API key from the `x-api-key` header, or for `admin` from `Authorization: Bearer`.

    Args:
        verifier: Verifies keys.
        rate: Rate limit of each key. None for no limit.
        new_limiter: Returns the limiter of a rate for a subject: "keys" or "addresses". Default: in this process.
    """

    def __init__(self, verifier: Verifier, rate: Rate | None = None, new_limiter: LimiterFactory | None = None) -> None:
        new_limiter = new_limiter or (lambda rate, _: RateLimiter(rate))
        self._verifier = verifier
        self._key_limiter = None if rate is None else new_limiter(rate, "keys")
        self._failure_limiter = new_limiter(FAILURE_RATE, "addresses")
        # One scrypt at a time, on a thread outside the pool of the store: callers who guess keys must not slow down
        # callers whose keys are in the cache.
        self._scrypt_limiter = anyio.CapacityLimiter(1)
        self._pending_verifications = 0

    async def authenticate(
        self, request: Request, scope: str, headers: dict[str, str], *, accepts_bearer: bool = False
    ) -> Principal:
        """Return the owner of the request's key. See `Authenticator.authenticate`.

        Raises:
            HTTPError: 401 without a valid key, 403 without the scope, 429 above a rate limit, 503 if too many keys are
                queued for verification.
        """
        return self.authorize(
            await self._grant_of(request, accepts_bearer=accepts_bearer or scope == ADMIN), scope, headers
        )

    def authorize(self, grant: KeyGrant, scope: str, headers: dict[str, str]) -> Principal:
        """Count one use of a valid key, and check its scope.

        Raises:
            HTTPError: 429 above the rate limit of the key, 403 without the scope.
        """
        self._take(grant.key_name, grant.organization_id, headers)
        if scope not in grant.scopes:
            raise HTTPError(403, f"The key {grant.key_name!r} has no scope {scope!r}, which this operation requires.")
        return Principal(grant.organization_id, grant.key_name, grant.scopes)

    def charge(self, principal: Principal, count: int, headers: dict[str, str]) -> None:
        """Count further uses of the key of an authenticated request. See `Authenticator.charge`.

        Raises:
            HTTPError: 429 above the rate limit of the key.
        """
        if count > 1:
            self._take(principal.key_name, principal.organization_id, headers, count, returned=1)

    def _take(
        self, key_name: str, organization_id: str, headers: dict[str, str], count: int = 1, *, returned: int = 0
    ) -> None:
        if self._key_limiter is not None:
            # The bucket is named after the key, so that both secrets of a key share it during a rotation.
            allowance = self._key_limiter.take(f"{key_name} {organization_id}", count, returned=returned)
            if allowance.retry_after:
                raise HTTPError(429, "Too many requests with this key.", allowance.headers)
            headers.update(allowance.headers)

    async def _grant_of(self, request: Request, *, accepts_bearer: bool) -> KeyGrant:
        keys = header_values(request, b"x-api-key")
        if accepts_bearer:  # the form in which Prometheus sends credentials
            keys += _bearer_tokens(request)
        if len(keys) == 1:
            cached = self._verifier.cached(keys[0]) if keys[0] else _NO_KEY
            # Without a coroutine for most requests, whose key is in the cache.
            if cached is not None and cached.grant is not None and cached.is_fresh():
                return cached.grant
            verification = await self.verify_key(keys[0], request)
            if verification.grant is not None:
                return verification.grant
        reason = "Missing, unknown, expired or revoked API key: send a valid one as x-api-key."
        raise HTTPError(401, reason, {"WWW-Authenticate": "ApiKey"})

    async def verify_key(self, key: bytes, request: Request) -> Verification:
        """Return the verification of a key, from the cache where possible.

        Raises:
            HTTPError: 429 after too many unknown keys from the address of the request, 503 if too many keys are queued.
        """
        verification = self._verifier.cached(key) if key else _NO_KEY
        if verification is None:
            return await self._verify(key, rate_limit_address(request))
        if verification.grant is not None and not verification.is_fresh():
            cached = verification
            return await run_in_threadpool(lambda: self._verifier.refresh(key, cached))
        return verification

    async def _verify(self, key: bytes, address: str) -> Verification:
        # Only unknown keys count, so that a valid key works from an address that others misuse.
        allowance = self._failure_limiter.take(address, 0)
        if allowance.retry_after:
            raise HTTPError(429, "Too many unknown API keys from this address.", allowance.headers)
        if self._pending_verifications >= MAX_PENDING_VERIFICATIONS:
            raise HTTPError(503, "Too many API keys are queued for verification.", {"Retry-After": "1"})
        self._pending_verifications += 1
        try:
            verification: Verification = await anyio.to_thread.run_sync(
                self._verifier.verify, key, limiter=self._scrypt_limiter, abandon_on_cancel=True
            )
        finally:
            self._pending_verifications -= 1
        if verification.grant is None:
            self._failure_limiter.take(address)
        return verification


def _bearer_tokens(request: Request) -> list[bytes]:
    values = [value.split(None, 1) for value in header_values(request, b"authorization")]
    return [parts[1].strip() for parts in values if len(parts) == 2 and parts[0].lower() == b"bearer"]


def rate_limit_address(request: Request) -> str:
    """Return the client's address; for IPv6 its /64 network, because one client usually controls all of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4 or address.ipv4_mapped:
        return host
    return str(ipaddress.ip_network((int(address), 64), strict=False))
