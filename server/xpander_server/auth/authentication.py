"""Who a request comes from, and what it may do."""

import ipaddress
from typing import Protocol

import anyio
import anyio.to_thread
from attrs import frozen
from starlette.requests import Request

from xpander_server.auth.rate_limit import Rate, RateLimiter
from xpander_server.auth.verifier import KeyGrant, Verification, Verifier
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.errors import HTTPError

FAILURE_RATE = Rate(100, 10.0)
"""How many wrong keys an address may try."""
MAX_PENDING_VERIFICATIONS = 200
"""How many requests with keys not yet known may wait for their turn."""
_NOTHING = Verification(None, 0.0)


@frozen
class Principal:
    """Somebody was let in."""

    organization_id: str
    key_name: str = ""
    """The name of the key."""


class Authenticator(Protocol):
    async def authenticate(self, request: Request, scope: str, headers: dict[str, str]) -> Principal:
        """Whom a request speaks for, if it may do what takes `scope`.

        Args:
            headers: where to put what the answer is to carry, whatever becomes of the request.

        Raises:
            HTTPError: it may not.
        """
        ...


class SingleOrganizationAuthenticator:
    """Everything belongs to one organisation, and nobody is asked for a key."""

    def __init__(self, organization_id: str) -> None:
        self._admission = Principal(organization_id)

    async def authenticate(self, request: Request, scope: str, headers: dict[str, str]) -> Principal:
        return self._admission


class KeyAuthenticator:
    """The key tells the organisation and what is allowed.

    Args:
        rate: how often each key may be used. None for no limit.
    """

    def __init__(self, verifier: Verifier, rate: Rate | None = None) -> None:
        self._verifier = verifier
        self._uses = None if rate is None else RateLimiter(rate)
        self._failures = RateLimiter(FAILURE_RATE)
        # A hash is slow on purpose. One at a time, apart from the threads that serve the store, so that strangers who
        # guess cannot hold up those who have a key.
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._waiting = 0

    async def authenticate(self, request: Request, scope: str, headers: dict[str, str]) -> Principal:
        return self.authorize(await self._grant(request), scope, headers)

    def authorize(self, grant: KeyGrant, scope: str, headers: dict[str, str]) -> Principal:
        """Count one use of a key that is good. Raises HTTPError where it is used too often, or has not the scope."""
        if self._uses is not None:
            # By the name: the two secrets of a key that is being rotated share one allowance.
            left = self._uses.take(f"{grant.key_name} {grant.organization_id}")
            if left.retry_after:
                raise HTTPError(429, "Too many requests with this key.", left.headers)
            headers.update(left.headers)
        if scope not in grant.scopes:
            raise HTTPError(403, f"The key {grant.key_name!r} has no scope {scope!r}, which this takes.")
        return Principal(grant.organization_id, grant.key_name)

    async def _grant(self, request: Request) -> KeyGrant:
        given = [value for name, value in request.headers.raw if name == b"x-api-key"]
        if len(given) == 1:
            verification = await self.verify_key(given[0], request)
            if verification.grant is not None:
                return verification.grant
        raise HTTPError(401, "Missing or unknown API key: send one as x-api-key.", {"WWW-Authenticate": "ApiKey"})

    async def verify_key(self, key: bytes, request: Request) -> Verification:
        """Return what a key opens. Raises HTTPError after too many unknown keys from the address of the request."""
        verification = self._verifier.cached(key) if key else _NOTHING
        if verification is None:
            return await self._verify(key, _address(request))
        if verification.grant is not None and not verification.is_fresh():
            known = verification
            return await run_in_threadpool(lambda: self._verifier.refresh(key, known))
        return verification

    async def _verify(self, key: bytes, address: str) -> Verification:
        # Only who tries keys that nobody knows is counted: a good key comes through from a bad neighbourhood.
        left = self._failures.take(address, 0)
        if left.retry_after:
            raise HTTPError(429, "Too many unknown API keys from this address.", left.headers)
        if self._waiting >= MAX_PENDING_VERIFICATIONS:
            raise HTTPError(503, "Too many requests with keys not yet known.", {"Retry-After": "1"})
        self._waiting += 1
        try:
            verification: Verification = await anyio.to_thread.run_sync(
                self._verifier.verify, key, limiter=self._one_at_a_time, abandon_on_cancel=True
            )
        finally:
            self._waiting -= 1
        if verification.grant is None:
            self._failures.take(address)
        return verification


def _address(request: Request) -> str:
    """Whose wrong keys are counted together: of IPv6, a network, since one person has all of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4 or address.ipv4_mapped:
        return host
    return str(ipaddress.ip_network((int(address), 64), strict=False))
