"""Delivery, with a clock and a backend that are moved by hand."""

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from outbox.parts import HOUR, SECOND, Bench, refusal, report
from xpander_sdk import Configuration, Timeouts, errors
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.delivery import Delivery
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.storage import sql
from xpander_sdk.outbox.storage.stats import DeadLetters
from xpander_sdk.settings.configuration import KeyFile

ONE, TWO = "http://one.test", "http://two.test"


@define
class Backend:
    """Answers each report as its script says: a status, an error, or a callable of the report."""

    answers: dict[str, Any] = field(factory=dict)
    """By target, by run or by the report's result; else it is recorded."""
    retry_after: float | None = None
    detail: str = "told"
    seen: list[tuple[str, str | None, dict[str, Any]]] = field(factory=list)

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        key = configuration.current_key()
        body = json.loads(operation.content)
        self.seen.append((configuration.base_url, key, body))
        for name in (configuration.base_url, body["id"], body.get("result")):
            if name in self.answers:
                return self._answer(self.answers[name], operation)
        return operation.parse({"id": body["id"]}, {})

    def _answer(self, told: Any, operation: Any) -> Any:
        if isinstance(told, int):
            raise refusal(told, self.detail, self.retry_after)
        if isinstance(told, BaseException):
            raise told
        return operation.parse(told, {})

    @property
    def runs(self) -> list[str]:
        return [body["id"] for _, _, body in self.seen]

    @property
    def results(self) -> list[str]:
        return [body["result"] for _, _, body in self.seen]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def bench(tmp_path: Path, backend: Backend) -> Iterator[Bench]:
    bench = Bench(tmp_path / "outbox.db", backend)
    yield bench
    bench.close()


def states(bench: Bench) -> tuple[int, int, int]:
    stats = bench.stats()
    return stats.delivered, stats.pending, stats.dead


# What goes well


def test_reports_go_out_oldest_first_with_their_own_times(bench: Bench, backend: Backend):
    for number in range(3):
        bench.put(report(f"run-{number}", 100 - number))
    assert bench.deliver_due() == 3
    assert backend.runs == ["run-0", "run-1", "run-2"]
    assert [group.reports[0].reported_at for group, _, _ in bench.settled] == [100, 99, 98]
    assert states(bench) == (3, 0, 0)


def test_what_was_said_of_a_run_goes_out_once(bench: Bench, backend: Backend):
    bench.put(report("run-1", 1, input="how much?", result="at first", is_success=None))
    bench.put(report("run-2", 2))
    bench.put(report("run-1", 3, input=None, result="at last", is_success=True))
    assert bench.deliver_due() == 2
    assert backend.seen[0][2] == {"id": "run-1", "input": "how much?", "result": "at last", "is_success": True}
    stats = bench.stats()
    assert (stats.delivered, stats.merged, stats.pending) == (3, 1, 0)


def test_runs_of_one_name_at_two_targets_are_two_runs(bench: Bench, backend: Backend):
    bench.put(report("run-1", 1, result="one"), base_url=ONE)
    bench.put(report("run-1", 2, result="two"), base_url=TWO)
    bench.deliver_due()
    assert {(url, body["result"]) for url, _, body in backend.seen} == {(ONE, "one"), (TWO, "two")}


# An outage


def outage(bench: Bench, seconds: float, parallel: int = 8) -> int:
    """How many attempts `parallel` threads make in that time, each waiting as the file says."""
    attempts, ends = 0, bench.clock.now + round(seconds * SECOND)
    while bench.clock.now < ends:
        groups = [group for _ in range(parallel) if (group := bench.delivery.claim())]
        for group in groups:
            bench.delivery.deliver(group)
        attempts += len(groups)
        wait = bench.delivery.seconds_to_next(5.0)
        bench.clock.forward(5.0 if wait is None else max(0.005, wait))
    return attempts


def most_attempts(seconds: float, parallel: int) -> int:
    """What the schedule allows: as many as are in flight at first, then one after each wait, all as short as can be."""
    probes, failures = 0, 1
    while (seconds := seconds - policy.destination_backoff(failures, None, lambda: 0.0) / SECOND) > 0:
        probes, failures = probes + 1, failures + 1
    return parallel + probes


