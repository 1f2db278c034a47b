"""Group commit."""

import asyncio
import threading
from typing import Any

import pytest

from store.reports import submission
from xpander_server.domain.task import Conflict
from xpander_server.store import Store, StoreUnavailable, TaskQuery, Writer
from xpander_server.store import writer as writer_module


class Gate:
    """A real store that lets no commit in while it is shut, and counts them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open = threading.Event()
        self.open.set()
        self.sizes: list[int] = []

    def commit(self, submissions: Any) -> Any:
        assert self.open.wait(20)
        self.sizes.append(len(submissions))
        return self._store.commit(submissions)


@pytest.fixture
def gate(store: Store) -> Gate:
    return Gate(store)


async def reported(writer: Writer, *submissions: Any) -> list[Any]:
    return await asyncio.gather(*map(writer.report, submissions), return_exceptions=True)


def count(store: Store) -> int:
    return len(store.history(TaskQuery(organization_id="org"), limit=1_000).tasks)


async def queued(writer: Writer, *submissions: Any) -> "asyncio.Future[list[Any]]":
    """Reports that wait, as nothing is committed before the writer begins."""
    waiting = asyncio.gather(*map(writer.report, submissions), return_exceptions=True)
    await asyncio.sleep(0)
    return waiting


def test_reports_that_wait_share_one_commit(store, gate):
    async def main() -> list[Any]:
        writer = Writer(gate)
        waiting = await queued(writer, *(submission(str(number)) for number in range(100)))
        with writer:
            return await waiting

    assert [task.id for task in asyncio.run(main())] == [*map(str, range(100))]
    assert gate.sizes == [100]
    assert count(store) == 100


def test_a_commit_has_no_more_than_its_share(store, gate, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_BATCH", 10)

    async def main() -> None:
        with Writer(gate) as writer:
            await reported(writer, *(submission(str(number)) for number in range(35)))

    asyncio.run(main())
    assert max(gate.sizes) <= 10
    assert count(store) == 35


def test_a_conflict_is_told_to_its_caller_alone(store, gate):
    store.report(submission("theirs", agent_id="other"))

    async def main() -> list[Any]:
        with Writer(gate) as writer:
            return await reported(writer, submission("a"), submission("theirs"), submission("b"))

    a, refused, b = asyncio.run(main())
    assert (a.id, type(refused), b.id) == ("a", Conflict, "b")


def test_a_report_that_breaks_a_commit_fails_alone(store, gate, caplog):
    async def main() -> list[Any]:
        with Writer(gate) as writer:
            return await reported(writer, submission("a"), submission("bad", result=object()), submission("b"))

    a, bad, b = asyncio.run(main())
    assert (a.id, isinstance(bad, Exception), b.id) == ("a", True, "b")
    assert count(store) == 2
    assert store.metrics("org").amounts["executing runs"] == 2


def test_when_the_queue_is_full_it_says_so_at_once(gate, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 5)

    async def main() -> list[Any]:
        writer = Writer(gate)
        waiting = await queued(writer, *(submission(str(number)) for number in range(20)))
        with writer:
            return await waiting

    outcomes = asyncio.run(main())
    assert [isinstance(outcome, StoreUnavailable) for outcome in outcomes] == [False] * 5 + [True] * 15


def test_what_is_queued_is_committed_before_it_ends(store, gate):
    async def main() -> None:
        with Writer(gate) as writer:
            for number in range(300):
                asyncio.create_task(writer.report(submission(str(number))))  # noqa: RUF006
            await asyncio.sleep(0)

    asyncio.run(main())
    assert count(store) == 300


def test_whoever_has_gone_does_not_hold_up_the_others(store, gate):
    async def main() -> Any:
        gate.open.clear()
        with Writer(gate) as writer:
            gone = asyncio.create_task(writer.report(submission("gone")))
            stays = asyncio.create_task(writer.report(submission("stays")))
            await asyncio.sleep(0)
            gone.cancel()
            gate.open.set()
            return await stays

    assert asyncio.run(main()).id == "stays"
    assert count(store) == 2


def test_a_database_that_does_not_answer_is_told_to_all(monkeypatch, gate):
    def commit(_: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(gate, "commit", commit)

    async def main() -> list[Any]:
        with Writer(gate) as writer:
            return await reported(writer, submission("a"), submission("b"))

    assert [str(outcome) for outcome in asyncio.run(main())] == ["gone", "gone"]
