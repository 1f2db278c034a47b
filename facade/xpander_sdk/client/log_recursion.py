"""Recognition of reports that a logging handler makes about log records of the SDK.

A program may report each of its log records. A report itself causes records, for example those of httpcore at level
DEBUG, or those of the migration of a new file at level INFO. The handler would report these too, without end:

    Logger.info("hello") → handler → report → httpcore logs → handler → report → httpcore logs → …

The second report of this sequence is not sent. A report of a signal handler that interrupts another one is sent: no
logging frame is between the two.
"""

import logging
import sys
from contextvars import ContextVar

_log = logging.getLogger("xpander_sdk")
_is_active: ContextVar[bool] = ContextVar("is_active", default=False)
_CALL_HANDLERS = logging.Logger.callHandlers.__code__
_ENTRY_MODULES = ("xpander_sdk.client.client", "xpander_sdk.outbox.submission", "xpander_sdk.outbox.worker")
_warned: list[bool] = []


class sdk_work:  # noqa: N801  (a context manager)
    """Mark that the SDK sends or stores, from the creation of the object until `end`, or the end of its `with` block.

    The log records of this time are the SDK's own. (contextlib's decorator would take four times as long.)
    """

    def __init__(self) -> None:
        self._token = _is_active.set(True)

    def end(self) -> None:
        """End the mark."""
        _is_active.reset(self._token)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.end()


def is_about_own_logs() -> bool:
    """Return whether the caller's caller runs because of a log record that the SDK caused."""
    if not _is_active.get() or not _is_called_by_logging():
        return False
    if not _warned:
        _warned.append(True)
        _log.warning(
            "a logging handler reports log records that a report has caused; such reports are not sent. Exclude the "
            "loggers xpander_sdk, httpcore and alembic from the handler"
        )
    return True


def _is_called_by_logging() -> bool:
    """Return whether logging called this function since the SDK began its work.

    Without either, the caller is a task that a logging handler started: it has inherited the mark.
    """
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code is _CALL_HANDLERS:
            return True
        if frame.f_globals.get("__name__") in _ENTRY_MODULES:
            return False
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return True
