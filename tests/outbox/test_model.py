"""Random sequences of operations on the queue, compared with a simple model after every step."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from outbox.helpers import HOUR, SECOND, Clock, assert_balanced, make_report, store_at
from outbox.queue_model import (
    DROP_REASONS,
    LEASE,
    MAX_BATCH_BYTES,
    MAX_BATCH_REPORTS,
    MAX_BYTES,
    MAX_CLAIM_BYTES,
    MAX_DEAD,
    MAX_REPORTS,
    OWNERS,
    RUNS,
    URLS,
    Claim,
    DestinationState,
    Lease,
    Model,
    Run,
    is_in_force,
    size_of,
)
from xpander_sdk import OutboxFullError
from xpander_sdk.outbox.policy import MAX_WAIT
from xpander_sdk.outbox.storage import run_selection
from xpander_sdk.outbox.storage.models import Batch
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.schema import REPORT_OVERHEAD_BYTES
from xpander_sdk.outbox.storage.stats import Counters, DeadLetters


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = Clock(1_800_000_000 * SECOND)
        self.model = Model()
        self.stores: dict[str, QueueStore] = {}
        self.reported_at = 0
        self.open()

    def open(self) -> None:
        # Each owner represents a process, with its own connection.
        for name in (*OWNERS, "writer"):
            if name in self.stores:
                self.stores[name].database.close()
            self.stores[name] = store_at(self.path, self.clock)
        self.writer = self.stores["writer"]
        self.counters = Counters(self.writer.database)
        self.dead_letters = DeadLetters(self.writer.database)

    def teardown(self) -> None:
        for store in self.stores.values():
            store.database.close()
        self.folder.cleanup()

    # Adding reports

    @rule(
        url=st.sampled_from(URLS),
        run=st.sampled_from(RUNS),
        agent=st.sampled_from(["agent-1", "agent-1", "agent-1", "agent-2"]),
        text=st.text("ab", max_size=50),
        drop_oldest=st.booleans(),
    )
    def put(self, url: str, run: str, agent: str, text: str, drop_oldest: bool) -> None:
        model = self.model
        self.reported_at += 1
        report = make_report(run, self.reported_at, agent, result=text)
        size = len(report.content) + REPORT_OVERHEAD_BYTES
        has_room = len(model.pending) < MAX_REPORTS and size_of(model.pending) + size <= MAX_BYTES
        leased = {seq for seq, (at, pending) in model.pending.items() if self._has_active_lease((at, pending.id))}
        try:
            seq = self.writer.put(
                lambda salt: (url, "", "key:1"),
                report,
                max_reports=MAX_REPORTS,
                max_bytes=MAX_BYTES,
                drop_oldest=drop_oldest,
            )
        except OutboxFullError:
            assert not has_room
            if drop_oldest:  # Only reports that an owner is sending are left.
                dropped = set(model.pending) - self._seqs_in("reports")
                assert set(model.pending) - dropped == leased
                model.drop(dropped)
            return
        assert has_room or drop_oldest
        assert seq > max([*model.pending, *model.dead, *model.dropped, *model.delivered, 0])
        dropped = set(model.pending) - self._seqs_in("reports")
        assert not dropped or not has_room
        assert not dropped & leased, "a report with an active lease was dropped"
        kept = set(model.pending) - dropped - leased
        assert not dropped or not kept or max(dropped) < min(kept), "a newer report was dropped before an older one"
        model.drop(dropped)
        destination_id = next(each.id for each in self.writer.destinations() if each.base_url == url)
        model.destinations.setdefault(destination_id, DestinationState())
        model.pending[seq] = (destination_id, report)

    def _has_active_lease(self, run: Run) -> bool:
        return is_in_force(self.model.leases.get(run, Lease()).expires_at, self.clock.now)

    # Claims and their outcomes

    @rule(
        owner=st.sampled_from(OWNERS),
        order=st.permutations([1, 2, 3]),
        max_runs=st.dictionaries(st.sampled_from([1, 2]), st.sampled_from([1, 2, 8])),
    )
    def claim(self, owner: str, order: list[int], max_runs: dict[int, int]) -> None:
        model, now = self.model, self.clock.now
        first = model.next_run(order, now)
        batches = self.stores[owner].claim_together(owner, order, LEASE, max_runs)
        if first is None:
            assert batches == []
            return
        expected = model.runs_to_claim(first, now, max_runs.get(first[0], 1))
        assert {(batch.destination.id, batch.task_id): batch.seqs for batch in batches} == expected
        assert len({batch.lease_id for batch in batches}) == 1
        claimed = sum(len(batch.seqs) for batch in batches)
        for batch in batches:
            assert batch.other_pending == len(model.pending) - claimed
            self._add_claim(owner, batch)

    def _add_claim(self, owner: str, batch: Batch) -> None:
        model, now = self.model, self.clock.now
        expected = batch.destination.id, batch.task_id
        for claim in model.claims:
            if claim.run == expected:
                assert claim.is_lost or not is_in_force(claim.expires_at, now), "two owners have a lease of one run"
                claim.is_lost = True
        assert batch.reports == [model.pending[seq][1] for seq in batch.seqs]
        lease = model.leases.setdefault(expected, Lease())
        assert batch.failed_attempts == lease.failed_attempts
        lease.lease_id, lease.expires_at = batch.lease_id, now + LEASE
        destination = model.destinations[expected[0]]
        assert batch.destination.failures == destination.failures
        if destination.failures:
            destination.next_attempt_at, destination.probe_lease_id = now + LEASE, batch.lease_id
        model.claims.append(Claim(owner, batch, now + LEASE))

    def _finish_claim(self, data: Any) -> Claim:
        claim: Claim = data.draw(st.sampled_from(self.model.claims))
        self.model.claims.remove(claim)
        return claim

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def delivered(self, data: Any) -> None:
        claim, model = self._finish_claim(data), self.model
        self.stores[claim.owner].delivered(claim.batch)
        deleted = [seq for seq in claim.batch.seqs if model.pending.pop(seq, None)]
        model.delivered |= set(deleted)
        model.merged += max(0, len(deleted) - 1)
        model.end_lease(claim)
        model.mark_as_working(claim)

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def delivered_together(self, data: Any) -> None:
        """Settle all batches of one request that no other outcome has settled."""
        first, model = self._finish_claim(data), self.model
        lease_id = first.batch.lease_id
        others = [claim for claim in model.claims if claim.batch.lease_id == lease_id]
        model.claims = [claim for claim in model.claims if claim.batch.lease_id != lease_id]
        self.stores[first.owner].delivered_together([claim.batch for claim in (first, *others)])
        for claim in (first, *others):
            deleted = [seq for seq in claim.batch.seqs if model.pending.pop(seq, None)]
            model.delivered |= set(deleted)
            model.merged += max(0, len(deleted) - 1)
            model.end_lease(claim)
        model.mark_as_working(first)

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def isolate(self, data: Any) -> None:
        claim, model = self._finish_claim(data), self.model
        self.stores[claim.owner].isolate([claim.batch])
        if model.has_lease(claim):
            model.release_lease(claim.run)
            model.leases[claim.run].isolate_through_seq = claim.batch.seqs[-1]

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def refused(self, data: Any) -> None:
        claim, model = self._finish_claim(data), self.model
        seqs = claim.batch.seqs
        is_dead = self.stores[claim.owner].refused(claim.batch, 422, "no", max_dead=MAX_DEAD)
        if not model.has_lease(claim):
            assert not is_dead
            return
        model.mark_as_working(claim)
        assert is_dead == (len(seqs) == 1 and seqs[0] in model.pending)
        if len(seqs) > 1:
            model.release_lease(claim.run)
            model.leases[claim.run].isolate_through_seq = seqs[-1]
            return
        if is_dead:
            model.dead[seqs[0]] = model.pending.pop(seqs[0])
        model.end_lease(claim)
        model.delete_oldest_dead_letters()

    @precondition(lambda self: self.model.claims)
    @rule(
        data=st.data(),
        run_wait=st.integers(0, HOUR),
        destination_wait=st.none() | st.integers(0, MAX_WAIT),
    )
    def reschedule(self, data: Any, run_wait: int, destination_wait: int | None) -> None:
        claim, model, now = self._finish_claim(data), self.model, self.clock.now
        self.stores[claim.owner].reschedule(
            claim.batch, "unavailable", run_wait=run_wait, destination_wait=destination_wait
        )
        if model.has_lease(claim):
            model.release_lease(claim.run)
            model.leases[claim.run].next_attempt_at = now + run_wait
            model.leases[claim.run].failed_attempts += 1
        if destination_wait is None:
            model.mark_as_working(claim)
            return
        destination = model.destinations[claim.run[0]]
        is_probe = destination.probe_lease_id == claim.batch.lease_id
        if is_probe or destination.next_attempt_at > now + MAX_WAIT:
            destination.next_attempt_at = now + destination_wait
        else:
            destination.next_attempt_at = max(destination.next_attempt_at, now + destination_wait)
        destination.failures += destination.failures == claim.batch.destination.failures
        destination.probe_lease_id = None if is_probe else destination.probe_lease_id

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def release_lease(self, data: Any) -> None:
        claim, model = self._finish_claim(data), self.model
        self.stores[claim.owner].release_lease(claim.batch)
        if model.has_lease(claim):
            model.release_lease(claim.run)
        if model.destinations[claim.run[0]].probe_lease_id == claim.batch.lease_id:
            model.end_probe(claim.run[0])

    # Events of processes, clocks and files

    @rule(owner=st.sampled_from(OWNERS))
    def crash(self, owner: str) -> None:
        """End an owner; its leases stay until they expire."""
        self.model.claims = [claim for claim in self.model.claims if claim.owner != owner]
        self.stores[owner].database.close()

    @rule(owner=st.sampled_from(OWNERS))
    def stop(self, owner: str) -> None:
        """Release all leases of an owner; it may still get the responses of calls that are in progress."""
        model = self.model
        self.stores[owner].release_owner(owner)
        for run, lease in model.leases.items():
            if lease.lease_id is not None and lease.lease_id.startswith(owner):
                model.release_lease(run)
        for destination_id, destination in model.destinations.items():
            if destination.probe_lease_id is not None and destination.probe_lease_id.startswith(owner):
                model.end_probe(destination_id)
        for claim in model.claims:
            claim.is_lost |= claim.owner == owner

    @rule(destination_ids=st.sets(st.sampled_from([1, 2, 3])))
    def reset_backoff(self, destination_ids: set[int]) -> None:
        self.writer.reset_backoff(sorted(destination_ids))
        for destination_id in destination_ids & set(self.model.destinations):
            self.model.end_probe(destination_id)
            for run, lease in self.model.leases.items():
                if run[0] == destination_id:
                    lease.next_attempt_at = 0

    @rule(seconds=st.sampled_from([0.000001, 1, 34, 36, 300, 3_700]))
    def advance_clock(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1, 60, 3_000, 86_400]))
    def set_clock_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)

    @rule()
    def reopen_all(self) -> None:
        self.open()

    # Dead letters

    @rule(seqs=st.none() | st.lists(st.integers(1, 30), max_size=4))
    def revive(self, seqs: list[int] | None) -> None:
        chosen = set(self.model.dead) if seqs is None else set(seqs) & set(self.model.dead)
        assert self.dead_letters.revive(seqs) == len(chosen)
        for seq in chosen:
            self.model.pending[seq] = self.model.dead.pop(seq)

    @rule(seqs=st.none() | st.lists(st.integers(1, 30), max_size=4))
    def discard(self, seqs: list[int] | None) -> None:
        chosen = set(self.model.dead) if seqs is None else set(seqs) & set(self.model.dead)
        assert self.dead_letters.discard(seqs) == len(chosen)
        for seq in chosen:
            del self.model.dead[seq]
            self.model.dropped[seq] = "discarded"

    # Invariants

    @invariant()
    def counters_equal_the_model(self) -> None:
        stats = assert_balanced(self.counters.stats())
        model = self.model
        assert (stats.pending, stats.dead, stats.delivered, stats.merged) == (
            len(model.pending),
            len(model.dead),
            len(model.delivered),
            model.merged,
        )
        assert set(stats.dropped) <= DROP_REASONS
        assert {reason: list(model.dropped.values()).count(reason) for reason in stats.dropped} == stats.dropped
        assert sum(stats.dropped.values()) == len(model.dropped)
        assert stats.pending_bytes == size_of(model.pending)
        assert stats.dead_bytes == size_of(model.dead)

    @invariant()
    def each_report_has_exactly_one_state(self) -> None:
        model = self.model
        assert self._seqs_in("reports") == set(model.pending)
        assert self._seqs_in("dead_letters") == set(model.dead)
        assert self._seqs_in("dropped_reports") == set(model.dropped)
        for state, seqs in (
            ("pending", model.pending),
            ("dead", model.dead),
            ("dropped", model.dropped),
            ("delivered", model.delivered),
        ):
            for seq in seqs:
                assert self.counters.report_state(seq) == state

    @invariant()
    def leases_equal_the_model(self) -> None:
        rows = self.writer.database.fetch(
            "SELECT destination_id, task_id, lease_id, expires_at, failed_attempts, next_attempt_at,"
            " isolate_through_seq FROM leases"
        )
        assert {(destination_id, run): Lease(*rest) for destination_id, run, *rest in rows} == self.model.leases
        pending_runs = {
            run for destination_id in self.model.destinations for run in self.model.pending_runs(destination_id)
        }
        assert set(self.model.leases) <= pending_runs, "a lease without pending reports was kept"

    @invariant()
    def next_attempt_is_due_exactly_if_a_claim_succeeds(self) -> None:
        next_attempt_at = self.writer.delivery_state([1, 2, 3]).next_attempt_at
        is_due = self.model.next_run([1, 2, 3], self.clock.now) is not None
        assert (next_attempt_at is not None and next_attempt_at <= self.clock.now) == is_due
        assert (next_attempt_at is None) == (not self.model.pending)

    @invariant()
    def reports_are_being_sent_while_a_lease_is_active(self) -> None:
        is_leased = any(self._has_active_lease((at, report.id)) for at, report in self.model.pending.values())
        assert self.writer.delivery_state([1, 2, 3]).has_active_lease == is_leased

    def _seqs_in(self, table: str) -> set[int]:
        return {seq for (seq,) in self.writer.database.fetch(f"SELECT seq FROM {table}")}


def test_queue_equals_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_selection, "MAX_BATCH_REPORTS", MAX_BATCH_REPORTS)
    monkeypatch.setattr(run_selection, "MAX_BATCH_BYTES", MAX_BATCH_BYTES)
    monkeypatch.setattr(run_selection, "MAX_CLAIM_BYTES", MAX_CLAIM_BYTES)
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
