"""Group commit of spans: refused spans are written seldom, and none is lost."""

import anyio
import pytest

from xpander_server.store import SpanWriter, Store, StoreUnavailable, new_refusal
from xpander_server.store import span_writer as module
from xpander_server.store.span_refusals import SpanRefusal

NOW = 1_800_000_000_000_000


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


class CountedWrites:
    """Table of refusals that counts the writes, of which the first ones fail."""

    def __init__(self, table, failures: int = 0) -> None:
        self.table, self.failures, self.writes = table, failures, 0

    def add(self, refusals: list[SpanRefusal], **limits) -> None:
        self.writes += 1
        if self.writes <= self.failures:
            raise StoreUnavailable("the database does not respond")
        self.table.add(refusals, **limits)


async def refuse(writer: SpanWriter, count: int) -> None:
    for number in range(count):
        await writer.refuse(new_refusal("org", "invalid_spans", 2, str(number), NOW + number))
        await anyio.sleep(0.001)


def test_many_refusals_cost_few_writes(store, monkeypatch):
    counted = CountedWrites(store.span_refusals)
    monkeypatch.setattr(store, "span_refusals", counted)
    with SpanWriter(store) as writer:
        anyio.run(refuse, writer, 100)
    (found,) = counted.table.read("org", NOW)
    assert (found.requests, found.spans, found.reason) == (100, 200, "99")
    assert writer.refused_count == 200
    assert counted.writes <= 3


def test_refusals_are_written_without_a_stop(store):
    async def wait() -> int:
        await refuse(writer, 3)
        for _ in range(200):
            if (found := store.span_refusals.read("org", NOW)) and found[0].requests == 3:
                return 3
            await anyio.sleep(0.02)
        return 0

    with SpanWriter(store) as writer:
        assert anyio.run(wait) == 3


def test_refusals_wait_for_a_store_that_does_not_respond(store, monkeypatch):
    monkeypatch.setattr(module, "REFUSALS_SECONDS", 0.01)
    counted = CountedWrites(store.span_refusals, failures=3)
    monkeypatch.setattr(store, "span_refusals", counted)

    async def wait() -> None:
        await refuse(writer, 20)
        await anyio.sleep(0.2)

    with SpanWriter(store) as writer:
        anyio.run(wait)
    (found,) = counted.table.read("org", NOW)
    assert (found.requests, found.spans) == (20, 40)
