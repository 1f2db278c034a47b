"""Values read from the outbox file. All times are microseconds since 1970-01-01 UTC."""

from attrs import field, frozen

from xpander_sdk.reporting.report import Report

DestinationKey = tuple[str, str, str]
"""Base URL, organization id ("" for none) and credentials reference of a destination."""


@frozen
class Destination:
    """A backend, an organization and a credentials reference, with the delivery state that they share.

    Attributes:
        id: Row id; valid only in the file that it was read from.
        base_url: URL of the backend, without credentials.
        organization_id: Organization that owns the reports; None if the key determines it.
        credentials: Reference to the key, never the key itself; `outbox.keyring` defines its format.
        failures: Failures in a row that the destination is to blame for; 0 while it works.
        next_attempt_at: Time in microseconds before which nothing is sent, or 0 if reports may be sent now.
        last_error: Error of the last failure; None while the destination works.
    """

    id: int
    base_url: str
    organization_id: str | None
    credentials: str
    failures: int = 0
    next_attempt_at: int = 0
    last_error: str | None = None

    @property
    def key(self) -> DestinationKey:
        """Values that identify the destination in every file."""
        return self.base_url, self.organization_id or "", self.credentials


@frozen(kw_only=True)
class DeliveryState:
    """State of the pending reports of some destinations at one moment.

    Attributes:
        has_active_lease: True while any process is sending one of them.
        next_attempt_at: Time when one may be due; None if none is pending.
    """

    has_active_lease: bool
    next_attempt_at: int | None


@frozen
class Batch:
    """Pending reports of one run, oldest first, leased to one owner and sent as one report.

    Attributes:
        lease_id: Identifier of the lease: the owner, "/" and a UUID. Batches that were leased together share it.
        destination: Destination as read when the lease was taken.
        task_id: Id of the run.
        seqs: Sequence numbers of the reports.
        reports: The reports, in the order of `seqs`.
        failed_attempts: Number of earlier attempts that failed.
        other_pending: Number of pending reports outside the batches that were leased together, at all destinations.
    """

    lease_id: str
    destination: Destination
    task_id: str
    seqs: list[int]
    reports: list[Report]
    failed_attempts: int
    other_pending: int


@frozen(kw_only=True)
class DeadLetter:
    """A report that its backend rejected permanently.

    `Outbox.dead` returns dead letters; `Outbox.retry` delivers them again, and `Outbox.discard` deletes them.

    Attributes:
        seq: Sequence number of the report; `Outbox.retry` and `Outbox.discard` accept it.
        base_url: URL of the backend that rejected the report.
        agent_id: Agent of the run.
        task_id: Id of the run.
        accepted_at: Time when the outbox stored the report, in microseconds since 1970-01-01 UTC.
        died_at: Time when the backend rejected the report, in microseconds since 1970-01-01 UTC.
        status: HTTP status code of the rejection; None if the backend sent no response.
        error: Error text of the rejection, at most 2,000 characters.
        body: The report as JSON, encoded as UTF-8.
    """

    seq: int
    base_url: str
    agent_id: str
    task_id: str
    accepted_at: int
    died_at: int
    status: int | None
    error: str
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class OutboxStats:
    """Counters of an outbox file, over all processes that use it.

    `accepted` always equals `delivered` + `pending` + `dead` + the sum of `dropped`.

    Attributes:
        accepted: Number of reports that were stored since the file was created.
        delivered: Number of reports that a backend confirmed.
        merged: Number of delivered reports that were sent as part of a later report of the same run.
        pending: Number of reports that wait for delivery.
        dead: Number of dead letters.
        dropped: Number of reports that were deleted without delivery, by reason: "full" (`when_full="drop_oldest"`
            made room), "dead letters full" (the limit for dead letters was reached) or "discarded".
        pending_bytes: Approximate size of the pending reports in bytes.
        dead_bytes: Approximate size of the dead letters in bytes.
        oldest: Time when the oldest pending report was stored, in microseconds since 1970-01-01 UTC; None if no
            report is pending.
        destinations: All destinations that reports were ever stored for, with their delivery state.
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
    destinations: list[Destination]
