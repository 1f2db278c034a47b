"""API keys: what they are, and how they come and go.

A key is kept as a scrypt hash with a salt of its own. scrypt is slow on purpose; a key that is certainly unknown is
told by a 15-bit tag before any scrypt is spent on it. The tag says far too little about a key to help in guessing it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count

from xpander_server.clock import now
from xpander_server.store import KeyRow, KeyTable, NameTaken

PREFIX = "xpr_"
REPORT, READ, ADMIN = "report", "read", "admin"
SCOPES = (REPORT, READ, ADMIN)
"""What a key may do: send reports; read tasks and metrics; look into the server."""


class ApiKeys:
    """The keys of a store, for those who hand them out."""

    def __init__(self, table: KeyTable, clock: Callable[[], int] = now) -> None:
        self._table = table
        self._clock = clock

    def list_keys(self, organization_id: str | None = None) -> list[KeyRow]:
        """The keys of an organisation, or of all; with `is_active` of each, whether it is good."""
        return self._table.list_keys(organization_id)

    def create(
        self, name: str, organization_id: str, *, scopes: Collection[str] = SCOPES, expires_at: int | None = None
    ) -> str:
        """A new key, which nobody can guess: 256 random bits. It is told this once.

        Raises:
            NameTaken: the organisation has a key of this name.
            ValueError: a scope, or a name, is none.
        """
        secret = _new_secret()
        self._table.add(self._row(secret, name, organization_id, scopes, expires_at))
        return secret

    def rotate(self, name: str, organization_id: str, *, grace: int) -> str:
        """A new secret for a key, which keeps its scopes and its expiry.

        Args:
            grace: how long the old secret is still good, in microseconds.

        Raises:
            LookupError: there is no such key, or it has ended.
        """
        secret = _new_secret()
        row = self._row(secret, name, organization_id, (), None)
        self._table.rotate(row, row.created_at + grace)
        return secret

    def revoke(self, name: str, organization_id: str) -> None:
        """End a key. Running servers notice within seconds.

        Raises:
            LookupError: there is no such key, or it has ended.
        """
        self._table.revoke(organization_id, name, self._clock())

    def ensure(self, secret: str, organization_id: str) -> None:
        """Make sure that `secret` opens `organization_id`. Where it is new, it may do everything.

        Raises:
            ValueError: it belongs to another organisation, or was revoked, or has expired.
        """
        for number in count(1):
            row = find_key(self._table, secret.encode())
            if row is not None:
                self._check(row, organization_id)
                return
            # Of the secret: servers that start at once, and all add it, call it the same, so that it ends as one.
            name = f"serve-{_tag(secret.encode()):04x}" + f"-{number}" * (number > 1)
            with suppress(NameTaken):
                self._table.add(self._row(secret, name, organization_id, SCOPES, None))
                return

    def _check(self, row: KeyRow, organization_id: str) -> None:
        if row.organization_id != organization_id:
            raise ValueError(
                f"this API key belongs to the organisation {row.organization_id!r} already, not to {organization_id!r}"
            )
        if not row.is_active(self._clock()):
            ended = "was revoked" if row.revoked_at is not None else "has expired"
            raise ValueError(f"this API key, {row.name!r}, {ended}: take another one")

    def _row(
        self, secret: str, name: str, organization_id: str, scopes: Collection[str], expires_at: int | None
    ) -> KeyRow:
        for what, text in (("name", name), ("organisation", organization_id)):
            if not 0 < len(text) <= 100 or not text.isprintable():
                raise ValueError(f"the {what} of a key has 1 to 100 printable characters")
        if unknown := set(scopes) - set(SCOPES):
            raise ValueError(f"{', '.join(sorted(unknown))} is no scope: there are {', '.join(SCOPES)}")
        in_order = [scope for scope in SCOPES if scope in scopes]
        salt, raw = secrets.token_bytes(16), secret.encode()
        return KeyRow(organization_id, name, in_order, salt, _tag(raw), _hash(raw, salt), self._clock(), expires_at)


def find_key(table: KeyTable, key: bytes) -> KeyRow | None:
    """The row of a key, dead or live; None if it is unknown. May take a scrypt."""
    for row in table.find_by_tag(_tag(key)):
        if hmac.compare_digest(row.hash, _hash(key, row.salt)):
            return row
    return None


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _tag(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"xpander-report key tag" + key).digest()[:2]) >> 1


def _hash(key: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(key, salt=salt, n=2**14, r=8, p=1, dklen=32)
