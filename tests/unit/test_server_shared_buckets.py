"""Token buckets that several processes share."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_server.auth import shared_buckets
from xpander_server.auth.rate_limit import Rate, RateLimiter
from xpander_server.auth.shared_buckets import BucketTable, SharedRateLimiter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="serve has one process on Windows")

HOUR = Rate(100, 3_600.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    BucketTable.create(tmp_path / "buckets")
    return tmp_path / "buckets"


@pytest.fixture
def table(path: Path) -> Iterator[BucketTable]:
    table = BucketTable(path)
    yield table
    table.close()


def in_processes(count: int, call: Callable[[], int]) -> list[int]:
    """Return the results of `call` in several processes that run at the same time; a result is at most 255."""
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os._exit(call())
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_processes_take_from_one_bucket(path: Path):
    def take() -> int:
        limiter = SharedRateLimiter(HOUR, BucketTable(path), "keys")
        return sum(limiter.take("a key").retry_after == 0 for _ in range(80))

    assert sum(in_processes(4, take)) in (100, 101)  # one token flows back in 36 seconds


def test_bucket_survives_the_process(path: Path):
    def take() -> int:
        return SharedRateLimiter(HOUR, BucketTable(path), "keys").take("a key", 30).remaining

    assert [in_processes(1, take), in_processes(1, take)] == [[70], [40]]


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.integers(0, 12), st.integers(0, 2), st.floats(0, 3, allow_subnormal=False)
        ),
        max_size=40,
    )
)
def test_shared_limiter_decides_as_the_local_one(steps: list[tuple[str, int, int, float]], tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "buckets"
    BucketTable.create(path)
    table = BucketTable(path)
    now = [1_000.0]
    rate = Rate(8, 4.0)
    local = RateLimiter(rate, lambda: now[0])
    shared = SharedRateLimiter(rate, table, "keys", lambda: now[0])
    for name, count, returned, seconds in steps:
        now[0] += seconds
        assert shared.take(name, count, returned=returned) == local.take(name, count, returned=returned)
    table.close()


def test_subjects_have_buckets_of_their_own(table: BucketTable):
    keys, addresses = (SharedRateLimiter(HOUR, table, subject) for subject in ("keys", "addresses"))
    keys.take("x", 60)
    assert addresses.take("x", 1).remaining == 99


def test_bucket_that_was_used_least_recently_is_replaced(table: BucketTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_buckets, "_SETS", 1)
    now = [0.0]
    limiter = SharedRateLimiter(HOUR, table, "keys", lambda: now[0])
    for number in range(16):
        now[0] += 0.001
        limiter.take(f"key {number}", 50)
    now[0] += 0.001
    limiter.take("one more", 50)
    assert limiter.take("key 1", 0).remaining == 50
    assert limiter.take("key 0", 0).remaining == 100


def test_process_that_is_stopped_inside_does_not_block_the_others(path: Path, table: BucketTable):
    context = multiprocessing.get_context("fork")
    is_inside = context.Event()

    def hold() -> None:
        other = BucketTable(path)
        with other.bucket("keys a key", shared_buckets.Bucket(1.0, 0.0)):
            is_inside.set()
            os.kill(os.getpid(), signal.SIGSTOP)

    process = context.Process(target=hold)
    process.start()
    try:
        assert is_inside.wait(10)
        started = time.monotonic()
        assert SharedRateLimiter(HOUR, table, "keys").take("a key").remaining == 99
        assert time.monotonic() - started < 2.0
    finally:
        process.kill()
        process.join()
