"""What the file holds, as values. Times are microseconds since 1970 (UTC)."""

from attrs import field, frozen

from xpander_sdk.reporting.report import Report


@frozen
class Destination:
    """Where reports go, and with whose key; never the key itself."""

    id: int
    base_url: str
    organization_id: str | None
    credentials: str
    failures: int = 0
    next_at: int = 0
    trouble: str | None = None

    @property
    def name(self) -> tuple[str, str, str]:
        """What tells it from all others, in whichever file."""
        return self.base_url, self.organization_id or "", self.credentials


@frozen
class Batch:
    """What waits of one run, oldest first: taken by one holder, to be sent as one report."""

    turn: str
    """What the file calls this taking of it."""
    target: Destination
    task_id: str
    seqs: list[int]
    reports: list[Report]
    attempts: int
    """How often it failed before."""
    others: int
    """How many other reports wait."""


@frozen(kw_only=True)
class DeadLetter:
    """A report that its backend refused for good. Times are microseconds since 1970 (UTC)."""

    seq: int
    base_url: str
    agent_id: str
    task_id: str
    accepted_at: int
    died_at: int
    status: int | None
    answer: str
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class OutboxStats:
    """The books of an outbox: accepted = delivered + pending + dead + the sum of dropped.

    Attributes:
        merged: how many of the delivered ones went out as part of a later report of the same run.
        dropped: reports that were given up, by reason.
        pending_bytes: what the pending ones take, about.
        oldest: when the oldest pending one was accepted, microseconds since 1970 (UTC); None where none is.
    """

    accepted: int
    delivered: int
    merged: int
    pending: int
    dead: int
    dropped: dict[str, int]
    pending_bytes: int
    dead_bytes: int
    oldest: int | None
    targets: list[Destination]
