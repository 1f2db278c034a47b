"""Importer: reports the entries of a file concurrently, and keeps the checkpoint up to date.

The sequence is: read (in a thread) → wait for the previous entries of the same ids → send → advance. A backend that
takes many reports in one request gets groups of entries: those that the thread has read already, so that a slow pipe
delays nothing. All other backends get one request for each entry.

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

from attrs import define, evolve, field, frozen

from xpander_sdk import errors
from xpander_sdk.client import bulk_reports
from xpander_sdk.client.report_batch import MAX_REPORTS
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.import_export.checkpoint import Checkpoint, Counts
from xpander_sdk.import_export.entries import Entry, Position, UnreadableSource
from xpander_sdk.import_export.record import Record
from xpander_sdk.reporting.report import Report, new_report
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
                read = _read_in_thread(entries, max(2 * in_flight, MAX_REPORTS), importer.size, importer.group_size)
                async for together in read:
                    await importer.slots.acquire()
                    group.create_task(importer.process(together, importer.enqueue(together)))
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
    """Place of a group of entries among the entries of the same ids.

    Attributes:
        run_ids: the ids of its entries.
        previous: events of the previous groups with one of these ids.
        finished: event that is set when this group is finished.
    """

    run_ids: set[str]
    previous: list[asyncio.Event]
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

    def group_size(self) -> int:
        """Return the number of entries that are sent together."""
        return transports.destination(self.configuration).batch_size.current()

    def enqueue(self, entries: list[Entry]) -> _Order:
        """Return the place of entries among those of the same ids. Must be called in the order of the file."""
        if self._next_number is None:
            self._next_number = entries[0].position.number
        records = [entry.record for entry in entries if entry.record is not None]
        run_ids = {record.id for record in records if isinstance(record.id, str)}
        finished = asyncio.Event()
        previous = [self._last_by_id[run_id] for run_id in run_ids if run_id in self._last_by_id]
        self._last_by_id.update(dict.fromkeys(run_ids, finished))
        return _Order(run_ids, previous, finished)

    async def process(self, entries: list[Entry], order: _Order) -> None:
        """Report entries after the previous ones of the same ids, and advance the checkpoint."""
        try:
            for event in order.previous:
                await event.wait()
            await self._report(entries)
        finally:
            self.size.release(sum(entry.size for entry in entries))
            order.finished.set()
            for run_id in order.run_ids:
                if self._last_by_id.get(run_id) is order.finished:
                    del self._last_by_id[run_id]
            self.slots.release()

    async def save_periodically(self) -> None:
        """Save the checkpoint twice a second until the task is cancelled."""
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self.checkpoint.save()

    async def _report(self, entries: list[Entry]) -> None:
        reports: dict[int, Report] = {}
        problems: dict[int, str] = {}
        for index, entry in enumerate(entries):
            if entry.problem is not None:
                problems[index] = entry.problem
            elif entry.record is not None:
                try:
                    reports[index] = report_of(entry.record)
                except ValueError as error:
                    problems[index] = str(error)
        results = dict(zip(reports, await self._send(list(reports.values())), strict=True))
        for index, entry in enumerate(entries):
            result = results.get(index)
            if isinstance(result, _REJECTIONS):
                problems[index] = str(result)
            elif isinstance(result, errors.ModuleException):
                raise ImportStopped(result) from None
            is_rejected = index in problems
            counts = self._reject(entry, problems[index]) if is_rejected else Counts(recorded=int(index in reports))
            self._advance(entry.position, counts)

    async def _send(self, reports: list[Report]) -> list[bulk_reports.Result]:
        """Send reports, again if the backend names a time to retry, and return the result of each."""
        end = time.monotonic() + _MAX_RETRY_TIME
        results: dict[int, bulk_reports.Result] = {}
        remaining = list(range(len(reports)))
        while remaining:
            sent = await bulk_reports.asend_all(self.configuration, [reports[index] for index in remaining])
            results.update(zip(remaining, sent, strict=True))
            # A backend that names a time to retry is overloaded, not broken.
            delays = {index: _retry_after(results[index]) for index in remaining}
            remaining = [index for index, delay in delays.items() if delay is not None]
            delay = max((delay for delay in delays.values() if delay is not None), default=0.0)
            if not remaining or time.monotonic() + delay > end:
                break
            await asyncio.sleep(max(delay, _MIN_RETRY_DELAY))
        return [results[index] for index in range(len(reports))]

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


def report_of(record: Record) -> Report:
    """Return the report of a run of a file.

    Raises:
        ValueError: The run has no agent, or a value is invalid.
    """
    if record.agent_id is None:
        raise ValueError("the run must have an agent_id; --agent-id sets it for all runs without one")
    agent_id = parse_id("agent_id", record.agent_id)
    return new_report(agent_id, id=record.id, reported_at=record.reported_at, **record.arguments)


def _retry_after(result: bulk_reports.Result) -> float | None:
    return result.retry_after if isinstance(result, errors.RateLimitedError | errors.ServerError) else None


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


async def _read_in_thread(
    entries: Iterator[Entry], max_ahead: int, size: _SizeLimit, group_size: Callable[[], int]
) -> AsyncIterator[list[Entry]]:
    """Yield groups of entries that a thread reads, so that a slow pipe does not block requests.

    Args:
        entries: entries to read.
        max_ahead: maximum number of entries that are read but not yielded yet.
        size: limit of the size of the unfinished entries; the caller releases each entry.
        group_size: function that returns the maximum number of entries in the next group.
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
        while True:
            group: list[Entry] = []
            item = await queue.get()
            limit = group_size()
            while isinstance(item, Entry):
                group.append(item)
                free_places.release()
                if len(group) >= limit or queue.empty():
                    break
                item = queue.get_nowait()
            if group:
                yield group
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
    finally:
        is_abandoned.set()
        free_places.release()
        size.open()
