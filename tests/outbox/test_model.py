"""The file against a simple model of it: whatever happens in whatever order, the books balance after every step."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from outbox.parts import HOUR, SECOND, Clock, balanced, file_at, report
from xpander_sdk import OutboxFullError
from xpander_sdk.outbox.policy import MAX_WAIT
from xpander_sdk.outbox.storage import queue_store as queue_file
from xpander_sdk.outbox.storage.models import Batch
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.schema import REPORT_OVERHEAD_BYTES
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.reporting.report import Report

MAX_REPORTS = 8
MAX_BYTES = 8 * REPORT_OVERHEAD_BYTES + 400
MAX_DEAD = (3, 4 * REPORT_OVERHEAD_BYTES)
MAX_BATCH_REPORTS = 4
MAX_BATCH_BYTES = 120
HOLD = 35 * SECOND
HOLDERS = ("holder-1", "holder-2")
TARGETS = ("http://one", "http://two")
RUNS = ("run-1", "run-2", "run-3")
REASONS = {"full", "dead letters full", "discarded"}


@define
class Turn:
    """What the model knows of a run besides its reports."""

    holder: str | None = None
    held_until: int = 0
    attempts: int = 0
    due_at: int = 0
    alone_to: int = 0


@define
class ModelTarget:
    failures: int = 0
    next_at: int = 0
    holder: str | None = None


@define
class Claim:
    holder: str
    group: Batch
    until: int
    is_lost: bool = False


Run = tuple[int, str]


@define
class Model:
    """What the file is to hold."""

    pending: dict[int, tuple[int, Report]] = field(factory=dict)
    dead: dict[int, tuple[int, Report]] = field(factory=dict)
    dropped: dict[int, str] = field(factory=dict)
    delivered: set[int] = field(factory=set)
    merged: int = 0
    turns: dict[Run, Turn] = field(factory=dict)
    targets: dict[int, ModelTarget] = field(factory=dict)
    claims: list[Claim] = field(factory=list)

    def runs_of(self, target: int) -> list[Run]:
        """The runs that wait there, the one with the oldest report first."""
        return list(
            dict.fromkeys((target, given.id) for _, (to, given) in sorted(self.pending.items()) if to == target)
        )

    def is_free(self, run: Run, now: int) -> bool:
        turn = self.turns.get(run, Turn())
        return not (_waits(turn.held_until, now) or _waits(turn.due_at, now))

    def claimable(self, targets: list[int], now: int) -> Run | None:
        for target in targets:
            if target in self.targets and not _waits(self.targets[target].next_at, now):
                for run in self.runs_of(target):
                    if self.is_free(run, now):
                        return run
        return None

    def group(self, run: Run) -> list[int]:
        """What of a run goes out together."""
        alone_to = self.turns.get(run, Turn()).alone_to
        waiting = [(seq, given) for seq, (to, given) in sorted(self.pending.items()) if (to, given.id) == run]
        seqs: list[int] = []
        for seq, given in waiting[:MAX_BATCH_REPORTS]:
            size = sum(len(self.pending[each][1].content) for each in [*seqs, seq])
            if seqs and (given.agent_id != waiting[0][1].agent_id or size > MAX_BATCH_BYTES or seqs[0] <= alone_to):
                break
            seqs.append(seq)
        return seqs

    def end_turn(self, run: Run, claimed: Batch) -> None:
        turn, last = self.turns.get(run), claimed.seqs[-1]
        if turn is not None and turn.holder == claimed.lease_id:
            if turn.alone_to > last:
                self.turns[run] = Turn(alone_to=turn.alone_to)
            else:
                del self.turns[run]
        if run not in self.runs_of(run[0]):
            self.turns.pop(run, None)

    def answers(self, target: int, claimed: Batch) -> None:
        if claimed.destination.failures:
            self.targets[target] = ModelTarget()

    def bound_dead(self) -> None:
        def size() -> int:
            return sum(len(given.content) + REPORT_OVERHEAD_BYTES for _, given in self.dead.values())

        while len(self.dead) > 1 and (len(self.dead) > MAX_DEAD[0] or size() > MAX_DEAD[1]):
            oldest = min(self.dead)
            del self.dead[oldest]
            self.dropped[oldest] = "dead letters full"


def _size(reports: dict[int, tuple[int, Report]]) -> int:
    return sum(len(report.content) + REPORT_OVERHEAD_BYTES for _, report in reports.values())


def _waits(moment: int, now: int) -> bool:
    return now < moment <= now + MAX_WAIT


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.clock = Clock(1_800_000_000 * SECOND)
        self.model = Model()
        self.files: dict[str, QueueStore] = {}
        self.reported_at = 0
        self.open()

    def open(self) -> None:
        # Each holder is a process with a connection of its own.
        for name in (*HOLDERS, "writer"):
            if name in self.files:
                self.files[name].database.close()
            self.files[name] = file_at(self.path, self.clock)
        self.counters = Counters(self.files["writer"].database)
        self.dead_letters = DeadLetters(self.files["writer"].database)

    def teardown(self) -> None:
        for each in self.files.values():
            each.database.close()
        self.folder.cleanup()

    # Reports in

    @rule(
        url=st.sampled_from(TARGETS),
        run=st.sampled_from(RUNS),
        agent=st.sampled_from(["agent-1", "agent-1", "agent-1", "agent-2"]),
        text=st.text("ab", max_size=50),
        drop_oldest=st.booleans(),
    )
    def put(self, url: str, run: str, agent: str, text: str, drop_oldest: bool) -> None:
        self.reported_at += 1
        given = report(run, self.reported_at, agent, result=text)
        size = len(given.content) + REPORT_OVERHEAD_BYTES
        taken = sum(len(each.content) + REPORT_OVERHEAD_BYTES for _, each in self.model.pending.values())
        has_room = len(self.model.pending) < MAX_REPORTS and taken + size <= MAX_BYTES
        held = {seq for seq, (to, each) in self.model.pending.items() if self._is_held((to, each.id))}
        try:
            seq = self.files["writer"].put(
                lambda salt: (url, "", "key:1"),
                given,
                max_reports=MAX_REPORTS,
                max_bytes=MAX_BYTES,
                drop_oldest=drop_oldest,
            )
        except OutboxFullError:
            assert not has_room
            if drop_oldest:  # only what somebody is sending now is left
                gone = set(self.model.pending) - self._seqs_in_file("reports")
                assert set(self.model.pending) - gone == held
                self._drop(gone)
            return
        assert has_room or drop_oldest
        assert seq > max([*self.model.pending, *self.model.dead, *self.model.dropped, *self.model.delivered, 0])
        gone = set(self.model.pending) - self._seqs_in_file("reports")
        assert not gone or not has_room
        assert not gone & held, "what is being sent was dropped"
        kept = set(self.model.pending) - gone - held
        assert not gone or not kept or max(gone) < min(kept), "not the oldest were dropped"
        self._drop(gone)
        number = next(each.id for each in self.files["writer"].targets() if each.base_url == url)
        self.model.targets.setdefault(number, ModelTarget())
        self.model.pending[seq] = (number, given)

    def _is_held(self, run: Run) -> bool:
        return _waits(self.model.turns.get(run, Turn()).held_until, self.clock.now)

    def _drop(self, gone: set[int]) -> None:
        runs = set()
        for seq in gone:
            target, given = self.model.pending.pop(seq)
            runs.add((target, given.id))
            self.model.dropped[seq] = "full"
        for run in runs:
            if run not in self.model.runs_of(run[0]):
                self.model.turns.pop(run, None)

    # Reports out

    @rule(holder=st.sampled_from(HOLDERS), order=st.permutations([1, 2, 3]))
    def claim(self, holder: str, order: list[int]) -> None:
        now = self.clock.now
        expected = self.model.claimable(order, now)
        group = self.files[holder].claim(holder, order, HOLD)
        if expected is None:
            assert group is None
            return
        assert group is not None
        assert (group.destination.id, group.task_id) == expected
        for claim in self.model.claims:
            if (claim.group.destination.id, claim.group.task_id) == expected:
                assert claim.is_lost or not _waits(claim.until, now), "two hold one run"
                claim.is_lost = True
        assert group.seqs == self.model.group(expected)
        assert group.reports == [self.model.pending[seq][1] for seq in group.seqs]
        assert group.other_pending == len(self.model.pending) - len(group.seqs)
        turn = self.model.turns.setdefault(expected, Turn())
        assert group.failed_attempts == turn.attempts
        turn.holder, turn.held_until = group.lease_id, now + HOLD
        target = self.model.targets[expected[0]]
        assert group.destination.failures == target.failures
        if target.failures:
            target.next_at, target.holder = now + HOLD, group.lease_id
        self.model.claims.append(Claim(holder, group, now + HOLD))

    def _take(self, data: Any) -> tuple[Claim, Run]:
        claim = data.draw(st.sampled_from(self.model.claims))
        self.model.claims.remove(claim)
        return claim, (claim.group.destination.id, claim.group.task_id)

    def _holds(self, claim: Claim, run: Run) -> bool:
        turn = self.model.turns.get(run)
        return turn is not None and turn.holder == claim.group.lease_id

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def delivered(self, data: Any) -> None:
        claim, run = self._take(data)
        self.files[claim.holder].delivered(claim.group)
        gone = [seq for seq in claim.group.seqs if self.model.pending.pop(seq, None)]
        self.model.delivered |= set(gone)
        self.model.merged += max(0, len(gone) - 1)
        self.model.end_turn(run, claim.group)
        self.model.answers(run[0], claim.group)

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def refused(self, data: Any) -> None:
        claim, run = self._take(data)
        seqs = claim.group.seqs
        became_dead = self.files[claim.holder].refused(claim.group, 422, "no", max_dead=MAX_DEAD)
        if not self._holds(claim, run):
            assert not became_dead
            return
        self.model.answers(run[0], claim.group)
        assert became_dead == (len(seqs) == 1 and seqs[0] in self.model.pending)
        if len(seqs) > 1:
            turn = self.model.turns[run]
            turn.holder, turn.held_until, turn.alone_to = None, 0, seqs[-1]
            return
        if became_dead:
            self.model.dead[seqs[0]] = self.model.pending.pop(seqs[0])
        self.model.end_turn(run, claim.group)
        self.model.bound_dead()

    @precondition(lambda self: self.model.claims)
    @rule(
        data=st.data(),
        run_wait=st.integers(0, HOUR),
        destination_wait=st.none() | st.integers(0, MAX_WAIT),
    )
    def put_off(self, data: Any, run_wait: int, target_wait: int | None) -> None:
        claim, run = self._take(data)
        now = self.clock.now
        self.files[claim.holder].reschedule(claim.group, "away", run_wait=run_wait, destination_wait=target_wait)
        if self._holds(claim, run):
            turn = self.model.turns[run]
            turn.holder, turn.held_until, turn.due_at = None, 0, now + run_wait
            turn.attempts += 1
        if target_wait is None:
            self.model.answers(run[0], claim.group)
            return
        target = self.model.targets[run[0]]
        if target.holder == claim.group.lease_id or target.next_at > now + MAX_WAIT:
            target.next_at = now + target_wait
        else:
            target.next_at = max(target.next_at, now + target_wait)
        target.failures += target.failures == claim.group.destination.failures
        target.holder = None if target.holder == claim.group.lease_id else target.holder

    @precondition(lambda self: self.model.claims)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        claim, run = self._take(data)
        self.files[claim.holder].release_lease(claim.group)
        if self._holds(claim, run):
            self.model.turns[run].holder, self.model.turns[run].held_until = None, 0
        target = self.model.targets[run[0]]
        if target.holder == claim.group.lease_id:
            target.next_at, target.holder = 0, None

    # What happens to holders, clocks and files

    @rule(holder=st.sampled_from(HOLDERS))
    def crash(self, holder: str) -> None:
        """It forgets what it has claimed; what it held stays held until its time is up."""
        self.model.claims = [claim for claim in self.model.claims if claim.holder != holder]
        self.files[holder].database.close()

    @rule(holder=st.sampled_from(HOLDERS))
    def stop(self, holder: str) -> None:
        """It gives back what it has claimed, and may still hear the answers to what is under way."""
        self.files[holder].release_owner(holder)
        for turn in self.model.turns.values():
            if turn.holder is not None and turn.holder.startswith(holder):
                turn.holder, turn.held_until = None, 0
        for target in self.model.targets.values():
            if target.holder is not None and target.holder.startswith(holder):
                target.next_at, target.holder = 0, None
        for claim in self.model.claims:
            claim.is_lost |= claim.holder == holder

    @rule(numbers=st.sets(st.sampled_from([1, 2, 3])))
    def hurry(self, numbers: set[int]) -> None:
        self.files["writer"].reset_backoff(sorted(numbers))
        for number in numbers & set(self.model.targets):
            self.model.targets[number].next_at, self.model.targets[number].holder = 0, None
            for run, turn in self.model.turns.items():
                if run[0] == number:
                    turn.due_at = 0

    @rule(seconds=st.sampled_from([0.000001, 1, 34, 36, 300, 3_700]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule(seconds=st.sampled_from([1, 60, 3_000, 86_400]))
    def the_clock_is_put_back(self, seconds: float) -> None:
        self.clock.forward(-seconds)

    @rule()
    def all_is_opened_anew(self) -> None:
        self.open()

    # Dead letters

    @rule(chosen=st.none() | st.lists(st.integers(1, 30), max_size=4))
    def revive(self, chosen: list[int] | None) -> None:
        wanted = set(self.model.dead) if chosen is None else set(chosen) & set(self.model.dead)
        assert self.dead_letters.revive(chosen) == len(wanted)
        for seq in wanted:
            self.model.pending[seq] = self.model.dead.pop(seq)

    @rule(chosen=st.none() | st.lists(st.integers(1, 30), max_size=4))
    def discard(self, chosen: list[int] | None) -> None:
        wanted = set(self.model.dead) if chosen is None else set(chosen) & set(self.model.dead)
        assert self.dead_letters.discard(chosen) == len(wanted)
        for seq in wanted:
            del self.model.dead[seq]
            self.model.dropped[seq] = "discarded"

    # What must always be so

    @invariant()
    def the_books_balance(self) -> None:
        stats = balanced(self.counters.stats())
        model = self.model
        assert (stats.pending, stats.dead, stats.delivered, stats.merged) == (
            len(model.pending),
            len(model.dead),
            len(model.delivered),
            model.merged,
        )
        assert set(stats.dropped) <= REASONS
        assert {name: list(model.dropped.values()).count(name) for name in stats.dropped} == stats.dropped
        assert sum(stats.dropped.values()) == len(model.dropped)
        assert stats.pending_bytes == sum(
            len(given.content) + REPORT_OVERHEAD_BYTES for _, given in model.pending.values()
        )
        assert stats.dead_bytes == sum(len(given.content) + REPORT_OVERHEAD_BYTES for _, given in model.dead.values())

    @invariant()
    def each_report_is_in_one_place(self) -> None:
        model = self.model
        assert self._seqs_in_file("reports") == set(model.pending)
        assert self._seqs_in_file("dead_letters") == set(model.dead)
        assert self._seqs_in_file("dropped_reports") == set(model.dropped)
        for state, seqs in (
            ("pending", model.pending),
            ("dead", model.dead),
            ("dropped", model.dropped),
            ("delivered", model.delivered),
        ):
            for seq in seqs:
                assert self.counters.report_state(seq) == state

    @invariant()
    def turns_are_kept_of_what_waits_only(self) -> None:
        rows = self.files["writer"].database.run(
            lambda connection: connection.execute(
                "SELECT destination_id, task_id, lease_id, expires_at, failed_attempts, next_attempt_at,"
                " isolate_through_seq FROM leases"
            ).fetchall()
        )
        assert {(target, run): Turn(*rest) for target, run, *rest in rows} == self.model.turns
        # A lease that nobody may ask about any more may be there for a revived report only.
        waiting = {run for target in self.model.targets for run in self.model.runs_of(target)}
        assert set(self.model.turns) <= waiting

    @invariant()
    def it_knows_when_something_is_due(self) -> None:
        moment = self.files["writer"].next_at([1, 2, 3])
        is_due = self.model.claimable([1, 2, 3], self.clock.now) is not None
        assert (moment is not None and moment <= self.clock.now) == is_due
        assert (moment is None) == (not self.model.pending)

    def _seqs_in_file(self, table: str) -> set[int]:
        return self.files["writer"].database.run(
            lambda connection: {seq for (seq,) in connection.execute(f"SELECT seq FROM {table}")}
        )


def test_the_file_does_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_file, "MAX_BATCH_REPORTS", MAX_BATCH_REPORTS)
    monkeypatch.setattr(queue_file, "MAX_BATCH_BYTES", MAX_BATCH_BYTES)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