@pytest.mark.parametrize("rows", [1, 10_000])
def test_attempts_of_an_hour_of_outage_grow_with_time_and_not_with_what_waits(rows, bench: Bench, backend: Backend):
    connection = bench.file.database.run(lambda connection: connection)
    connection.execute("PRAGMA synchronous = OFF")
    bench.put(report("run-0"))
    with bench.file.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO reports SELECT next_seq, 1, ?, 'agent-1', 1, 1, ? FROM counters",
            [(f"run-{number}", report(f"run-{number}").content) for number in range(1, rows)],
        )
    backend.answers[bench.file.destinations()[0].base_url] = 503
    bench.deliver_due()
    bench.clock.forward(1)
    backend.seen.clear()
    bench.delivery = bench.another("holder-2")
    bench.file.reset_backoff([1])
    tracemalloc.start()
    try:
        attempts = outage(bench, 3_600)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 60 <= attempts == len(backend.seen) <= most_attempts(3_600, 8)
    assert grown < 300_000
    assert states(bench) == (0, rows, 0)
    # It is back: the first attempt after the wait is answered, and all else follows at once.
    backend.answers.clear()
    bench.clock.forward(60)
    for _ in range(min(rows, 100)):
        bench.delivery.deliver(bench.delivery.claim())  # type: ignore[arg-type]
    assert states(bench)[0] == min(rows, 100)


def test_of_several_processes_one_alone_asks_whether_the_target_is_back(bench: Bench, backend: Backend):
    for number in range(20):
        bench.put(report(f"run-{number}"))
    backend.answers["http://backend.test"] = 503
    bench.delivery.deliver(bench.delivery.claim())  # type: ignore[arg-type]
    bench.clock.forward(1)
    others = [bench.another(f"holder-{number}") for number in range(2, 10)]
    assert len([group for each in others if (group := each.claim())]) == 1


def test_who_asks_whether_the_target_is_back_and_dies_is_followed_by_another(bench: Bench, backend: Backend):
    bench.put(report("run-1"))
    bench.put(report("run-2"))
    backend.answers["run-1"] = 503
    bench.delivery.deliver(bench.delivery.claim())  # type: ignore[arg-type]
    bench.clock.forward(1)
    assert bench.another("dead").claim() is not None
    assert bench.delivery.claim() is None
    bench.clock.forward(60)
    backend.answers.clear()
    assert bench.deliver_due() == 2


@pytest.mark.parametrize(("asked", "granted"), [(90.0, 90.0), (1e9, 3_600.0), (float("inf"), 3_600.0)])
def test_a_target_gets_the_time_that_it_asks_for(asked, granted, bench: Bench, backend: Backend):
    for number in range(10):
        bench.put(report(f"run-{number}"))
    backend.answers["http://backend.test"] = 429
    backend.retry_after = asked
    assert bench.deliver_due() == 1
    bench.clock.forward(granted - 0.001)
    assert bench.deliver_due() == 0
    backend.answers.clear()
    bench.clock.forward(60)
    bench.deliver_due()
    assert states(bench) == (10, 0, 0)


def test_of_several_that_fail_together_the_longest_wait_holds(bench: Bench, backend: Backend):
    for number in range(3):
        bench.put(report(f"run-{number}"))
    backend.answers["http://backend.test"] = 429
    groups = [bench.delivery.claim() for _ in range(3)]
    for group, asked in zip(groups, (None, 100.0, 10.0), strict=True):
        backend.retry_after = asked
        bench.delivery.deliver(group)  # type: ignore[arg-type]
    assert bench.file.destinations()[0].failures == 1
    bench.clock.forward(99)
    assert bench.deliver_due() == 0


def test_who_hurries_does_not_wait_for_one_that_asked_and_died(bench: Bench, backend: Backend):
    bench.put(report("run-1"))
    bench.put(report("run-2"))
    backend.answers["run-1"] = 503
    bench.delivery.deliver(bench.delivery.claim())  # type: ignore[arg-type]
    bench.clock.forward(1)
    assert bench.another("dead").claim() is not None
    backend.answers.clear()
    bench.file.reset_backoff([1])
    assert bench.deliver_due() == 1


