"""Outcome of a run by the way in which its code ended.

way                                                outcome       reason
return                                             success       what the program and the recorded results state
generator that its consumer abandons               success       the consumer has enough
SystemExit with code None or 0                     success       the program ends as intended
interrupt of LangGraph (GraphBubbleUp)             in progress   a person or program must answer before it continues
any other exception: also cancellation,            failure       its type and text
KeyboardInterrupt, SystemExit with another code
"""

from typing import NamedTuple


class End(NamedTuple):
    """Outcome of a run.

    Attributes:
        is_success: True for success, False for failure, None for a run in progress.
        error: Reason of a failure.
    """

    is_success: bool | None
    error: str | None = None


def end_of(error: BaseException | None) -> End:
    """Return the outcome of code that ended with this exception, or without one."""
    if error is None or isinstance(error, GeneratorExit):
        return End(True)
    if isinstance(error, SystemExit) and (error.code is None or error.code == 0):
        return End(True)
    if any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__):
        return End(None)
    return End(False, describe_error(error))


def describe_error(error: BaseException) -> str:
    """Return the type and the text of an exception."""
    name = type(error).__qualname__
    try:
        text = str(error)
    except Exception:  # the caller's __str__ failed
        return name
    return f"{name}: {text}" if text else name
