"""Group commit."""

import asyncio
import threading
import time
from typing import Any

import pytest

from store.reports import submission
from xpander_server.domain.task import Conflict
from xpander_server.store import QueueFull, Store, StoreUnavailable, TaskQuery, Writer, group_commit
from xpander_server.store import writer as writer_module


class GatedStore:
    """Store whose commits wait until `gate` is set, and which records the number of reports in each commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.gate = threading.Event()
        self.gate.set()
        self.sizes: list[int] = []

    def commit(self, submissions: Any, **options: Any) -> Any:
        assert self.gate.wait(20)
        self.sizes.append(len(submissions))
        return self._store.commit(submissions, **options)


@pytest.fixture
def gated_store(store: Store) -> GatedStore:
    """Return a store with an open gate."""
    return GatedStore(store)


async def report_all(writer: Writer, *submissions: Any) -> list[Any]:
    """Report at the same time, and return the task or the exception of each report."""
    return await asyncio.gather(*map(writer.report, submissions), return_exceptions=True)


def count(store: Store) -> int:
    """Return the number of tasks of the organization "org"."""
    return len(store.history(TaskQuery(organization_id="org"), limit=1_000).tasks)


async def enqueue(writer: Writer, *submissions: Any) -> "asyncio.Future[list[Any]]":
    """Put reports into the queue of a writer that has not started, and return the future of their outcomes."""
    outcomes = asyncio.gather(*map(writer.report, submissions), return_exceptions=True)
    await asyncio.sleep(0)
    return outcomes


def test_reports_in_the_queue_share_one_commit(store, gated_store):
    async def main() -> list[Any]:
        writer = Writer(gated_store)
        outcomes = await enqueue(writer, *(submission(str(number)) for number in range(100)))
        with writer:
            return await outcomes

    assert [task.id for task in asyncio.run(main())] == [*map(str, range(100))]
    assert gated_store.sizes == [100]
    assert count(store) == 100


def test_reports_of_successive_rounds_of_the_loop_share_one_commit(store, gated_store, monkeypatch):
    monkeypatch.setattr(group_commit, "LINGER_SECONDS", 60.0)

    async def main() -> None:
        with Writer(gated_store) as writer:
            futures = []
            for number in range(20):  # as requests that the loop reads from its sockets one after the other
                futures.append(asyncio.ensure_future(writer.report(submission(str(number)))))
                await asyncio.sleep(0)
            await asyncio.gather(*futures)

    asyncio.run(main())
    assert gated_store.sizes == [20]


def test_reports_do_not_wait_longer_while_others_arrive_all_the_time(gated_store, monkeypatch):
    monkeypatch.setattr(group_commit, "LINGER_SECONDS", 0.01)

    async def main() -> int:
        with Writer(gated_store) as writer:
            reports = []
            while not gated_store.sizes and len(reports) < 3_000:
                reports.append(asyncio.ensure_future(writer.report(submission(str(len(reports))))))
                await asyncio.sleep(0)
                time.sleep(0.000_5)  # noqa: ASYNC251 - the loop is busy, and each of its rounds brings a report
            await asyncio.gather(*reports)
            return len(reports)

    assert asyncio.run(main()) < 3_000


def test_reports_of_another_event_loop_are_committed_after_one_loop_has_ended(gated_store):
    with Writer(gated_store) as writer:

        async def leave() -> None:
            task = asyncio.ensure_future(writer.report(submission("a")))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(leave())
        assert asyncio.run(asyncio.wait_for(writer.report(submission("b")), 10)).id == "b"


def test_a_commit_has_at_most_max_batch_reports(store, gated_store, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_BATCH", 10)

    async def main() -> None:
        with Writer(gated_store) as writer:
            await report_all(writer, *(submission(str(number)) for number in range(35)))

    asyncio.run(main())
    assert max(gated_store.sizes) <= 10
    assert count(store) == 35


def test_a_conflict_is_raised_for_its_report_only(store, gated_store):
    store.report(submission("theirs", agent_id="other"))

    async def main() -> list[Any]:
        with Writer(gated_store) as writer:
            return await report_all(writer, submission("a"), submission("theirs"), submission("b"))

    a, conflict, b = asyncio.run(main())
    assert (a.id, type(conflict), b.id) == ("a", Conflict, "b")


def test_a_report_that_fails_a_commit_fails_alone(store, gated_store, caplog):
    async def main() -> list[Any]:
        with Writer(gated_store) as writer:
            return await report_all(writer, submission("a"), submission("bad", result=object()), submission("b"))

    a, bad, b = asyncio.run(main())
    assert (a.id, isinstance(bad, Exception), b.id) == ("a", True, "b")
    assert count(store) == 2
    assert store.metrics("org").amounts["executing runs"] == 2


def test_a_report_to_a_full_queue_fails_immediately(gated_store, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_QUEUE", 10)

    async def main() -> list[Any]:
        writer = Writer(gated_store)
        outcomes = await enqueue(writer, *(submission(str(number)) for number in range(20)))
        with writer:
            return await outcomes

    outcomes = asyncio.run(main())
    assert [isinstance(outcome, QueueFull) for outcome in outcomes] == [False] * 5 + [True] * 15


def test_an_organization_with_a_full_share_does_not_delay_others(gated_store, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_QUEUE_SIZE", 400_000)
    monkeypatch.setattr(writer_module, "MAX_BATCH", 4)
    large = [submission(f"large {number}", organization_id="busy", input="x" * 50_000) for number in range(9)]
    small = [submission(f"small {number}", organization_id="other") for number in range(2)]

    async def main() -> tuple[list[Any], list[str]]:
        writer, order = Writer(gated_store), []

        async def report(one: Any) -> Any:
            task = await writer.report(one)
            order.append(task.id)
            return task

        outcomes = asyncio.gather(*map(report, [*large, *small]), return_exceptions=True)
        await asyncio.sleep(0)
        with writer:
            return await outcomes, order

    outcomes, order = asyncio.run(main())
    assert [isinstance(outcome, QueueFull) for outcome in outcomes] == [False] * 4 + [True] * 5 + [False] * 2
    assert {*order[:4]} == {"large 0", "small 0", "large 1", "small 1"}
    assert gated_store.sizes == [4, 2]


def test_a_commit_takes_no_further_report_when_it_is_large(gated_store, monkeypatch):
    monkeypatch.setattr(writer_module, "MAX_BATCH_SIZE", 100_000)

    async def main() -> list[Any]:
        writer = Writer(gated_store)
        outcomes = await enqueue(writer, *(submission(str(number), input="x" * 40_000) for number in range(7)))
        with writer:
            return await outcomes

    asyncio.run(main())
    assert gated_store.sizes == [3, 3, 1]


def test_the_queue_is_committed_before_the_writer_ends(store, gated_store):
    async def main() -> None:
        with Writer(gated_store) as writer:
            for number in range(300):
                asyncio.create_task(writer.report(submission(str(number))))  # noqa: RUF006
            await asyncio.sleep(0)

    asyncio.run(main())
    assert count(store) == 300


def test_a_canceled_report_does_not_block_the_others(store, gated_store):
    async def main() -> Any:
        gated_store.gate.clear()
        with Writer(gated_store) as writer:
            canceled = asyncio.create_task(writer.report(submission("canceled")))
            other = asyncio.create_task(writer.report(submission("other")))
            await asyncio.sleep(0)
            canceled.cancel()
            gated_store.gate.set()
            return await other

    assert asyncio.run(main()).id == "other"
    assert count(store) == 2


def test_an_unavailable_database_fails_all_reports(monkeypatch, gated_store):
    def commit(_: Any, **__: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(gated_store, "commit", commit)

    async def main() -> list[Any]:
        with Writer(gated_store) as writer:
            return await report_all(writer, submission("a"), submission("b"))

    assert [str(outcome) for outcome in asyncio.run(main())] == ["gone", "gone"]
