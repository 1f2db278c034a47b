"""Keys of requests, verified at the cost of microseconds.

What was found of a key is remembered for a moment: that it is good, and that it is not. After that moment one cheap
look into the store tells whether it was revoked; scrypt is spent once for each key and process.
"""

import hmac
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
"""How long a revoked key may still be let in, and a new one that somebody tried too early be refused."""
MAX_UNKNOWN = 10_000


@frozen
class KeyGrant:
    """What a key opens."""

    organization_id: str
    key_name: str
    """The key's name."""
    scopes: frozenset[str]


@define
class Verification:
    """What is known of a key: `grant` is None if it opens nothing."""

    grant: KeyGrant | None
    checked_at: float
    row: KeyRow | None = None

    def is_fresh(self) -> bool:
        return time.monotonic() - self.checked_at < CACHE_SECONDS


class Verifier:
    """Tells what a key opens. Safe to share between threads."""

    def __init__(self, table: KeyTable, clock: Callable[[], int] = now) -> None:
        self._table = table
        self._clock = clock
        # By a digest that is of no use outside this process.
        self._pepper = secrets.token_bytes(32)
        self._good: dict[bytes, Verification] = {}
        self._unknown: OrderedDict[bytes, Verification] = OrderedDict()

    def cached(self, key: bytes) -> Verification | None:
        """What is known of a key, if anything is; takes microseconds. What is not fresh is to be looked at again."""
        digest = self._digest(key)
        verification = self._good.get(digest) or self._unknown.get(digest)
        if verification is None or (verification.grant is None and not verification.is_fresh()):
            return None
        if verification.row is not None and not verification.row.is_active(self._clock()):
            return self._refuse(digest)  # expired, just now
        return verification

    def verify(self, key: bytes) -> Verification:
        """Find out about a key that is not remembered. May take a scrypt."""
        remembered = self.cached(key)  # by another request, while this one waited
        if remembered is not None:
            return remembered
        return self._keep(self._digest(key), api_keys.find_key(self._table, key))

    def refresh(self, key: bytes, verification: Verification) -> Verification:
        """Whether a key that was good still is; also notes, once an hour, that it is used."""
        # Meanwhile, others go by what was known: one look is enough for all.
        before, verification.checked_at = verification.checked_at, time.monotonic()
        assert verification.row is not None
        try:
            return self._keep(
                self._digest(key), self._table.get(verification.row.organization_id, verification.row.salt)
            )
        except BaseException:
            verification.checked_at = before
            raise

    def _keep(self, digest: bytes, row: KeyRow | None) -> Verification:
        current = self._clock()
        if row is None or not row.is_active(current):
            return self._refuse(digest)
        if row.last_used_at is None or current - row.last_used_at > HOUR:
            with suppress(StoreUnavailable):  # the next look notes it
                self._table.record_use(row.organization_id, row.salt, current)
        verification = Verification(
            KeyGrant(row.organization_id, row.name, frozenset(row.scopes)), time.monotonic(), row
        )
        self._good[digest] = verification
        return verification

    def _refuse(self, digest: bytes) -> Verification:
        self._good.pop(digest, None)
        verification = self._unknown[digest] = Verification(None, time.monotonic())
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)
        return verification

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._pepper, key, "sha256")
