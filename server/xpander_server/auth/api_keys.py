"""API keys: creation, rotation, revocation and lookup.

The store keeps a salted scrypt hash of each key. scrypt is slow by design, so each row also has a 15-bit tag of its
key: a lookup computes scrypt only for rows with the same tag, and a random unknown key usually matches none. Fifteen
bits of a 256-bit key do not help an attacker who has a copy of the store.

    key = "xpr_Zk3…"            shown once, never stored
    row = organization "org-1" · name "ci" · scopes ["report"] · salt · tag 0x1f3a · hash · expires_at · revoked_at

During a rotation a name has two rows, one for each secret.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count

from xpander_server.clock import now
from xpander_server.store import KeyRow, KeyTable, NameTaken

PREFIX = "xpr_"
REPORT, READ, ADMIN = "report", "read", "admin"
SCOPES = (REPORT, READ, ADMIN)
"""Permissions of a key: send reports; read tasks and metrics; read metrics of the server process and erase tasks."""
MIN_SECRET_LENGTH = 20
"""Characters of a key that an operator chooses."""
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_MAX_NAME_LENGTH = 100


class ApiKeys:
    """Management of the API keys of a store.

    Args:
        table: Rows of the keys in the store.
        clock: Returns the current time in microseconds since 1970 (UTC).
    """

    def __init__(self, table: KeyTable, clock: Callable[[], int] = now) -> None:
        self._table = table
        self._clock = clock

    def list_keys(self, organization_id: str | None = None) -> list[KeyRow]:
        """Return the keys of an organization, or of all. `KeyRow.is_active` distinguishes ended keys."""
        return self._table.list_keys(organization_id)

    def create(
        self, name: str, organization_id: str, *, scopes: Collection[str] = SCOPES, expires_at: int | None = None
    ) -> str:
        """Create a key and return its secret, which has 256 random bits. The secret cannot be read again later.

        Args:
            name: Name of the key: 1 to 100 printable characters, unique among the organization's active keys.
            organization_id: Organization that the key gives access to.
            scopes: Permissions of the key, from `SCOPES`.
            expires_at: Time of expiry in microseconds since 1970 (UTC). None for no expiry.

        Raises:
            NameTaken: The organization has an active key with this name.
            ValueError: The name, the organization or a scope is invalid.
        """
        secret = _new_secret()
        self._table.add(self._row(secret, name, organization_id, scopes, expires_at))
        return secret

    def rotate(self, name: str, organization_id: str, *, grace: int) -> str:
        """Give a key a new secret and return it. Scopes and expiry stay.

        Args:
            name: Name of the key.
            organization_id: Organization of the key.
            grace: Time in microseconds during which the old secret stays valid.

        Raises:
            LookupError: The organization has no active key with this name.
        """
        secret = _new_secret()
        row = self._row(secret, name, organization_id, (), None)
        self._table.rotate(row, row.created_at + grace)
        return secret

    def revoke(self, name: str, organization_id: str) -> None:
        """End a key. Running servers reject it within `verifier.CACHE_SECONDS`.

        Raises:
            LookupError: The organization has no active key with this name.
        """
        self._table.revoke(organization_id, name, self._clock())

    def ensure(self, secret: str, organization_id: str) -> None:
        """Make sure that `secret` is a key of `organization_id`. A new secret is stored with all scopes.

        Raises:
            ValueError: The secret is too short, belongs to another organization, was revoked, or has expired.
        """
        if not (len(secret) >= MIN_SECRET_LENGTH and _PRINTABLE.fullmatch(secret)):
            raise ValueError(
                f"the API key must have at least {MIN_SECRET_LENGTH} printable ASCII characters without spaces, got "
                f"{len(secret)} characters. Use a random text, for example of `openssl rand -hex 32`"
            )
        for number in count(1):
            row = find_key(self._table, secret.encode())
            if row is not None:
                self._check_usable(row, organization_id)
                return
            # The name depends on the secret only. Of several servers that start at once with the same secret, one adds
            # it; the others get NameTaken and find it in their next iteration.
            name = f"serve-{_tag(secret.encode()):04x}" + f"-{number}" * (number > 1)
            with suppress(NameTaken):
                self._table.add(self._row(secret, name, organization_id, SCOPES, None))
                return

    def _check_usable(self, row: KeyRow, organization_id: str) -> None:
        if row.organization_id != organization_id:
            raise ValueError(
                f"the API key must belong to the organization {organization_id!r}, got a key of {row.organization_id!r}"
            )
        if not row.is_active(self._clock()):
            ended = "was revoked" if row.revoked_at is not None else "has expired"
            raise ValueError(f"the API key {row.name!r} {ended}. Use another key")

    def _row(
        self, secret: str, name: str, organization_id: str, scopes: Collection[str], expires_at: int | None
    ) -> KeyRow:
        for field, text in (("name", name), ("organization", organization_id)):
            if not 0 < len(text) <= _MAX_NAME_LENGTH or not text.isprintable():
                raise ValueError(
                    f"the {field} of a key must have 1 to {_MAX_NAME_LENGTH} printable characters, got "
                    f"{text[: _MAX_NAME_LENGTH + 1]!r}"
                )
        if unknown := set(scopes) - set(SCOPES):
            raise ValueError(f"scopes must be among {', '.join(SCOPES)}, got {', '.join(sorted(unknown))}")
        ordered_scopes = [scope for scope in SCOPES if scope in scopes]
        salt, key = secrets.token_bytes(16), secret.encode()
        return KeyRow(
            organization_id, name, ordered_scopes, salt, _tag(key), _hash(key, salt), self._clock(), expires_at
        )


def find_key(table: KeyTable, key: bytes) -> KeyRow | None:
    """Return the row of a key, active or ended; None for an unknown key. Usually costs one scrypt for a known key."""
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
