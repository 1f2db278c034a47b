"""The queue of one process: room, receipts, the worker, and how it ends. The backend is a function of the test."""

import asyncio
import gc
import json
import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

from outbox.parts import balanced, configuration, file_at, refusal, report
from xpander_sdk import Configuration, ConnectionFailedError, OutboxError, OutboxFullError, TimedOutError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.receipt import Receipt, ReceiptState

SOON = 20.0  # seconds, on a busy machine; nothing here takes that long


@define
class Backend:
    """Records what it is sent, unless it is away or held."""

    is_away: bool = False
    open: threading.Event = field(factory=threading.Event)
    recorded: list[dict[str, Any]] = field(factory=list)
    calls: int = 0

    def __attrs_post_init__(self) -> None:
        self.open.set()

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        self.calls += 1
        if not self.open.wait(min(SOON, configuration.timeouts.total)):
            raise TimedOutError(None, "it hangs")
        if self.is_away:
            raise ConnectionFailedError(None, "it is away")
        body = json.loads(operation.content)
        self.recorded.append(body)
        return operation.parse({"id": body["id"]}, {})

    @property
    def runs(self) -> list[str]:
        return [body["id"] for body in self.recorded]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def queue(path: Path, backend: Backend) -> Iterator[Outbox]:
    queue = Outbox(str(path), send=backend)
    yield queue
    backend.open.set()
    queue.close(0)


def put(
    queue: Outbox, id: str = "run-1", convert: Callable[[Any], Any] = lambda answer: answer, **settings: Any
) -> Receipt[Any]:
    said = {name: settings.pop(name) for name in ("result",) if name in settings}
    configured = configuration(Path(queue.path), **settings)
    assert configured.outbox is not None
    return queue._submitter.put(configured, configured.outbox, report(id, **said), convert)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


# Receipts


def test_a_receipt_tells_what_became_of_the_report(queue: Outbox, backend: Backend):
    backend.open.clear()
    receipt = put(queue, convert=lambda answer: answer["id"].upper())
    assert (receipt.state, receipt.task, receipt.id) == (ReceiptState.Pending, None, "run-1")
    backend.open.set()
    assert receipt.wait(SOON) is ReceiptState.Delivered
    assert receipt.task == "RUN-1"


def test_an_answer_that_is_quicker_than_its_receipt_reaches_it(queue: Outbox, path: Path):
    file = queue._submitter._store("crash")
    kept = file.put

    def put_and_deliver(*arguments: Any, **named: Any) -> int:
        seq = kept(*arguments, **named)
        group = queue._delivery.claim()
        assert group is not None
        queue._delivery.deliver(group)
        return seq

    file.put = put_and_deliver  # type: ignore[method-assign]
    receipt = put(queue, worker="none")
    assert receipt.task == {"id": "run-1"}
    assert not queue._receipts._early_responses


def test_receipts_of_a_run_that_went_out_once_all_get_its_task(queue: Outbox, backend: Backend):
    receipts = [put(queue, worker="none") for _ in range(3)]
    queue.drain(SOON)
    assert [receipt.task for receipt in receipts] == [{"id": "run-1"}] * 3
    assert len(backend.recorded) == 1


def test_a_receipt_of_a_task_that_cannot_be_read_is_delivered_all_the_same(queue: Outbox):
    def fails(answer: Any) -> Any:
        raise LookupError("a field that is newer than this client")

    receipt = put(queue, convert=fails)
    assert receipt.wait(SOON) is ReceiptState.Delivered
    assert receipt.task is None


def test_nothing_is_kept_of_receipts_that_nobody_has(queue: Outbox):
    for number in range(200):
        put(queue, f"run-{number}")
    assert queue.flush(SOON)
    gc.collect()
    assert (len(queue._receipts._receipts), len(queue._receipts._early_responses), queue._receipts._submissions) == (
        0,
        0,
        0,
    )


def test_a_receipt_of_another_file_is_unknown(queue: Outbox, path: Path):
    receipt = put(queue, worker="none")
    queue.close(0)
    for each in path.parent.glob("outbox.db*"):
        each.unlink()
    other = put(queue, "run-2", worker="none")
    assert (receipt.state, other.state) == (ReceiptState.Unknown, ReceiptState.Pending)
    queue.drain(SOON)
    assert (receipt.state, receipt.task) == (ReceiptState.Unknown, None)
    assert other.task == {"id": "run-2"}


