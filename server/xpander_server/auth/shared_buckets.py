"""Rate limits of several processes: token buckets in a file that all of them map into their memory.

The file is a table of `_SETS` sets with `_WAYS` buckets each. The digest of its name selects the set of a bucket:

    digest (16 bytes) | tokens (float64) | updated_at (float64, the monotonic clock, which all processes share)

A new bucket replaces the one of its set that was used least recently, so the table has a fixed size. While a process
changes a bucket, it holds the lock of the set: a lock on one byte of the file, which the system releases if the process
is killed.
"""

import hashlib
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xpander_server.auth.rate_limit import Allowance, Bucket, Rate

if sys.platform != "win32":
    import fcntl

_SETS = 1_024
_WAYS = 16
_BUCKET = struct.Struct("16sdd")
_SET_BYTES = _WAYS * _BUCKET.size
_EMPTY = bytes(16)
_LOCK_SECONDS = 0.005
"""Time to wait for a lock. A process that was stopped while it held one must not stop the others: the change is then
made without the lock."""
_LOCK_PAUSE = 0.000_1
_SECRET_BYTES = 16


class BucketTable:
    """Table of the token buckets that processes share. One thread of each process may use it.

    Args:
        path: File of the table, as `create` has made it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._memory = mmap.mmap(self._file, _SECRET_BYTES + _SETS * _SET_BYTES)
        # The digests depend on a secret, so that nobody can choose names whose buckets replace each other.
        self._secret = self._memory[:_SECRET_BYTES]

    @staticmethod
    def create(path: Path) -> None:
        """Create the file of an empty table."""
        path.write_bytes(os.urandom(_SECRET_BYTES) + bytes(_SETS * _SET_BYTES))

    def close(self) -> None:
        """Unmap and close the file."""
        self._memory.close()
        os.close(self._file)

    @contextmanager
    def bucket(self, name: str, new: Bucket) -> Iterator[Bucket]:
        """Yield the bucket of `name`, locked, and store its new state.

        Args:
            name: Name of the bucket.
            new: The bucket if there is none.
        """
        digest = hashlib.blake2b(name.encode(), digest_size=16, key=self._secret).digest()
        number = int.from_bytes(digest[:2]) % _SETS
        start = _SECRET_BYTES + number * _SET_BYTES
        with self._locked(number):
            ways = list(_BUCKET.iter_unpack(self._memory[start : start + _SET_BYTES]))
            position = next((index for index, way in enumerate(ways) if way[0] == digest), None)
            if position is None:
                position = min(range(_WAYS), key=lambda index: (ways[index][0] != _EMPTY, ways[index][2]))
                bucket = new
            else:
                bucket = Bucket(*ways[position][1:])
            yield bucket
            packed = _BUCKET.pack(digest, bucket.tokens, bucket.updated_at)
            self._memory[start + position * _BUCKET.size : start + (position + 1) * _BUCKET.size] = packed

    @contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        is_locked = self._lock(number)
        try:
            yield
        finally:
            if is_locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def _lock(self, number: int) -> bool:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
            except (BlockingIOError, PermissionError):  # POSIX permits both
                if time.monotonic() > deadline:
                    return False
            time.sleep(_LOCK_PAUSE)


class SharedRateLimiter:
    """Limiter whose buckets several processes share.

    Args:
        rate: Capacity and refill rate of each bucket.
        table: Table of the buckets.
        subject: What the names are names of; limiters of other subjects have other buckets in the same table.
        clock: Returns a monotonic time in seconds that all processes share.
    """

    def __init__(
        self, rate: Rate, table: BucketTable, subject: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._table = table
        self._subject = subject
        self._clock = clock

    def take(self, name: str, count: int = 1, *, returned: int = 0) -> Allowance:
        """Take tokens from the bucket of `name`. See `rate_limit.Limiter.take`."""
        now = self._clock()
        with self._table.bucket(f"{self._subject} {name}", Bucket(self._rate.count, now)) as bucket:
            return bucket.take(self._rate, now, count, returned)
