"""Reports the entries of a source, many at once, and knows at any moment how far it is done."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import define, evolve, field

from xpander_sdk import errors
from xpander_sdk.client import client, operations
from xpander_sdk.client.operations import Operation
from xpander_sdk.import_export.checkpoint import Checkpoint, Counts
from xpander_sdk.import_export.reader import Entry, Position, UnreadableEntry
from xpander_sdk.import_export.record import Record
from xpander_sdk.reporting.report import new_report
from xpander_sdk.reporting.validation import parse_id
from xpander_sdk.settings.configuration import Configuration

_REFUSED = (errors.InvalidReportError, errors.ConflictError, errors.TooLargeError)
_PATIENCE, _LEAST_WAIT = 600, 0.1  # seconds, with a backend that says when to come again
_SAVE_SECONDS, _SAVE_ENTRIES = 0.5, 100  # whichever comes first


class Stopped(Exception):
    """It goes no further now; the next import continues.

    Attributes:
        error: what the backend said.
    """

    def __init__(self, error: errors.ModuleException) -> None:
        super().__init__(error)
        self.error = error


async def import_runs(
    configuration: Configuration,
    entries: Iterator[Entry],
    side_files: Checkpoint,
    *,
    in_flight: int,
    settled: Callable[[Position, Counts], None],
) -> None:
    """Report every entry; what cannot be, is written down as refused.

    Reports of one id go in the order of the source. `settled` is told after each entry how far it is.

    Raises:
        Stopped: the backend lets nobody in, or does not answer.
        Unreadable: the source breaks off; what stands before that is reported.
    """
    sending = _Sending(configuration, side_files, settled, asyncio.Semaphore(in_flight))
    broken: UnreadableEntry | None = None
    try:
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(sending.keep())
            try:
                async for entry in _read_aside(entries, 2 * in_flight):
                    await sending.slots.acquire()
                    group.create_task(sending.settle(entry, sending.turn(entry)))
            except UnreadableEntry as error:
                broken = error
            finally:
                keeper.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        side_files.save()
    if broken is not None:
        raise broken


@define
class _Sending:
    configuration: Configuration
    side_files: Checkpoint
    settled: Callable[[Position, Counts], None]
    slots: asyncio.Semaphore
    _counts: Counts = field(init=False)
    _done: dict[int, tuple[Position, Counts]] = field(factory=dict)
    _next: int | None = None
    _last: dict[str, asyncio.Event] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._counts = evolve(self.side_files.counts)

    def turn(self, entry: Entry) -> tuple[asyncio.Event | None, asyncio.Event, str | None]:
        """What the entry has to wait for, and what waits for it: those of the same id."""
        if self._next is None:
            self._next = entry.place.number
        run_id = entry.record.id if entry.record is not None and isinstance(entry.record.id, str) else None
        mine = asyncio.Event()
        before = None if run_id is None else self._last.get(run_id)
        if run_id is not None:
            self._last[run_id] = mine
        return before, mine, run_id

    async def settle(self, entry: Entry, turn: tuple[asyncio.Event | None, asyncio.Event, str | None]) -> None:
        before, mine, run_id = turn
        try:
            if before is not None:
                await before.wait()
            self._advance(entry.place, await self._send(entry))
        finally:
            mine.set()
            if run_id is not None and self._last.get(run_id) is mine:
                del self._last[run_id]
            self.slots.release()

    async def _send(self, entry: Entry) -> Counts:
        if entry.problem is not None:
            return self._reject(entry, entry.problem)
        if entry.record is None:
            return Counts()
        try:
            operation = _operation(entry.record)
        except ValueError as error:
            return self._reject(entry, str(error))
        try:
            await self._report(operation)
        except _REFUSED as error:
            return self._reject(entry, str(error))
        except errors.ModuleException as error:
            raise Stopped(error) from None
        return Counts(recorded=1)

    async def _report(self, operation: Operation[Any]) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                await client.asend(self.configuration, operation)
                return
            except (errors.RateLimitedError, errors.ServerError) as error:
                # Who says when to come again is not away.
                if error.retry_after is None or time.monotonic() + error.retry_after > end:
                    raise
                await asyncio.sleep(max(error.retry_after, _LEAST_WAIT))

    def _reject(self, entry: Entry, reason: str) -> Counts:
        self.side_files.reject(entry, reason)
        return Counts(rejected=1)

    def _advance(self, place: Position, change: Counts) -> None:
        """The place that counts is the one before which nothing is open."""
        self._done[place.number] = (place, change)
        assert self._next is not None
        while (found := self._done.pop(self._next, None)) is not None:
            reached, counted = found
            self._counts.recorded += counted.recorded
            self._counts.rejected += counted.rejected
            self.side_files.reached(reached, evolve(self._counts))
            self._next += 1
            if self._next % _SAVE_ENTRIES == 0:
                self.side_files.save()
        self.settled(place, self._counts)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self.side_files.save()


def _operation(record: Record) -> Operation[Any]:
    if record.agent_id is None:
        raise ValueError("it names no agent; --agent-id names one for all that do not")
    agent_id = parse_id("agent_id", record.agent_id)
    return operations.report_task(
        new_report(agent_id, id=record.id, reported_at=record.reported_at, **record.arguments)
    )


async def _read_aside(entries: Iterator[Entry], ahead: int) -> AsyncIterator[Entry]:
    """The entries, read by a thread: a pipe may keep it waiting, while reports are under way."""
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[Entry | Exception | None] = asyncio.Queue()
    room = threading.Semaphore(ahead)
    is_left = threading.Event()

    def hand_over(item: Entry | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(found.put_nowait, item)

    def read() -> None:
        try:
            for entry in entries:
                room.acquire()
                if is_left.is_set():
                    return
                hand_over(entry)
            hand_over(None)
        except Exception as error:
            hand_over(error)

    # A daemon: nobody waits for a pipe that says nothing when the program ends.
    threading.Thread(target=read, name="xpander-import", daemon=True).start()
    try:
        while (item := await found.get()) is not None:
            if isinstance(item, Exception):
                raise item
            room.release()
            yield item
    finally:
        is_left.set()
        room.release()