def test_a_clock_that_is_put_back_holds_nothing_up_for_longer_than_a_wait(bench: Bench, backend: Backend):
    bench.put(report("run-1"))
    backend.answers["run-1"] = 503
    bench.deliver_due()
    held = bench.another("dead")
    bench.put(report("run-2"))
    bench.file.reset_backoff([1])
    assert held.claim() is not None
    backend.answers.clear()
    bench.clock.forward(-86_400)
    assert bench.deliver_due() == 2


# A target that does not let us in, beside one that does


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_let_in_keeps_all_and_stops_its_target_alone(status, bench: Bench, backend: Backend):
    for number in range(50):
        bench.put(report(f"one-{number}"), base_url=ONE)
        bench.put(report(f"two-{number}"), base_url=TWO)
    backend.answers[ONE] = status
    assert bench.deliver_due() == 51
    assert states(bench) == (50, 50, 0)
    bench.clock.forward(policy.UNAUTHORIZED_WAIT / SECOND - 1)
    assert bench.deliver_due() == 0
    bench.clock.forward(1)
    assert bench.deliver_due() == 1
    backend.answers.clear()
    bench.clock.forward(policy.UNAUTHORIZED_WAIT / SECOND)
    assert bench.deliver_due() == 50
    assert states(bench) == (100, 0, 0)


def test_a_new_key_is_used_at_once_when_waits_are_ended(bench: Bench, backend: Backend):
    bench.put(report("run-1"))
    backend.answers["run-1"] = 401
    bench.deliver_due()
    backend.answers.clear()
    bench.file.reset_backoff([1])
    assert bench.deliver_due() == 1


# Poison


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_poison_is_set_aside_with_its_answer_and_holds_up_nothing(status, bench: Bench, backend: Backend, caplog):
    backend.answers["run-1"] = status
    for number in range(4):
        bench.put(report(f"run-{number}", result=f"result-{number}"))
    assert bench.deliver_due() == 4
    assert states(bench) == (3, 0, 1)
    (letter,) = DeadLetters(bench.file.database).list()
    assert (letter.task_id, letter.status, letter.error) == ("run-1", status, f"[{status}] told")
    assert json.loads(letter.body)["result"] == "result-1"
    assert "result-1" not in caplog.text
    assert [state for _, state, _ in bench.settled] == ["delivered", "dead", "delivered", "delivered"]


def test_an_answer_that_cannot_be_written_as_it_is_sets_poison_aside_all_the_same(bench: Bench, backend: Backend):
    backend.answers["run-1"] = 422
    backend.detail = "\ud800 \0 " + "long " * 10_000
    bench.put(report("run-1"))
    bench.deliver_due()
    assert states(bench) == (0, 0, 1)
    backend.answers["run-2"] = 503
    bench.put(report("run-2"))
    bench.deliver_due()
    assert states(bench) == (0, 1, 1)


def test_of_reports_that_are_refused_together_each_is_sent_alone(bench: Bench, backend: Backend):
    bad = {"is_success": 7}

    def refuses_what_has_it(configuration: Configuration, operation: Any) -> Any:
        backend.answers = {"run-1": 422} if b'"is_success":7' in operation.content else {}
        return backend(configuration, operation)

    bench.delivery._send = refuses_what_has_it
    for number, result in enumerate(["good-1", "bad", "good-2", "good-3"]):
        bench.put(report("run-1", number, result=result, **(bad if result == "bad" else {})))
    bench.deliver_due()
    assert backend.results == ["good-3", "good-1", "bad", "good-2", "good-3"]
    assert states(bench) == (3, 0, 1)
    assert bench.stats().merged == 0
    # What comes later merges again.
    bench.put(report("run-1", 10, result="later"))
    bench.put(report("run-1", 11, result="latest"))
    assert bench.deliver_due() == 1


