"""Spans that wait to be stored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from xpander_capture.spans import SpanSummary


@frozen
class StoredSpan:
    """Summary of a span, and its JSON text."""

    summary: "SpanSummary"
    text: str


@frozen
class SpanBatch:
    """Spans of one request.

    Attributes:
        organization_id: Organization of the caller.
        spans: The spans.
        agent_id: Agent of runs that their spans do not name; None for none.
        now: Time of arrival, in microseconds since 1970.
    """

    organization_id: str
    spans: Sequence[StoredSpan]
    agent_id: str | None
    now: int

    @property
    def size(self) -> int:
        """The number of characters of the spans."""
        return sum(len(span.text) for span in self.spans) + 100