def test_a_refused_report_is_a_dead_letter(queue: Outbox):
    def refuses(configuration: Configuration, operation: Any) -> Any:
        raise refusal(422)

    queue._delivery._send = refuses
    receipt = put(queue)
    assert receipt.wait(SOON) is ReceiptState.Dead
    assert [letter.seq for letter in queue.dead()] == [receipt._seq]
    assert queue.discard() == 1
    assert receipt.state is ReceiptState.Dropped
    balanced(queue.stats())


def test_a_wait_ends_after_its_time(queue: Outbox, backend: Backend):
    backend.is_away = True
    receipt = put(queue)
    began = time.monotonic()
    assert receipt.wait(0.2) is ReceiptState.Pending
    assert 0.2 <= time.monotonic() - began < 2


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_a_receipt_can_be_awaited(run, queue: Outbox, backend: Backend):
    backend.open.clear()

    async def main() -> ReceiptState:
        receipt = put(queue)
        threading.Timer(0.1, backend.open.set).start()
        return await receipt

    assert run(main) is ReceiptState.Delivered if run is trio.run else run(main()) is ReceiptState.Delivered


def test_a_callable_that_is_slow_to_give_the_key_holds_up_nobody_else(queue: Outbox):
    begun, go = threading.Event(), threading.Event()

    class Vault:
        def __call__(self) -> str:
            begun.set()
            assert go.wait(SOON)
            return "key-1"

    slow = threading.Thread(target=lambda: put(queue, "slow", api_key=Vault(), worker="none"))
    slow.start()
    assert begun.wait(SOON)
    put(queue, "quick", worker="none")
    go.set()
    slow.join()
    assert queue.stats().pending == 2


# Room


def test_a_full_outbox_raises_and_keeps_what_it_has(queue: Outbox):
    receipts = [put(queue, f"run-{number}", max_reports=3, worker="none") for number in range(3)]
    with pytest.raises(OutboxFullError) as caught:
        put(queue, "run-3", max_reports=3, worker="none")
    assert caught.value.report_id == "run-3"
    assert isinstance(caught.value, OutboxError)
    assert {receipt.state for receipt in receipts} == {ReceiptState.Pending}
    assert balanced(queue.stats()).accepted == 3


def test_bytes_are_bounded_too(queue: Outbox):
    size = len(report("run-0").content) + 250
    for number in range(4):
        put(queue, f"run-{number}", max_bytes=4 * size, worker="none")
    with pytest.raises(OutboxFullError):
        put(queue, "run-4", max_bytes=4 * size, worker="none")
    assert queue.stats().pending_bytes == 4 * size


def test_block_waits_for_room(queue: Outbox, backend: Backend):
    backend.open.clear()
    settings = {"max_reports": 2, "when_full": "block", "block_seconds": SOON}
    for number in range(2):
        put(queue, f"run-{number}", **settings)
    threading.Timer(0.2, backend.open.set).start()
    began = time.monotonic()
    receipt = put(queue, "run-2", **settings)
    assert time.monotonic() - began > 0.1
    assert receipt.wait(SOON) is ReceiptState.Delivered


def test_block_raises_at_its_deadline(queue: Outbox):
    settings = {"max_reports": 1, "when_full": "block", "block_seconds": 0.3, "worker": "none"}
    put(queue, **settings)
    began = time.monotonic()
    with pytest.raises(OutboxFullError):
        put(queue, "run-2", **settings)
    assert 0.3 <= time.monotonic() - began < 3


def test_drop_oldest_makes_room_and_counts_what_went(queue: Outbox):
    settings = {"max_reports": 30, "when_full": "drop_oldest", "worker": "none"}
    receipts = [put(queue, f"run-{number}", **settings) for number in range(100)]
    stats = balanced(queue.stats())
    assert stats.accepted == 100
    assert stats.pending + stats.dropped["full"] == 100
    assert 25 <= stats.pending <= 30
    gone = stats.dropped["full"]
    assert {receipt.state for receipt in receipts[:gone]} == {ReceiptState.Dropped}
    assert {receipt.state for receipt in receipts[gone:]} == {ReceiptState.Pending}