def test_an_unknown_agent_is_asked_for_a_few_times_and_holds_up_nobody(bench: Bench, backend: Backend):
    for number in range(3):
        bench.put(report(f"run-{number}"))
    backend.answers["run-0"] = 404
    assert bench.deliver_due() == 3
    assert states(bench) == (2, 1, 0)
    for _ in range(policy.MAX_UNKNOWN_AGENT_ATTEMPTS - 1):
        bench.clock.forward(60)
        assert bench.deliver_due() == 1
    assert states(bench) == (2, 0, 1)


def test_an_unknown_agent_after_an_outage_does_not_keep_the_others_waiting(bench: Bench, backend: Backend):
    for number in range(3):
        bench.put(report(f"run-{number}"))
    backend.answers["http://backend.test"] = 503
    bench.deliver_due()
    backend.answers = {"run-0": 404}
    bench.clock.forward(2)
    bench.deliver_due()
    assert states(bench) == (2, 1, 0)


def test_revived_poison_is_tried_again(bench: Bench, backend: Backend):
    backend.answers["run-1"] = 422
    bench.put(report("run-1"))
    bench.deliver_due()
    backend.answers.clear()
    assert DeadLetters(bench.file.database).revive() == 1
    assert bench.deliver_due() == 1
    assert states(bench) == (1, 0, 0)


def test_the_oldest_dead_letters_make_room(tmp_path: Path):
    backend = Backend(answers={"http://backend.test": 422})
    bench = Bench(tmp_path / "outbox.db", backend, max_dead=(3, 1 << 30))
    for number in range(10):
        bench.put(report(f"run-{number}"))
    bench.deliver_due()
    stats = bench.stats()
    assert (stats.dead, stats.dropped) == (3, {"dead letters full": 7})
    assert [letter.task_id for letter in DeadLetters(bench.file.database).list()] == ["run-9", "run-8", "run-7"]
    bench.close()


# What is neither an answer nor a refusal


@pytest.mark.parametrize("answered", [{"id": "another run"}, {}, [], None, "recorded", {"id": 5}])
def test_an_answer_that_does_not_name_the_run_is_none(answered, tmp_path: Path):
    # As connection.send does it: what `parse` raises is the answer's fault.
    def send(configuration: Configuration, operation: Any) -> Any:
        try:
            return operation.parse(answered, {})
        except (ValueError, TypeError, LookupError) as error:
            raise errors.ContractError(200, str(error)) from error

    bench = Bench(tmp_path / "outbox.db", send)
    bench.put(report("run-1"))
    assert bench.deliver_due() == 1
    assert states(bench) == (0, 1, 0)
    assert bench.file.destinations()[0].failures == 1
    bench.close()


def test_a_run_that_its_target_always_fails_on_lets_the_others_go_out(bench: Bench, backend: Backend):
    backend.answers["run-0"] = 500
    for number in range(20):
        bench.put(report(f"run-{number}"))
    for _ in range(4):
        bench.deliver_due()
        bench.clock.forward(1)
    assert states(bench) == (19, 1, 0)
    assert backend.runs.count("run-0") <= 4


def test_a_program_error_of_the_sender_keeps_the_report(bench: Bench, backend: Backend, caplog):
    backend.answers["run-1"] = ZeroDivisionError("of a transport of the caller's")
    bench.put(report("run-1"))
    bench.deliver_due()
    assert states(bench) == (0, 1, 0)
    assert "could not be sent" in caplog.text


def test_an_interrupted_call_gives_its_run_back_at_once(bench: Bench, backend: Backend):
    bench.put(report("run-1"))
    for before in (503, None):  # also when it was the one that asks whether the target is back
        if before:
            backend.answers["run-1"] = before
            bench.deliver_due()
            bench.clock.forward(2)
        backend.answers["run-1"] = KeyboardInterrupt()
        group = bench.delivery.claim()
        with pytest.raises(KeyboardInterrupt):
            bench.delivery.deliver(group)  # type: ignore[arg-type]
        assert bench.delivery.in_flight == 0
    backend.answers.clear()
    assert bench.deliver_due() == 1


