"""What handing a report to the outbox returns."""

import logging
import time
from collections.abc import Callable, Generator
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")


class ReceiptState(StrEnum):
    """What became of a report.

    `pending`: it is kept, and will be delivered. `delivered`: the backend has it. `dead`: the backend refuses it for
    good; it is kept among the dead letters. `dropped`: it was given up, to make room or by hand. `unknown`: the file
    that it was kept in was removed or set aside, or it was dropped long ago.
    """

    Pending = "pending"
    Delivered = "delivered"
    Dead = "dead"
    Dropped = "dropped"
    Unknown = "unknown"


class ReceiptStore(Protocol):
    """Store that a receipt asks for the state of its report; the outbox implements it."""

    @property
    def path(self) -> str:
        """Path of the file that keeps the report."""
        ...

    def receipt_state(self, seq: int, salt: bytes) -> str:
        """Return the value of `ReceiptState` for the report `seq` of the file with this salt."""
        ...

    def wait_for_change(self, seconds: float) -> None:
        """Wait until this process settles a report, at most `seconds`."""
        ...


class Receipt(Generic[T]):
    """The word of the outbox: the report is on the disk, and will be delivered.

    `await receipt` waits until its fate is decided, without blocking the event loop, and gives the state.

    Attributes:
        id: the run's id.

    Example:
        >>> from xpander_sdk import Backend
        >>> receipt = Backend().submit_external_task(agent_id="agent-123", result="done")
        >>> receipt.state
        <ReceiptState.Pending: 'pending'>
    """

    def __init__(self, store: ReceiptStore, seq: int, salt: bytes, id: str, convert: Callable[[Any], T]) -> None:
        self.id = id
        self._store = store
        self._seq = seq
        self._salt = salt
        self._convert = convert
        self._task: T | None = None

    def _set_response(self, answer: Any) -> None:
        try:
            self._task = self._convert(answer)
        except Exception as error:  # of a backend that is newer than this client: it is recorded all the same
            _log.debug("the answer to %r cannot be read: %s", self, type(error).__name__)

    @property
    def path(self) -> str:
        """The file that the report is kept in."""
        return self._store.path

    def __repr__(self) -> str:
        return f"<Receipt {self._seq} of {self.id!r} in {self._store.path!r}>"

    @property
    def state(self) -> ReceiptState:
        """What became of the report, as the file says now.

        Raises:
            OutboxError: the file cannot be read.
        """
        if self._task is not None:
            return ReceiptState.Delivered
        return ReceiptState(self._store.receipt_state(self._seq, self._salt))

    @property
    def task(self) -> T | None:
        """The task as the backend answered, where this very process delivered the report; else None: `Task.load(id)`
        asks the backend."""
        return self._task

    def wait(self, timeout: float | None = None) -> ReceiptState:
        """Wait until its fate is decided, and return the state; `pending` if `timeout` seconds pass first.

        Args:
            timeout: seconds; None for no limit.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for pause in _pauses():
            state = self.state
            if state is not ReceiptState.Pending:
                return state
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    return state
            self._store.wait_for_change(pause)
        raise AssertionError("unreachable")

    def __await__(self) -> Generator[Any, None, ReceiptState]:
        return self._wait().__await__()

    async def _wait(self) -> ReceiptState:
        import anyio

        for pause in _pauses():
            state = self.state
            if state is not ReceiptState.Pending:
                return state
            await anyio.sleep(pause)
        raise AssertionError("unreachable")


def _pauses() -> Generator[float, None, None]:
    """Seconds between two looks: short ones first, for what goes through at once."""
    pause = 0.002
    while True:
        yield pause
        pause = min(0.1, pause * 1.5)
