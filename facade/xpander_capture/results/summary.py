"""Summary of a framework's result."""

from dataclasses import dataclass, field
from typing import Any

from xpander_capture.responses import ResponseSummary


@dataclass(frozen=True, kw_only=True)
class ResultSummary:
    """Facts that the result of a framework states about its run.

    Attributes:
        output: The answer: text, or data of the program's own type.
        summaries: Summary of each model call; one that has the sum where the result has no single calls.
        costs: Cost of each summary in US dollars, as the framework states it; None for unknown.
        tool_names: Names of the called tools, one entry per call.
        error: Reason why the run has failed; None if it has not.
        is_paused: Whether the run waits for a person or another program before it continues.
    """

    output: Any = field(default=None, repr=False)
    summaries: tuple[ResponseSummary, ...] = ()
    costs: tuple[float | None, ...] = ()
    tool_names: tuple[str, ...] = ()
    error: str | None = None
    is_paused: bool = False

    @property
    def text(self) -> str | None:
        """The answer, if it is a text."""
        return self.output if isinstance(self.output, str) else None