def test_a_call_that_may_last_for_hours_is_not_taken_for_a_lost_one(bench: Bench):
    bench.put(report("run-1"), timeouts=Timeouts(total=1e6))
    assert bench.delivery.claim() is not None
    assert bench.another("holder-2").claim() is None


def test_what_ends_soon_gets_no_longer_than_is_left(tmp_path: Path):
    seen: list[Timeouts] = []

    def send(configuration: Configuration, operation: Any) -> Any:
        seen.append(configuration.timeouts)
        return operation.parse({"id": operation.report_id}, {})

    import time

    bench = Bench(tmp_path / "outbox.db", send)
    bench.put(report("run-1"))
    bench.delivery.deliver(bench.delivery.claim(), deadline=time.monotonic() + 0.5)  # type: ignore[arg-type]
    assert max(seen[0].connect, seen[0].read, seen[0].total) <= 0.5
    bench.close()


# Keys


def test_each_report_leaves_with_the_key_that_it_was_meant_for(bench: Bench, backend: Backend):
    for number in range(5):
        for key in ("key-a", "key-b"):
            bench.put(report(f"{key}-{number}"), api_key=key)
    bench.deliver_due()
    assert {(key, run.rpartition("-")[0]) for (_, key, _), run in zip(backend.seen, backend.runs, strict=True)} == {
        ("key-a", "key-a"),
        ("key-b", "key-b"),
    }


def test_another_program_does_not_send_what_it_has_no_key_for(bench: Bench, backend: Backend, monkeypatch):
    bench.put(report("run-1"), api_key="key-a")
    other = Delivery(bench.file, Keyring(bench.file), "other", lambda *_: None, send=backend)
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-b")
    other.refresh()
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    other.refresh()
    group = other.claim()
    assert group is not None
    other.deliver(group)
    assert backend.seen[0][:2] == ("http://backend.test", "key-a")


def test_another_program_sends_with_the_key_file_that_was_named(bench: Bench, backend: Backend, tmp_path: Path):
    (tmp_path / "key").write_text("key-of-a-file")
    bench.put(report("run-1"), api_key=KeyFile(str(tmp_path / "key")))
    other = Delivery(bench.file, Keyring(bench.file), "other", lambda *_: None, send=backend)
    group = other.claim()
    assert group is not None
    other.deliver(group)
    assert backend.seen[0][1] == "key-of-a-file"


def test_another_program_does_not_send_into_another_organisation(bench: Bench, backend: Backend, monkeypatch):
    bench.put(report("run-1"), base_url=f"sqlite:///{bench.path}.store", api_key=None)
    other = Delivery(bench.file, Keyring(bench.file), "other", lambda *_: None, send=backend)
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "org-of-others")
    assert other.claim() is None
    monkeypatch.delenv("XPANDER_ORGANIZATION_ID")
    other.refresh()
    assert other.claim() is not None


@pytest.mark.parametrize("trouble", ["raises", "no key", "file gone"])
def test_a_key_that_cannot_be_had_keeps_the_report(trouble, bench: Bench, backend: Backend, tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("key-1")
    works = [True]

    def key() -> str:
        if trouble == "raises" and not works[0]:
            raise RuntimeError("the vault is closed")
        return "key-1" if works[0] else ""

    bench.put(report("run-1"), api_key=KeyFile(str(path)) if trouble == "file gone" else key)
    works[0] = False
    path.unlink()
    bench.deliver_due()
    assert states(bench) == (0, 1, 0)
    assert backend.seen == []
    works[0] = True
    path.write_text("key-1")
    bench.clock.forward(HOUR / SECOND)
    bench.deliver_due()
    assert states(bench) == (1, 0, 0)
    assert backend.seen[0][1] == "key-1"


class Tenant:
    def __init__(self, name: str) -> None:
        self.name = name

    def key(self) -> str:
        return f"key-of-{self.name}"

    def __call__(self) -> str:
        return self.key()


def _key_of(name: str) -> str:
    return f"key-of-{name}"


def callables_of(name: str) -> dict[str, Any]:
    from functools import partial

    return {
        "method": Tenant(name).key,
        "instance": Tenant(name),
        "partial": partial(_key_of, name),
        "closure": lambda: _key_of(name),
        "default": lambda name=name: _key_of(name),
    }


@pytest.mark.parametrize("kind", list(callables_of("")))
def test_callables_of_one_name_never_lend_each_other_their_keys(kind, bench: Bench, backend: Backend):
    for name in ("a", "b"):
        bench.put(report(f"run-of-{name}"), api_key=callables_of(name)[kind])
    bench.deliver_due()
    assert {(key, body["id"]) for _, key, body in backend.seen} == {("key-of-a", "run-of-a"), ("key-of-b", "run-of-b")}
    # Nor to what a process left behind that was there before.
    bench.put(report("late-of-a"), api_key=callables_of("a")[kind])
    backend.seen.clear()
    keyring = Keyring(bench.file)
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("b")[kind]), bench.file.salt())
    other = Delivery(bench.file, keyring, "other", lambda *_: None, send=backend)
    assert other.claim() is None
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("a")[kind]), bench.file.salt())
    group = other.claim()
    assert group is not None
    other.deliver(group)
    assert [(key, body["id"]) for _, key, body in backend.seen] == [("key-of-a", "late-of-a")]