def test_what_never_fits_drops_nothing(queue: Outbox):
    settings = {"max_bytes": 600, "when_full": "drop_oldest", "worker": "none"}
    kept = put(queue, **settings)
    with pytest.raises(OutboxFullError):
        put(queue, "run-" + "x" * 1_000, **settings)
    assert kept.state is ReceiptState.Pending


@pytest.mark.parametrize("when_full", ["raise", "block"])
def test_a_process_that_finds_the_outbox_full_empties_it(when_full, queue: Outbox, path: Path, backend: Backend):
    for number in range(3):
        put(queue, f"run-{number}", max_reports=3, worker="none")
    queue._stop()
    later = Outbox(str(path), send=backend)
    settings = {"max_reports": 3, "when_full": when_full, "block_seconds": SOON}
    if when_full == "raise":
        with pytest.raises(OutboxFullError):
            put(later, "run-3", **settings)
        eventually(lambda: later.stats().pending == 0)
    assert put(later, "run-4", **settings).wait(SOON) is ReceiptState.Delivered
    later.close()


def test_dead_letters_are_bounded_by_the_settings(queue: Outbox):
    def refuses(configuration: Configuration, operation: Any) -> Any:
        raise refusal(422)

    queue._delivery._send = refuses
    for number in range(5):
        put(queue, f"run-{number}", max_reports=2).wait(SOON)
    stats = balanced(queue.stats())
    assert (stats.dead, stats.dropped) == (2, {"dead letters full": 3})


# The worker


def test_different_runs_go_out_in_parallel_up_to_a_bound(queue: Outbox, backend: Backend):
    backend.open.clear()
    for number in range(10):
        put(queue, f"run-{number}", parallel=3)
    eventually(lambda: backend.calls == 3)
    time.sleep(0.1)
    assert backend.calls == 3
    backend.open.set()
    assert queue.flush(SOON)


def test_reports_of_one_run_never_overtake_each_other(queue: Outbox, backend: Backend):
    order: dict[str, list[int]] = {}
    under_way: set[str] = set()

    def records(configuration: Configuration, operation: Any) -> Any:
        body = json.loads(operation.content)
        assert body["id"] not in under_way, "two calls of one run at once"
        under_way.add(body["id"])
        time.sleep(0.001)
        order.setdefault(body["id"], []).append(body["duration"])
        under_way.discard(body["id"])
        return operation.parse({"id": body["id"]}, {})

    queue._delivery._send = records
    configured = configuration(Path(queue.path))
    assert configured.outbox is not None
    for number in range(300):
        given = report(f"run-{number % 5}", number, duration=number)
        queue._submitter.put(configured, configured.outbox, given, lambda answer: answer)
    assert queue.flush(SOON)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert {numbers[-1] for numbers in order.values()} == {295, 296, 297, 298, 299}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_died_is_made_anew(queue: Outbox, backend: Backend):
    def dies(configuration: Configuration, operation: Any) -> Any:
        raise SystemExit

    queue._delivery._send = dies
    put(queue)
    eventually(lambda: queue._worker is not None and not queue._worker.is_alive())
    queue._delivery._send = backend
    assert put(queue, "run-2").wait(SOON) is ReceiptState.Delivered
    assert queue.flush(SOON)
    assert sorted(backend.runs) == ["run-1", "run-2"]


def test_a_worker_survives_trouble_with_its_file(queue: Outbox, monkeypatch, caplog):
    refresh = queue._delivery.refresh
    troubles = [OutboxError("of a disk")] * 3

    def fails() -> None:
        if troubles:
            raise troubles.pop()
        refresh()

    monkeypatch.setattr(queue._delivery, "refresh", fails)  # of this queue alone: others may still be looking for work
    assert put(queue).wait(SOON) is ReceiptState.Delivered
    assert queue._worker is not None
    assert queue._worker.is_alive()
    assert caplog.text.count("will try again") == 1


