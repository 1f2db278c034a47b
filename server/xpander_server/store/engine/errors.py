"""Errors of a store."""


class StoreError(Exception):
    """The store cannot be used: its URL is invalid, its schema is newer, or the file or database is not a store."""


class StoreUnavailable(Exception):
    """The store does not respond at present; the same call may succeed later."""


class QueueFull(StoreUnavailable):
    """Too many reports of the organization wait to be committed."""


class RowLocked(StoreUnavailable):
    """Another transaction holds the lock of a row for longer than this one may wait; the store itself responds."""


def driver_message(error: BaseException) -> str:
    """Return the driver's message without SQLAlchemy's additions, which may contain the values of parameters."""
    return str(getattr(error, "orig", None) or error).strip()
