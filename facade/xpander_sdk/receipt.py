"""Receipt of a report that was submitted to the outbox."""

import logging
from collections.abc import Callable, Generator
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from xpander_sdk._clock import monotonic

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")


class ReceiptState(StrEnum):
    """States of a submitted report.

    Attributes:
        Pending: The outbox keeps the report and will deliver it.
        Delivered: The backend has confirmed the report.
        Dead: The backend rejected the report permanently; the outbox keeps it as a dead letter.
        Dropped: The report was deleted without delivery, to make room or by `Outbox.discard`.
        Unknown: The file that kept the report was removed or set aside, or the report was dropped long ago.
    """

    Pending = "pending"
    Delivered = "delivered"
    Dead = "dead"
    Dropped = "dropped"
    Unknown = "unknown"


class ReceiptStore(Protocol):
    """Source of the state of a report; `outbox.receipts.Receipts` implements it."""

    @property
    def path(self) -> str:
        """Path of the file that keeps the report."""
        ...

    def receipt_state(self, seq: int, salt: bytes) -> str:
        """Return the value of `ReceiptState` for the report `seq` of the file with this salt."""
        ...

    def wait_for_change(self, seconds: float) -> None:
        """Wait until this process has delivered a report or made a dead letter, at most `seconds`."""
        ...


class Receipt(Generic[T]):
    """Confirmation that the outbox has stored a report on disk and will deliver it.

    `Backend.submit_external_task` returns a receipt. `await receipt` waits like `wait` without a timeout, does not
    block the event loop, and returns the state. A receipt can be pickled; a process that restores it reads the state
    from the same path.

    Attributes:
        id: Id of the run.

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

    # A receipt is a handle of a stored report, and a worker sets its task, so a copy would be of no use.

    def __copy__(self) -> "Receipt[T]":
        return self

    def __deepcopy__(self, _: object) -> "Receipt[T]":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Without `convert`, which contains the configuration and thereby the key.
        return _restore, (self._store, self._seq, self._salt, self.id, self._task)

    def __repr__(self) -> str:
        return f"<Receipt {self._seq} of {self.id!r} in {self._store.path!r}>"

    @property
    def path(self) -> str:
        """Absolute path of the file that keeps the report."""
        return self._store.path

    @property
    def state(self) -> ReceiptState:
        """State of the report, read from the file now.

        Raises:
            OutboxError: The file cannot be read.
        """
        if self._task is not None:
            return ReceiptState.Delivered
        return ReceiptState(self._store.receipt_state(self._seq, self._salt))

    @property
    def task(self) -> T | None:
        """Task as the backend returned it, if this process has delivered the report; else None.

        The `input`, `llm_response` and `result` are those of this report if it was delivered together with other runs.
        If another process has delivered the report, `Task.load(receipt.id)` reads the task from the backend.
        """
        return self._task

    def wait(self, timeout: float | None = None) -> ReceiptState:
        """Wait until the report is not pending any more.

        Args:
            timeout: Maximum time to wait, in seconds. Default: no limit.

        Returns:
            The state of the report; `ReceiptState.Pending` after the timeout.

        Raises:
            OutboxError: The file cannot be read.

        Example:
            >>> from xpander_sdk import Backend
            >>> receipt = Backend().submit_external_task(agent_id="agent-123", result="done")
            >>> receipt.wait(timeout=5)
            <ReceiptState.Delivered: 'delivered'>
        """
        deadline = None if timeout is None else monotonic() + timeout
        for pause in _poll_pauses():
            state = self.state
            if state is not ReceiptState.Pending:
                return state
            if deadline is not None:
                pause = min(pause, deadline - monotonic())
                if pause <= 0:
                    return state
            self._store.wait_for_change(pause)
        raise AssertionError("unreachable")

    def __await__(self) -> Generator[Any, None, ReceiptState]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> ReceiptState:
        import anyio

        for pause in _poll_pauses():
            state = self.state
            if state is not ReceiptState.Pending:
                return state
            await anyio.sleep(pause)
        raise AssertionError("unreachable")

    def _set_response(self, response: Any) -> None:
        try:
            self._task = self._convert(response)
        except Exception as error:  # The backend is newer than this client; it has recorded the report anyway.
            _log.debug("the response to %r cannot be converted: %s", self, type(error).__name__)


def _restore(store: ReceiptStore, seq: int, salt: bytes, id: str, task: T | None) -> Receipt[T]:
    receipt: Receipt[T] = Receipt(store, seq, salt, id, _no_conversion)
    receipt._task = task
    return receipt


def _no_conversion(response: Any) -> Any:
    raise TypeError("a receipt that was pickled cannot convert a response")


def _poll_pauses() -> Generator[float, None, None]:
    """Yield pauses in seconds between two reads of the state: short ones first, because most deliveries are fast."""
    pause = 0.002
    while True:
        yield pause
        pause = min(0.1, pause * 1.5)
