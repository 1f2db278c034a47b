"""Refused spans: how many, when and why, for the operator of the programs that sent them.

Exporters of OpenTelemetry ignore that spans were refused. The store has one row for each organization and cause, so the
table is bounded whatever programs send. A cause that has not occurred for `LATELY` starts again from zero.
"""

from collections.abc import Iterable
from typing import Literal

from attrs import asdict, evolve, frozen
from sqlalchemy import Connection, case, select

from xpander_server.clock import DAY
from xpander_server.store.engine.database import Database
from xpander_server.store.engine.dialects import insert_into
from xpander_server.store.engine.limits import WRITE, Limits
from xpander_server.store.schema.tables import span_refusals

LATELY = 7 * DAY
"""Time for which a refusal is shown after it has occurred."""
MAX_REASON = 300
"""Characters of a reason."""

Cause = Literal["invalid_export", "too_large", "media_type", "invalid_spans", "too_many_spans"]


@frozen(kw_only=True)
class SpanRefusal:
    """Refusals with the same cause. Times are microseconds since 1970.

    Attributes:
        organization_id: Organization of the caller.
        cause: What was wrong.
        requests: Number of requests of which spans, or all, were refused.
        spans: Number of refused spans; requests that could not be decoded count none.
        first_at, last_at: Times of the first and of the last refusal.
        reason: Reason of the last refusal, for a human; only printable characters.
    """

    organization_id: str
    cause: Cause
    requests: int
    spans: int
    first_at: int
    last_at: int
    reason: str

    def plus(self, later: "SpanRefusal") -> "SpanRefusal":
        """Return the sum of two refusals with the same cause."""
        requests, spans = self.requests + later.requests, self.spans + later.spans
        return evolve(self, requests=requests, spans=spans, last_at=later.last_at, reason=later.reason)


def new_refusal(organization_id: str, cause: Cause, spans: int, reason: str, now: int) -> SpanRefusal:
    """Return the refusal of one request, with characters that are not printable replaced in its reason."""
    text = reason[:MAX_REASON]
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return SpanRefusal(
        organization_id=organization_id,
        cause=cause,
        requests=1,
        spans=spans,
        first_at=now,
        last_at=now,
        reason=printable,
    )


class SpanRefusalTable:
    """Refused spans of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, refusals: Iterable[SpanRefusal], *, limits: Limits = WRITE) -> None:
        """Add refusals to those of the same organization and cause.

        Raises:
            StoreUnavailable: The database does not respond; nothing is changed.
        """
        rows = [asdict(refusal) for refusal in refusals]
        rows.sort(key=lambda row: (row["organization_id"], row["cause"]))  # prevents deadlocks of two processes
        self._database.write(lambda connection: _add(connection, rows), limits)

    def read(self, organization_id: str, now: int) -> list[SpanRefusal]:
        """Return the refusals of an organization that have occurred lately, the latest first."""
        columns = span_refusals.c
        query = select(span_refusals).where(columns.organization_id == organization_id, columns.last_at >= now - LATELY)
        query = query.order_by(columns.last_at.desc(), columns.cause)
        rows = self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [SpanRefusal(**row) for row in rows]


def _add(connection: Connection, rows: list[dict[str, object]]) -> None:
    statement = insert_into(span_refusals, connection)
    added, stored = statement.excluded, span_refusals.c
    is_old = stored.last_at < added.last_at - LATELY
    changes = {
        "requests": case((is_old, added.requests), else_=stored.requests + added.requests),
        "spans": case((is_old, added.spans), else_=stored.spans + added.spans),
        "first_at": case((is_old, added.first_at), else_=stored.first_at),
        "last_at": added.last_at,
        "reason": added.reason,
    }
    connection.execute(statement.on_conflict_do_update(index_elements=["organization_id", "cause"], set_=changes), rows)
