"""Importer: reports the entries of a file concurrently, and keeps the checkpoint up to date.

The sequence for each entry is: read (in a thread) → wait for the previous entry of the same id → send → advance.

Entries finish in any order, but the checkpoint is one position: all entries before it are finished. Results of later
entries wait in `_finished`:

    entry      1         2          3         4          5
    state      finished  finished   sending   finished   sending
    position             2 ↑                  kept in _finished until entry 3 is finished

A temporary failure stops the import with the position of the last save; the next import continues there.
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import define, evolve, field, frozen

from xpander_sdk import errors
from xpander_sdk.client import client, operations
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.task_record import TaskRecord
from xpander_sdk.import_export.checkpoint import Checkpoint, Counts
from xpander_sdk.import_export.reader import Entry, Position, UnreadableSource
from xpander_sdk.import_export.record import Record
from xpander_sdk.reporting.report import new_report
from xpander_sdk.reporting.validation import parse_id
from xpander_sdk.settings.configuration import Configuration

# These errors concern one report. All other errors concern all reports, and stop the import.
_REJECTIONS = (errors.InvalidReportError, errors.ConflictError, errors.TooLargeError)
# Seconds, for responses with Retry-After.
_MAX_RETRY_TIME, _MIN_RETRY_DELAY = 600, 0.1
# Size of the entries that are read but not finished: a file may have a line of the largest size for each free place.
_MAX_UNFINISHED_BYTES = 32 << 20
# The checkpoint is saved after this time or this number of entries, whichever is first.
_SAVE_SECONDS, _SAVE_ENTRIES = 0.5, 100


class ImportStopped(Exception):
    """The backend is unreachable, or refuses all requests. The next import resumes.

    Attributes:
        error: error of the request.
    """

    def __init__(self, error: errors.ModuleException) -> None:
        super().__init__(error)
        self.error = error


async def import_runs(
    configuration: Configuration,
    entries: Iterator[Entry],
    checkpoint: Checkpoint,
    *,
    in_flight: int,
    on_progress: Callable[[Counts], None],
) -> None:
    """Report all entries. Entries that are invalid or that the backend rejects are added to the checkpoint's list.

    Reports of the same id are sent one after another, in the order of the file.

    Args:
        configuration: backend and credentials.
        entries: entries behind the checkpoint's position. A thread reads them.
        checkpoint: progress, which is updated and saved.
        in_flight: maximum number of concurrent requests.
        on_progress: function that is called with the present counts after each entry.

    Raises:
        ImportStopped: the backend is unreachable, or refuses all requests.
        UnreadableSource: the rest of the file cannot be read. All entries before it are reported.
        OSError: the files of the checkpoint cannot be written.
    """
    importer = _Importer(configuration, checkpoint, on_progress, asyncio.Semaphore(in_flight))
    read_error: UnreadableSource | None = None
    try:
        async with asyncio.TaskGroup() as group:
            saver = group.create_task(importer.save_periodically())
            try:
                async for entry in _read_in_thread(entries, 2 * in_flight, importer.size):
                    await importer.slots.acquire()
                    group.create_task(importer.process(entry, importer.enqueue(entry)))
            except UnreadableSource as error:
                # Entries that were read before the failure are still reported.
                read_error = error
            finally:
                saver.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        try:
            checkpoint.save()
        finally:
            checkpoint.close()
    if read_error is not None:
        raise read_error


@frozen
class _Order:
    """Place of an entry among the entries of the same id.

    Attributes:
        run_id: the id; None if the entry has none.
        previous: event of the previous entry of the same id; None for the first one.
        finished: event that is set when this entry is finished.
    """

    run_id: str | None
    previous: asyncio.Event | None
    finished: asyncio.Event


@define
class _Importer:
    configuration: Configuration
    checkpoint: Checkpoint
    on_progress: Callable[[Counts], None]
    slots: asyncio.Semaphore
    size: "_SizeLimit" = field(factory=lambda: _SizeLimit(_MAX_UNFINISHED_BYTES))
    _counts: Counts = field(init=False)
    _finished: dict[int, tuple[Position, Counts]] = field(factory=dict)
    _next_number: int | None = None
    _last_by_id: dict[str, asyncio.Event] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._counts = evolve(self.checkpoint.counts)

    def enqueue(self, entry: Entry) -> _Order:
        """Return the place of an entry among those of the same id. Must be called in the order of the file."""
        if self._next_number is None:
            self._next_number = entry.position.number
        run_id = entry.record.id if entry.record is not None and isinstance(entry.record.id, str) else None
        finished = asyncio.Event()
        previous = None if run_id is None else self._last_by_id.get(run_id)
        if run_id is not None:
            self._last_by_id[run_id] = finished
        return _Order(run_id, previous, finished)

    async def process(self, entry: Entry, order: _Order) -> None:
        """Report an entry after the previous one of the same id, and advance the checkpoint."""
        try:
            if order.previous is not None:
                await order.previous.wait()
            self._advance(entry.position, await self._report(entry))
        finally:
            self.size.release(entry.size)
            order.finished.set()
            if order.run_id is not None and self._last_by_id.get(order.run_id) is order.finished:
                del self._last_by_id[order.run_id]
            self.slots.release()

    async def save_periodically(self) -> None:
        """Save the checkpoint twice a second until the task is cancelled."""
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self.checkpoint.save()

    async def _report(self, entry: Entry) -> Counts:
        if entry.problem is not None:
            return self._reject(entry, entry.problem)
        if entry.record is None:
            return Counts()
        try:
            operation = report_operation(entry.record)
        except ValueError as error:
            return self._reject(entry, str(error))
        try:
            await self._send(operation)
        except _REJECTIONS as error:
            return self._reject(entry, str(error))
        except errors.ModuleException as error:
            raise ImportStopped(error) from None
        return Counts(recorded=1)

    async def _send(self, operation: Operation[Any]) -> None:
        end = time.monotonic() + _MAX_RETRY_TIME
        while True:
            try:
                await client.asend(self.configuration, operation)
                return
            except (errors.RateLimitedError, errors.ServerError) as error:
                # A backend that names a time to retry is overloaded, not broken.
                if error.retry_after is None or time.monotonic() + error.retry_after > end:
                    raise
                await asyncio.sleep(max(error.retry_after, _MIN_RETRY_DELAY))

    def _reject(self, entry: Entry, reason: str) -> Counts:
        self.checkpoint.reject(entry, reason)
        return Counts(rejected=1)

    def _advance(self, position: Position, counts: Counts) -> None:
        self._finished[position.number] = (position, counts)
        assert self._next_number is not None
        while (finished := self._finished.pop(self._next_number, None)) is not None:
            reached, reached_counts = finished
            self._counts.recorded += reached_counts.recorded
            self._counts.rejected += reached_counts.rejected
            self.checkpoint.advance(reached, evolve(self._counts))
            self._next_number += 1
            if self._next_number % _SAVE_ENTRIES == 0:
                self.checkpoint.save()
        self.on_progress(self._counts)


def report_operation(record: Record) -> Operation[TaskRecord]:
    """Return the operation that reports a run of a file.

    Raises:
        ValueError: The run has no agent, or a value is invalid.
    """
    if record.agent_id is None:
        raise ValueError("the run must have an agent_id; --agent-id sets it for all runs without one")
    agent_id = parse_id("agent_id", record.agent_id)
    return operations.report_task(
        new_report(agent_id, id=record.id, reported_at=record.reported_at, **record.arguments)
    )


class _SizeLimit:
    """Limit of the size of all unfinished entries; one entry of any size is always possible."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, size: int) -> None:
        """Wait until there is room for an entry, or until nothing else occupies it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._limit)
            self._used += size

    def release(self, size: int) -> None:
        """Return the room of a finished entry."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def open(self) -> None:
        """Let a waiting reader continue, because the import ends."""
        with self._changed:
            self._limit = sys.maxsize
            self._changed.notify_all()


async def _read_in_thread(entries: Iterator[Entry], max_ahead: int, size: _SizeLimit) -> AsyncIterator[Entry]:
    """Yield entries that a thread reads, so that a slow pipe does not block requests.

    Args:
        entries: entries to read.
        max_ahead: maximum number of entries that are read but not yielded yet.
        size: limit of the size of the unfinished entries; the caller releases each entry.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Entry | Exception | None] = asyncio.Queue()
    free_places = threading.Semaphore(max_ahead)
    is_abandoned = threading.Event()

    def put(item: Entry | Exception | None) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def read() -> None:
        try:
            for entry in entries:
                free_places.acquire()
                size.acquire(entry.size)
                if is_abandoned.is_set():
                    return
                put(entry)
            put(None)
        except Exception as error:
            put(error)

    # A daemon thread: the interpreter must not wait at exit for a pipe without data.
    threading.Thread(target=read, name="xpander-import", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            free_places.release()
            yield item
    finally:
        is_abandoned.set()
        free_places.release()
        size.open()
