"""Model of the queue: the content that its file must have after each operation."""

from attrs import define, field

from outbox.helpers import SECOND
from xpander_sdk.outbox.policy import MAX_WAIT
from xpander_sdk.outbox.storage.models import Batch
from xpander_sdk.outbox.storage.schema import REPORT_OVERHEAD_BYTES
from xpander_sdk.reporting.report import Report

MAX_REPORTS = 8
MAX_BYTES = 8 * REPORT_OVERHEAD_BYTES + 400
MAX_DEAD = (3, 4 * REPORT_OVERHEAD_BYTES)
MAX_BATCH_REPORTS = 4
MAX_BATCH_BYTES = 120
MAX_CLAIM_BYTES = 200
LEASE = 35 * SECOND
OWNERS = ("owner-1", "owner-2")
URLS = ("http://one", "http://two")
RUNS = ("run-1", "run-2", "run-3")
DROP_REASONS = {"full", "dead letters full", "discarded"}

Run = tuple[int, str]  # destination and task
StoredReports = dict[int, tuple[int, Report]]  # destination and report by sequence number


@define
class Lease:
    """A row of the table `leases`."""

    lease_id: str | None = None
    expires_at: int = 0
    failed_attempts: int = 0
    next_attempt_at: int = 0
    isolate_through_seq: int = 0


@define
class DestinationState:
    failures: int = 0
    next_attempt_at: int = 0
    probe_lease_id: str | None = None


@define
class Claim:
    """A batch that an owner is sending; `is_lost` if its lease has ended without its knowledge."""

    owner: str
    batch: Batch
    expires_at: int
    is_lost: bool = False

    @property
    def run(self) -> Run:
        return self.batch.destination.id, self.batch.task_id


@define
class Model:
    """Expected content of the file."""

    pending: StoredReports = field(factory=dict)
    dead: StoredReports = field(factory=dict)
    dropped: dict[int, str] = field(factory=dict)
    delivered: set[int] = field(factory=set)
    merged: int = 0
    leases: dict[Run, Lease] = field(factory=dict)
    destinations: dict[int, DestinationState] = field(factory=dict)
    claims: list[Claim] = field(factory=list)

    def pending_runs(self, destination_id: int) -> list[Run]:
        """Return the runs with pending reports at a destination, the run with the oldest report first."""
        reports = [report for _, (at, report) in sorted(self.pending.items()) if at == destination_id]
        return list(dict.fromkeys((destination_id, report.id) for report in reports))

    def is_due(self, run: Run, now: int) -> bool:
        lease = self.leases.get(run, Lease())
        return not (is_in_force(lease.expires_at, now) or is_in_force(lease.next_attempt_at, now))

    def next_run(self, destination_ids: list[int], now: int) -> Run | None:
        """Return the run that the next claim takes."""
        for destination_id in destination_ids:
            destination = self.destinations.get(destination_id)
            if destination is not None and not is_in_force(destination.next_attempt_at, now):
                for run in self.pending_runs(destination_id):
                    if self.is_due(run, now):
                        return run
        return None

    def batch_seqs(self, run: Run) -> list[int]:
        """Return the sequence numbers of the reports that the next claim of a run merges."""
        isolate_through_seq = self.leases.get(run, Lease()).isolate_through_seq
        reports = [(seq, report) for seq, (at, report) in sorted(self.pending.items()) if (at, report.id) == run]
        seqs: list[int] = []
        for seq, report in reports[:MAX_BATCH_REPORTS]:
            size = sum(len(self.pending[each][1].content) for each in [*seqs, seq])
            is_other_agent = report.agent_id != reports[0][1].agent_id
            if seqs and (is_other_agent or size > MAX_BATCH_BYTES or seqs[0] <= isolate_through_seq):
                break
            seqs.append(seq)
        return seqs

    def runs_to_claim(self, run: Run, now: int, max_runs: int) -> dict[Run, list[int]]:
        """Return the runs that a claim takes together, `run` first, with the sequence numbers of their reports."""
        if max_runs == 1 or self.destinations[run[0]].failures:
            return {run: self.batch_seqs(run)}
        chosen: dict[Run, list[int]] = {}
        complete: set[Run] = set()
        size = 0
        for seq, (at, report) in sorted(self.pending.items()):
            each = (at, report.id)
            if at != run[0] or not self.is_due(each, now):
                continue
            size += len(report.content)
            if chosen and size > MAX_CLAIM_BYTES:
                return chosen
            lease = self.leases.get(each, Lease())
            is_isolated = seq <= lease.isolate_through_seq
            if each not in chosen:
                attempts = [self.leases.get(other, Lease()).failed_attempts for other in (*chosen, each)]
                limit = max(1, max_runs // 4 ** max(attempts))
                if chosen and (is_isolated or len(chosen) >= limit):
                    return chosen
                chosen[each] = [seq]
                if is_isolated:
                    return chosen
                continue
            first = self.pending[chosen[each][0]][1]
            if len(chosen[each]) >= MAX_BATCH_REPORTS or report.agent_id != first.agent_id:
                complete.add(each)
            if each not in complete:
                chosen[each].append(seq)
        return chosen

    def has_lease(self, claim: Claim) -> bool:
        lease = self.leases.get(claim.run)
        return lease is not None and lease.lease_id == claim.batch.lease_id

    def end_lease(self, claim: Claim) -> None:
        if self.has_lease(claim):
            isolate_through_seq = self.leases[claim.run].isolate_through_seq
            if isolate_through_seq > claim.batch.seqs[-1]:
                self.leases[claim.run] = Lease(isolate_through_seq=isolate_through_seq)
            else:
                del self.leases[claim.run]
        self.delete_lease_without_reports(claim.run)

    def delete_lease_without_reports(self, run: Run) -> None:
        if run not in self.pending_runs(run[0]):
            self.leases.pop(run, None)

    def release_lease(self, run: Run) -> None:
        self.leases[run].lease_id, self.leases[run].expires_at = None, 0

    def end_probe(self, destination_id: int) -> None:
        destination = self.destinations[destination_id]
        destination.next_attempt_at, destination.probe_lease_id = 0, None

    def mark_as_working(self, claim: Claim) -> None:
        if claim.batch.destination.failures:
            self.destinations[claim.run[0]] = DestinationState()

    def delete_oldest_dead_letters(self) -> None:
        while len(self.dead) > 1 and (len(self.dead) > MAX_DEAD[0] or size_of(self.dead) > MAX_DEAD[1]):
            oldest = min(self.dead)
            del self.dead[oldest]
            self.dropped[oldest] = "dead letters full"

    def drop(self, seqs: set[int]) -> None:
        runs = set()
        for seq in seqs:
            destination_id, report = self.pending.pop(seq)
            runs.add((destination_id, report.id))
            self.dropped[seq] = "full"
        for run in runs:
            self.delete_lease_without_reports(run)


def is_in_force(time: int, now: int) -> bool:
    return now < time <= now + MAX_WAIT


def size_of(reports: StoredReports) -> int:
    return sum(len(report.content) + REPORT_OVERHEAD_BYTES for _, report in reports.values())
