"""Browser sessions: a key opens a session, and a cookie identifies it.

The cookie contains the organization and a random token of 256 bits. The store keeps only the SHA-256 digest of the
token. A session ends when it expires, when the user signs out, or when its key expires or is revoked.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from xpander_server.auth.api_keys import READ
from xpander_server.auth.authentication import KeyAuthenticator, Principal
from xpander_server.auth.verifier import KeyGrant
from xpander_server.clock import SECOND, now
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.http.dispatcher import request_state, root_path
from xpander_server.http.errors import HTTPError
from xpander_server.store import SessionRow, SessionTable

SESSION_LIFETIME = 7 * 24 * 3_600
"""Seconds."""
MAX_SESSIONS_PER_KEY = 100
"""When a key opens more sessions, its oldest sessions end."""
BASE_PATH = "/ui"
"""The path of all pages, and of the cookie without TLS."""
_COOKIE = "xpander_session"
_MAX_COOKIE_LENGTH = 700


class SessionManager:
    """Opens, finds and closes sessions.

    Args:
        table: The sessions in the store.
        authenticator: Verifies keys and limits the rate of requests.
        clock: Returns the current time in microseconds since 1970 (UTC).
    """

    def __init__(self, table: SessionTable, authenticator: KeyAuthenticator, clock: Callable[[], int] = now) -> None:
        self._table = table
        self._authenticator = authenticator
        self._clock = clock

    async def open(self, request: Request, key: str, response: Response) -> None:
        """Open a session with a key, and set its cookie in `response`.

        Raises:
            HTTPError: The key is unknown or expired, lacks the scope `read`, or was used too often; or the address
                tried too many unknown keys.
        """
        state = request_state(request.scope)
        verification = await self._authenticator.verify_key(key.encode(), request)
        if verification.grant is None or verification.row is None:
            raise HTTPError(401, "Unknown or expired key.")
        self._authenticator.authorize(verification.grant, READ, state.headers)
        key_row, token, time = verification.row, secrets.token_bytes(32), self._clock()
        expires_at = time + SESSION_LIFETIME * SECOND
        session = SessionRow(key_row.organization_id, _digest(token), key_row.salt, time, expires_at)
        await run_in_threadpool(lambda: self._table.add(session, max_sessions=MAX_SESSIONS_PER_KEY))
        response.set_cookie(
            _cookie_name(request),
            f"{_encode(key_row.organization_id.encode())}.{_encode(token)}",
            max_age=SESSION_LIFETIME,
            path=_cookie_path(request),
            secure=_is_tls(request),
            httponly=True,
            samesite="lax",
        )

    async def find(self, request: Request) -> Principal | None:
        """Return the principal of the request's session, or None without a session.

        The request counts as a use of the session's key, and is logged with its organization and key.

        Raises:
            HTTPError: The key was used too often.
        """
        state = request_state(request.scope)
        session = _parse_cookie(request)
        if session is None:
            return None
        row = await run_in_threadpool(lambda: self._table.find_key(*session, self._clock()))
        if row is None:
            return None
        grant = KeyGrant(row.organization_id, row.name, frozenset(row.scopes))
        principal = self._authenticator.authorize(grant, READ, state.headers)
        state.organization_id, state.key_name = principal.organization_id, principal.key_name
        return principal

    async def close(self, request: Request, response: Response) -> None:
        """Delete the request's session from the store, and its cookie from the browser."""
        session = _parse_cookie(request)
        if session is not None:
            await run_in_threadpool(lambda: self._table.delete(*session))
        name, path = _cookie_name(request), _cookie_path(request)
        response.delete_cookie(name, path=path, secure=_is_tls(request), httponly=True, samesite="lax")


def is_same_origin(request: Request) -> bool:
    """Return whether a form was sent from one of these pages, and not from another site."""
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    # Browsers send Sec-Fetch-Site only over TLS and to the local machine. Otherwise, compare the origin.
    origin = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.headers.get('host', '')}"


def _parse_cookie(request: Request) -> tuple[str, bytes] | None:
    """Return the organization and the token's digest from the cookie, or None if it is absent or malformed."""
    cookie = request.cookies.get(_cookie_name(request), "")
    if not 0 < len(cookie) <= _MAX_COOKIE_LENGTH:
        return None
    organization_id, _, token = cookie.partition(".")
    try:
        return _decode(organization_id).decode(), _digest(_decode(token))
    except ValueError:
        return None


def _cookie_name(request: Request) -> str:
    # Browsers accept a name with this prefix only over TLS, for the whole host and from the host itself: neither a
    # sibling domain nor a server without TLS can set it.
    return f"__Host-{_COOKIE}" if _is_tls(request) else _COOKIE


def _cookie_path(request: Request) -> str:
    return "/" if _is_tls(request) else root_path.get() + BASE_PATH


def _is_tls(request: Request) -> bool:
    return request.url.scheme == "https"


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _encode(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
