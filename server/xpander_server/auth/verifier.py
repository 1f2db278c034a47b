"""Verification of API keys, with a cache in the memory of one process.

    key ──> not cached ──────────────────> verify:  find_key (scrypt), then cache the result
        ├─> cached, valid, fresh ────────> use it
        ├─> cached, valid, older ────────> refresh: read the row again (revoked? expired?), no scrypt
        └─> cached, unknown, fresh ──────> reject it; an older entry counts as not cached

A result is fresh for `CACHE_SECONDS`. scrypt is computed once for each valid key and process.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from attrs import define, frozen

from xpander_server.auth import api_keys
from xpander_server.clock import HOUR, now
from xpander_server.store import KeyRow, KeyTable, StoreUnavailable

CACHE_SECONDS = 2.0
"""Maximum delay until a server notices that a key was revoked, or that an unknown key was created."""
MAX_UNKNOWN = 10_000
"""Unknown keys in the cache."""


@frozen
class KeyGrant:
    """Permissions of a valid key.

    Attributes:
        organization_id: Organization that the key gives access to.
        key_name: Name of the key.
        scopes: Permitted kinds of operations.
    """

    organization_id: str
    key_name: str
    scopes: frozenset[str]


@define
class Verification:
    """Result of the verification of a key.

    Attributes:
        grant: Permissions of the key; None if it is not valid.
        checked_at: Monotonic time of the last read of the store, in seconds.
        row: Row of the key; None if it is not valid.
    """

    grant: KeyGrant | None
    checked_at: float
    row: KeyRow | None = None

    def is_fresh(self) -> bool:
        """Return whether the result is younger than `CACHE_SECONDS`."""
        return time.monotonic() - self.checked_at < CACHE_SECONDS


class Verifier:
    """Verifies keys and caches the results. Threads may share it.

    Args:
        table: Rows of the keys in the store.
        clock: Returns the current time in microseconds since 1970 (UTC).
    """

    def __init__(self, table: KeyTable, clock: Callable[[], int] = now) -> None:
        self._table = table
        self._clock = clock
        # The cache is keyed by a digest with a random secret, so that a dump of the memory does not contain keys.
        self._digest_secret = secrets.token_bytes(32)
        self._valid: dict[bytes, Verification] = {}
        self._unknown: OrderedDict[bytes, Verification] = OrderedDict()

    def cached(self, key: bytes) -> Verification | None:
        """Return the cached result for a key, without access to the store; None if there is none.

        A valid result that is not fresh must be passed to `refresh`.
        """
        digest = self._digest(key)
        verification = self._valid.get(digest) or self._unknown.get(digest)
        if verification is None or (verification.grant is None and not verification.is_fresh()):
            return None
        if verification.row is not None and not verification.row.is_active(self._clock()):
            return self._cache_unknown(digest)  # it has expired since the last read of the store
        return verification

    def verify(self, key: bytes) -> Verification:
        """Look up a key that is not in the cache. May compute scrypt, which takes tens of milliseconds."""
        # Another request with the same key may have filled the cache while this one was queued.
        verification = self.cached(key)
        if verification is not None:
            return verification
        return self._cache(self._digest(key), api_keys.find_key(self._table, key))

    def refresh(self, key: bytes, verification: Verification) -> Verification:
        """Read the row of a valid key again, and record once an hour that the key is in use."""
        # Setting the time first lets concurrent requests use the old result: one read is enough for all of them.
        checked_at, verification.checked_at = verification.checked_at, time.monotonic()
        assert verification.row is not None
        try:
            row = self._table.get(verification.row.organization_id, verification.row.salt)
            return self._cache(self._digest(key), row)
        except BaseException:
            verification.checked_at = checked_at
            raise

    def _cache(self, digest: bytes, row: KeyRow | None) -> Verification:
        current = self._clock()
        if row is None or not row.is_active(current):
            return self._cache_unknown(digest)
        if row.last_used_at is None or current - row.last_used_at > HOUR:
            with suppress(StoreUnavailable):  # the next refresh tries again
                self._table.record_use(row.organization_id, row.salt, current)
        grant = KeyGrant(row.organization_id, row.name, frozenset(row.scopes))
        verification = self._valid[digest] = Verification(grant, time.monotonic(), row)
        return verification

    def _cache_unknown(self, digest: bytes) -> Verification:
        self._valid.pop(digest, None)
        verification = self._unknown[digest] = Verification(None, time.monotonic())
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)
        return verification

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=32, key=self._digest_secret).digest()
