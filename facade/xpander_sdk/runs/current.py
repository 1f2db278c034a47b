"""The current run of a thread or task.

A block of code can leave its context in another order than it entered it: a generator that opens a run stops in the
middle of its block, and its consumer continues in the same context. `leave` therefore restores the outer run only where
the run is still the current one, and never restores a run that has ended.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpander_sdk.runs.run import Run

current: "ContextVar[Run | None]" = ContextVar("current_run", default=None)


def enter(run: "Run") -> "Run | None":
    """Make a run the current one, and return the one that was current before.

    Args:
        run: The run whose block or step begins.
    """
    outer = current.get()
    current.set(run)
    if run._tracker is not None:
        run._tracker.enter_span(run)
    return outer


def leave(run: "Run", outer: "Run | None") -> None:
    """Make the outer run the current one again, if `run` is the current one.

    Args:
        run: The run whose block or step ends.
        outer: The run that was current when it began.
    """
    if run._tracker is not None:
        run._tracker.leave_span()
    if current.get() is run:
        while outer is not None and outer.has_ended:
            outer = outer.outer
        current.set(outer)