def _rotating_key() -> str:
    return os.environ["ROTATING"]


@pytest.mark.parametrize("key", [_rotating_key, lambda: os.environ["ROTATING"]], ids=["function", "lambda"])
def test_a_key_that_changes_is_the_same_callables_all_the_same(key, bench: Bench, backend: Backend, monkeypatch):
    monkeypatch.setenv("ROTATING", "key-1")
    bench.put(report("run-1"), api_key=key)
    monkeypatch.setenv("ROTATING", "key-2")
    keyring = Keyring(bench.file)
    keyring.add(Configuration(base_url="http://backend.test", api_key=key), bench.file.salt())
    other = Delivery(bench.file, keyring, "other", lambda *_: None, send=backend)
    group = other.claim()
    assert group is not None
    other.deliver(group)
    assert backend.seen[0][1] == "key-2"


# A file that is replaced under a running process


def test_the_targets_of_a_new_file_are_not_those_of_the_old_one(bench: Bench, backend: Backend, monkeypatch):
    bench.put(report("old-1"), base_url=ONE, api_key="key-1")
    bench.deliver_due()
    for each in Path(bench.path).parent.glob("outbox.db*"):
        each.unlink()
    # Another process begins the new file, in which the first target is another one.
    stranger = Bench(bench.path, backend, clock=bench.clock)
    stranger.put(report("new-1"), base_url=TWO, api_key="key-2")
    backend.seen.clear()
    bench.deliver_due()
    assert backend.seen == []
    stranger.deliver_due()
    assert [(url, key) for url, key, _ in backend.seen] == [(TWO, "key-2")]
    stranger.close()


def test_looking_for_work_makes_no_file(bench: Bench):
    bench.put(report("run-1"))
    bench.deliver_due()
    bench.close()
    for each in bench.path.parent.glob("outbox.db*"):
        each.unlink()
    assert bench.delivery.claim() is None
    bench.delivery.refresh()
    assert bench.delivery.seconds_to_next(5) is None
    assert not bench.path.exists()


def test_it_finds_the_oldest_among_many_without_sorting_them(bench: Bench):
    bench.put(report("run-1"))
    plan = bench.file.database.fetch(f"EXPLAIN QUERY PLAN {sql.OLDEST_DUE_RUN}", {"destination_id": 1, "now": 1})
    assert any("reports_of_target" in row[3] for row in plan)
    assert not any("TEMP B-TREE" in row[3] for row in plan)


def test_groups_are_bounded(bench: Bench, backend: Backend):
    for number in range(250):
        bench.put(report("run-1", number, result=str(number)))
    assert bench.deliver_due() == 2
    assert backend.results == ["199", "249"]
    big = report("run-2", 1, result="x" * 3_000_000)
    for number in range(3):
        bench.put(evolve(big, reported_at=number))
    assert bench.deliver_due() == 3
