"""Who is signed in: a key opens a session, and a cookie names it.

The cookie holds an organisation and 256 random bits; the store has only their digest. A session ends when it expires,
when somebody signs out, and with its key.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

from attrs import frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.api_keys import READ
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import KeyGrant
from xpander_server.clock import SECOND
from xpander_server.clock import now as time_now
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.dispatcher import request_state
from xpander_server.http.errors import HTTPError
from xpander_server.store import SessionRow, SessionTable

LASTS = 7 * 24 * 3_600  # seconds
MAX_OF_KEY = 100
"""Sessions of one key; the oldest end first."""
PATH = "/ui"
_COOKIE = "xpander_session"
_MAX_COOKIE = 700


@frozen
class Visitor:
    """Somebody who is signed in."""

    organization_id: str
    key_name: str
    """The key's name."""


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(
        self, table: SessionTable, authenticator: KeyAuthenticator, clock: Callable[[], int] = time_now
    ) -> None:
        self._table = table
        self._authenticator = authenticator
        self._clock = clock

    async def begin(self, request: Request, key: str, answer: Response) -> None:
        """Sign in with a key: give `answer` the cookie.

        Raises:
            HTTPError: the key opens nothing, or may not read; or too many were tried.
        """
        state = request_state(request.scope)
        verification = await self._authenticator.verify_key(key.encode(), request)
        if verification.grant is None or verification.row is None:
            raise HTTPError(401, "This key is not known here, or has ended.")
        self._authenticator.authorize(verification.grant, READ, state.headers)
        row, token, now = verification.row, secrets.token_bytes(32), self._clock()
        session = SessionRow(row.organization_id, _digest(token), row.salt, now, now + LASTS * SECOND)
        await run_in_threadpool(lambda: self._table.add(session, max_sessions=MAX_OF_KEY))
        value = f"{_text(row.organization_id.encode())}.{_text(token)}"
        answer.set_cookie(
            _COOKIE, value, max_age=LASTS, path=PATH, secure=_is_tls(request), httponly=True, samesite="lax"
        )

    async def visitor(self, request: Request) -> Visitor | None:
        """Who asks, noted for logs; None for a stranger. Raises HTTPError where the key is used too often."""
        state = request_state(request.scope)
        named = _named(request)
        if named is None:
            return None
        row = await run_in_threadpool(lambda: self._table.find_key(*named, self._clock()))
        if row is None:
            return None
        grant = KeyGrant(row.organization_id, row.name, frozenset(row.scopes))
        principal = self._authenticator.authorize(grant, READ, state.headers)
        state.organization_id, state.key_name = principal.organization_id, principal.key_name
        return Visitor(principal.organization_id, principal.key_name)

    async def end(self, request: Request, answer: Response) -> None:
        """Sign out: the session ends here, and the browser forgets the cookie."""
        named = _named(request)
        if named is not None:
            await run_in_threadpool(lambda: self._table.delete(*named))
        answer.delete_cookie(_COOKIE, path=PATH, secure=_is_tls(request), httponly=True, samesite="lax")


def is_of_this_site(request: Request) -> bool:
    """Whether a form was sent from a page of ours, and not from another site's."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    # Browsers say the former only to servers that they trust: over TLS, or on this machine.
    origin = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.headers.get('host', '')}"


def _named(request: Request) -> tuple[str, bytes] | None:
    """The organisation and the digest of the session that a cookie names."""
    cookie = request.cookies.get(_COOKIE, "")
    if not 0 < len(cookie) <= _MAX_COOKIE:
        return None
    organization_id, _, token = cookie.partition(".")
    try:
        return _bytes(organization_id).decode(), _digest(_bytes(token))
    except ValueError:
        return None


def _is_tls(request: Request) -> bool:
    return request.url.scheme == "https"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
