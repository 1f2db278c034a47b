"""What may go wrong with a store."""


class StoreError(Exception):
    """The store cannot be used as it is: a bad URL, a newer schema, a file that is no store."""


class StoreUnavailable(Exception):
    """The store does not answer now; the same call may succeed later."""


def cause(error: BaseException) -> str:
    """What the driver says, without SQLAlchemy's additions (which may hold what was sent)."""
    return str(getattr(error, "orig", None) or error).strip()