def test_a_thread_that_cannot_be_started_is_no_error_of_a_report(queue: Outbox, monkeypatch, caplog):
    def fails(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", fails)
        receipt = put(queue)
    assert receipt.state is ReceiptState.Pending
    assert "can't start new thread" in caplog.text
    assert put(queue, "run-2").wait(SOON) is ReceiptState.Delivered
    assert receipt.wait(SOON) is ReceiptState.Delivered


@pytest.mark.parametrize("is_away", [False, True], ids=["idle", "away"])
def test_a_worker_with_nothing_to_do_does_nothing(is_away, queue: Outbox, backend: Backend, monkeypatch):
    backend.is_away = is_away
    for number in range(50):
        put(queue, f"run-{number}")
    eventually(lambda: queue.stats().pending == (50 if is_away else 0))
    eventually(lambda: backend.calls > 0 and queue._delivery.in_flight == 0)
    if is_away:
        with queue._store.database.transaction() as connection:
            connection.execute("UPDATE destinations SET next_attempt_at = ?", (time.time_ns() // 1_000 + 60_000_000,))
    time.sleep(0.3)
    claims = []
    claim = queue._delivery.claim
    monkeypatch.setattr(queue._delivery, "claim", lambda: claims.append(1) or claim())
    used = time.thread_time(), time.process_time()
    time.sleep(1.5)
    assert len(claims) <= 3
    assert time.process_time() - used[1] - (time.thread_time() - used[0]) < 0.2


# Ending


def test_flush_waits_for_what_another_process_is_sending(queue: Outbox, path: Path):
    put(queue, worker="none")
    other = file_at(path)
    group = other.claim("another process", [1], 30_000_000)
    assert group is not None
    threading.Timer(0.3, lambda: other.delivered(group)).start()
    assert queue.flush(SOON)
    other.database.close()


def test_flush_says_no_where_a_backend_is_away(queue: Outbox, backend: Backend):
    backend.is_away = True
    put(queue)
    began = time.monotonic()
    assert not queue.flush(0.5)
    assert time.monotonic() - began < 3
    backend.is_away = False
    assert queue.flush(SOON)


def test_flush_leaves_what_came_later(queue: Outbox, backend: Backend):
    put(queue, worker="none")
    late = threading.Event()

    def slow(configuration: Configuration, operation: Any) -> Any:
        if not late.is_set():
            late.set()
            put(queue, "late", worker="none")
        return backend(configuration, operation)

    queue._delivery._send = slow
    assert queue.flush(SOON)
    assert queue.stats().pending in (0, 1)


@pytest.mark.parametrize("way", ["drain", "flush", "close"])
def test_a_deadline_holds_where_a_backend_hangs(way, queue: Outbox, backend: Backend):
    backend.open.clear()
    for number in range(20):
        put(queue, f"run-{number}", worker="none" if way == "drain" else "thread")
    began = time.monotonic()
    assert not getattr(queue, way)(0.5)
    assert time.monotonic() - began < 2.5
    backend.open.set()
    assert queue.flush(SOON)
    assert sorted(set(backend.runs)) == sorted(f"run-{number}" for number in range(20))


def test_a_drain_of_nothing_is_over_at_once(queue: Outbox):
    put(queue, worker="none")
    assert queue.drain(SOON)
    began = time.monotonic()
    for _ in range(50):
        assert queue.drain(SOON)
    assert time.monotonic() - began < SOON / 2


def test_a_drain_does_not_wait_for_what_is_due_after_it(queue: Outbox):
    def locked_out(configuration: Configuration, operation: Any) -> Any:
        raise refusal(401)

    queue._delivery._send = locked_out
    put(queue, worker="none")
    began = time.monotonic()
    assert not queue.drain(120)
    assert time.monotonic() - began < 5


def test_a_drain_leaves_no_thread(queue: Outbox):
    for number in range(50):
        put(queue, f"run-{number}", worker="none")
    before = threading.active_count()
    assert queue.drain(SOON)
    assert threading.active_count() == before


def test_after_its_end_a_queue_can_be_used_again(queue: Outbox):
    for number in range(3):
        receipt = put(queue, f"run-{number}")
        assert queue.close(SOON)
        assert receipt.state is ReceiptState.Delivered
        assert queue._store.database._connection is None or queue._store.database is not None


def test_two_queues_of_one_file_share_its_books(queue: Outbox, path: Path, backend: Backend):
    other = Outbox(str(path), send=backend)
    put(queue, "run-1")
    put(other, "run-2")
    assert queue.flush(SOON)
    assert other.flush(SOON)
    assert sorted(backend.runs) == ["run-1", "run-2"]
    assert balanced(queue.stats()) == balanced(other.stats())
    other.close()


# Signals


def test_a_signal_handler_may_report_whatever_it_interrupts(queue: Outbox, backend: Backend):
    receipts: list[Receipt[Any]] = []
    settings = {"max_reports": 20, "when_full": "drop_oldest", "worker": "none"}

    is_in_handler = [False]

    def handler(*_: object) -> None:
        if len(receipts) < 300 and not is_in_handler[0]:
            is_in_handler[0] = True
            receipts.append(put(queue, f"signal-{len(receipts)}", **settings))
            is_in_handler[0] = False

    before = signal.signal(signal.SIGVTALRM, handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    number = 0
    longest = 0.0
    try:
        while len(receipts) < 300:
            began = time.monotonic()
            put(queue, f"main-{number}", **settings)
            queue.stats()
            queue.retry()
            queue._store.release_owner("nobody")
            number += 1
            longest = max(longest, time.monotonic() - began)
            assert number < 100_000
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    stats = balanced(queue.stats())
    assert stats.accepted == number + len(receipts)
    assert longest < 5, "a handler waited for what it had interrupted"
    assert queue.flush(SOON)


def test_an_interrupt_leaves_no_transaction_open(path: Path):
    database = Database(str(path), "crash", 1_000)

    def interrupted() -> None:
        with database.transaction() as connection:
            connection.execute("UPDATE counters SET merged = merged + 1")
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    other = sqlite3.connect(path, timeout=0)
    other.execute("BEGIN IMMEDIATE")
    assert other.execute("SELECT merged FROM counters").fetchone() == (0,)
    other.close()
    database.close()


# Masks


def written(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.glob("outbox.db*"))


def test_a_mask_sees_a_report_before_the_disk_does(queue: Outbox, path: Path, backend: Backend):
    def mask(said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "result": said["result"].replace("secret", "***")}

    put(queue, result="a secret", mask=mask, worker="none")
    assert b"secret" not in written(path)
    queue.drain(SOON)
    assert backend.recorded == [{"id": "run-1", "result": "a ***"}]


@pytest.mark.parametrize(
    "mask",
    [lambda said: 1 / 0, lambda said: None, lambda said: [said], lambda said: said.clear()],
    ids=["raises", "None", "list", "clears"],
)
def test_where_a_mask_fails_the_numbers_alone_are_kept(mask, queue: Outbox, path: Path, backend: Backend, caplog):
    caplog.set_level(logging.DEBUG)
    configured = configuration(path, mask=mask, worker="none")
    assert configured.outbox is not None
    tokens = {"prompt_tokens": 3}
    given = report(
        result="secret",
        input="secret",
        llm_response="secret",
        used_tools=["secret"],
        tokens=tokens,
        is_success=True,
        duration=1.5,
    )
    queue._submitter.put(configured, configured.outbox, given, lambda answer: answer)
    assert b"secret" not in written(path)
    assert "secret" not in caplog.text
    queue.drain(SOON)
    (body,) = backend.recorded
    assert {name: value for name, value in body.items() if value is not None} == {
        "id": "run-1", "tokens": tokens, "is_success": True, "duration": 1.5,
    }  # fmt: skip


def test_a_mask_cannot_change_which_run_it_is(queue: Outbox, backend: Backend):
    put(queue, mask=lambda said: {"id": "another", "result": "\ud800", 5: object()}, worker="none")
    queue.drain(SOON)
    assert backend.runs == ["run-1"]


def test_a_mask_need_not_be_hashable(queue: Outbox):
    @define
    class Mask:
        word: str

        def __call__(self, said: dict[str, Any]) -> dict[str, Any]:
            return said

    assert put(queue, mask=Mask("secret")).wait(SOON) is ReceiptState.Delivered
