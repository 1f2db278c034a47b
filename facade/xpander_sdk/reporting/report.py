"""Report of a run: the body of the request, and the time at which it was made."""

import time
from typing import Any

from xpander_sdk._records import field, frozen
from xpander_sdk.reporting import fields, plain_json


@frozen(kw_only=True)
class Report:
    """Immutable data about one run. Sending it several times has the effect of sending it once.

    Attributes:
        agent_id: The agent that executed the run.
        id: The id of the run.
        reported_at: Time of the report, in microseconds since 1970 (UTC). Of two reports of one run the later one wins.
        content: Body of the request, as JSON.
        extended_fields: Fields of the body that not every backend supports; None if they are not known.
        source: A body, and the values that it was encoded from; None if they are not known.
    """

    agent_id: str
    id: str
    reported_at: int
    content: bytes = field(repr=False)
    extended_fields: frozenset[str] | None = field(default=None, eq=False, repr=False)
    source: tuple[bytes, dict[str, Any]] | None = field(default=None, eq=False, repr=False)

    @property
    def values(self) -> dict[str, Any] | None:
        """The values that `content` was encoded from, by field; None if they are not known.

        All of them equal the decoded content, except `llm_response`, which may be the caller's own object.
        """
        # A copy of the report may have another content.
        return self.source[1] if self.source is not None and self.source[0] is self.content else None


def new_report(agent_id: str, *, reported_at: int | None = None, **arguments: Any) -> Report:
    """Return a report.

    Args:
        agent_id: The validated id of the agent.
        reported_at: Time of the report, in microseconds since 1970 (UTC). Default: now.
        **arguments: Fields of the report: those of `fields.ImportFields`.

    Raises:
        ValueError: An argument is invalid. The text names it.
        TypeError: An argument is unknown.
    """
    values = fields.parse(arguments)
    if reported_at is None:
        reported_at = _now()
    content = plain_json.encode(values)
    return Report(
        agent_id=agent_id,
        id=values["id"],
        reported_at=reported_at,
        content=content,
        extended_fields=fields.extended_names().intersection(values),
        source=(content, values),
    )


_latest = 0


def _now() -> int:
    # Strictly increasing within a process, even if the clock is set back: of two reports of one run the later one wins.
    global _latest
    _latest = max(_latest + 1, time.time_ns() // 1_000)
    return _latest
