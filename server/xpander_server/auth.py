"""API keys: who a request comes from.

A key is kept as a scrypt hash with a salt of its own. scrypt is slow on purpose, so a key that was verified once is
remembered in memory, and one that is certainly unknown is told by a 15-bit tag before any scrypt is spent on it. The
tag says far too little about a key to help in guessing it.
"""

import hashlib
import hmac
import secrets
import time

from xpander_server.store.store import KeyRow, Store

PREFIX = "xpr_"


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


class Keys:
    """The keys of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Verified keys, by a digest that is of no use outside this process.
        self._pepper = secrets.token_bytes(32)
        self._verified: dict[bytes, str] = {}

    def organization_of(self, key: bytes) -> str | None:
        """The organisation that `key` belongs to, None if it is unknown. May take a scrypt; see `remembered`."""
        for row in self._store.keys(_tag(key)):
            if hmac.compare_digest(row.hash, _hash(key, row.salt)):
                self._verified[self._digest(key)] = row.organization_id
                return row.organization_id
        return None

    def remembered(self, key: bytes) -> str | None:
        """The organisation of a key that was verified before; takes microseconds."""
        return self._verified.get(self._digest(key))

    def ensure(self, key: str, organization_id: str) -> None:
        """Make sure that `key` opens `organization_id`.

        Raises:
            ValueError: it belongs to another organisation already.
        """
        owner = self.organization_of(key.encode())
        if owner is None:
            salt = secrets.token_bytes(16)
            raw = key.encode()
            self._store.add_key(KeyRow(organization_id, salt, _tag(raw), _hash(raw, salt), time.time_ns() // 1_000))
        elif owner != organization_id:
            raise ValueError(f"this API key belongs to the organisation {owner!r} already, not to {organization_id!r}")

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._pepper, key, "sha256")


def _tag(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"xpander-report key tag" + key).digest()[:2]) >> 1


def _hash(key: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(key, salt=salt, n=2**14, r=8, p=1, dklen=32)
