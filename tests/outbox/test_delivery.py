"""Delivery by one process, step by step, with a clock that the test sets and a scripted backend."""

import hashlib
import json
import os
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from outbox.helpers import HOUR, SECOND, DeliveryBench, error_of_status, make_report, remove_files
from xpander_sdk import Configuration, Timeouts, errors
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.storage import sql
from xpander_sdk.outbox.storage.stats import DeadLetters
from xpander_sdk.settings.configuration import KeyFile

ONE, TWO = "http://one.test", "http://two.test"


@define
class ScriptedBackend:
    """ScriptedBackend with a scripted response for each destination, run or result; all other reports are recorded."""

    responses: dict[str, Any] = field(factory=dict)
    """Status, exception or response body, by base URL, id or result of the report."""
    retry_after: float | None = None
    detail: str = "detail"
    seen: list[tuple[str, str | None, dict[str, Any]]] = field(factory=list)

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        key = configuration.current_key()
        body = json.loads(operation.content)
        self.seen.append((configuration.base_url, key, body))
        for name in (configuration.base_url, body["id"], body.get("result")):
            if name in self.responses:
                return self._respond(self.responses[name], operation)
        return operation.parse({"id": body["id"]}, {})

    def _respond(self, response: Any, operation: Any) -> Any:
        if isinstance(response, int):
            raise error_of_status(response, self.detail, self.retry_after)
        if isinstance(response, BaseException):
            raise response
        return operation.parse(response, {})

    @property
    def runs(self) -> list[str]:
        return [body["id"] for _, _, body in self.seen]

    @property
    def results(self) -> list[str]:
        return [body["result"] for _, _, body in self.seen]


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


@pytest.fixture
def bench(tmp_path: Path, backend: ScriptedBackend) -> Iterator[DeliveryBench]:
    bench = DeliveryBench(tmp_path / "outbox.db", backend)
    yield bench
    bench.close()


# Successful deliveries


def test_reports_are_sent_oldest_first_with_their_own_times(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}", 100 - number))
    assert bench.deliver_due() == 3
    assert backend.runs == ["run-0", "run-1", "run-2"]
    assert [batch.reports[0].reported_at for batch, _, _ in bench.resolved] == [100, 99, 98]
    assert bench.counts() == (3, 0, 0)


def test_pending_reports_of_one_run_are_sent_as_one(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1", 1, input="how much?", result="at first", is_success=None))
    bench.put(make_report("run-2", 2))
    bench.put(make_report("run-1", 3, input=None, result="at last", is_success=True))
    assert bench.deliver_due() == 2
    assert backend.seen[0][2] == {"id": "run-1", "input": "how much?", "result": "at last", "is_success": True}
    stats = bench.stats()
    assert (stats.delivered, stats.merged, stats.pending) == (3, 1, 0)


def test_equal_ids_at_two_destinations_are_two_runs(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1", 1, result="one"), base_url=ONE)
    bench.put(make_report("run-1", 2, result="two"), base_url=TWO)
    bench.deliver_due()
    assert {(url, body["result"]) for url, _, body in backend.seen} == {(ONE, "one"), (TWO, "two")}


# Outages


def simulate_outage(bench: DeliveryBench, seconds: float, parallel: int = 8) -> int:
    """Return the number of attempts that `parallel` threads make in that time."""
    attempts, ends_at = 0, bench.clock.now + round(seconds * SECOND)
    while bench.clock.now < ends_at:
        batches = [batch for _ in range(parallel) if (batch := bench.delivery.claim())]
        for batch in batches:
            bench.delivery.deliver(batch)
        attempts += len(batches)
        wait = bench.delivery.seconds_to_next(5.0)
        bench.clock.advance(5.0 if wait is None else max(0.005, wait))
    return attempts


def max_attempts(seconds: float, parallel: int) -> int:
    """Return the maximum: the calls in flight at first, then one probe after each wait, each as short as possible."""
    probes, failures = 0, 1
    while (seconds := seconds - policy.destination_backoff(failures, None, lambda: 0.0) / SECOND) > 0:
        probes, failures = probes + 1, failures + 1
    return parallel + probes


@pytest.mark.parametrize("rows", [1, 10_000])
def test_attempts_during_an_outage_do_not_depend_on_the_number_of_pending_reports(
    rows, bench: DeliveryBench, backend: ScriptedBackend
):
    bench.store.database.fetch("PRAGMA synchronous = OFF")
    bench.put(make_report("run-0"))
    with bench.store.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO reports SELECT next_seq, 1, ?, 'agent-1', 1, 1, ? FROM counters",
            [(f"run-{number}", make_report(f"run-{number}").content) for number in range(1, rows)],
        )
    backend.responses[bench.store.destinations()[0].base_url] = 503
    bench.deliver_due()
    bench.clock.advance(1)
    backend.seen.clear()
    bench.delivery = bench.delivery_of("owner-2")
    bench.store.reset_backoff([1])
    tracemalloc.start()
    try:
        attempts = simulate_outage(bench, 3_600)
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 60 <= attempts == len(backend.seen) <= max_attempts(3_600, 8)
    assert memory < 300_000
    assert bench.counts() == (0, rows, 0)
    # The backend works again: the first attempt after the wait succeeds, and all others follow at once.
    backend.responses.clear()
    bench.clock.advance(60)
    for _ in range(min(rows, 100)):
        bench.deliver_one()
    assert bench.counts()[0] == min(rows, 100)


def test_only_one_process_probes_a_failed_destination(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(20):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    others = [bench.delivery_of(f"owner-{number}") for number in range(2, 10)]
    assert len([batch for other in others if (batch := other.claim())]) == 1


def test_probe_of_a_dead_process_is_repeated_after_its_lease(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    bench.put(make_report("run-2"))
    backend.responses["run-1"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    assert bench.delivery_of("dead").claim() is not None
    assert bench.delivery.claim() is None
    bench.clock.advance(60)
    backend.responses.clear()
    assert bench.deliver_due() == 2


@pytest.mark.parametrize(("retry_after", "granted"), [(90.0, 90.0), (1e9, 3_600.0), (float("inf"), 3_600.0)])
def test_retry_after_delays_all_reports_of_a_destination(
    retry_after, granted, bench: DeliveryBench, backend: ScriptedBackend
):
    for number in range(10):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 429
    backend.retry_after = retry_after
    assert bench.deliver_due() == 1
    bench.clock.advance(granted - 0.001)
    assert bench.deliver_due() == 0
    backend.responses.clear()
    bench.clock.advance(60)
    bench.deliver_due()
    assert bench.counts() == (10, 0, 0)


def test_longest_wait_of_simultaneous_failures_applies(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 429
    batches = [bench.claim() for _ in range(3)]
    for batch, retry_after in zip(batches, (None, 100.0, 10.0), strict=True):
        backend.retry_after = retry_after
        bench.delivery.deliver(batch)
    assert bench.store.destinations()[0].failures == 1
    bench.clock.advance(99)
    assert bench.deliver_due() == 0


def test_reset_backoff_ends_the_probe_of_a_dead_process(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    bench.put(make_report("run-2"))
    backend.responses["run-1"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    assert bench.delivery_of("dead").claim() is not None
    backend.responses.clear()
    bench.store.reset_backoff([1])
    assert bench.deliver_due() == 1


def test_waits_end_when_the_clock_is_set_back(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    backend.responses["run-1"] = 503
    bench.deliver_due()
    dead = bench.delivery_of("dead")
    bench.put(make_report("run-2"))
    bench.store.reset_backoff([1])
    assert dead.claim() is not None
    backend.responses.clear()
    bench.clock.advance(-86_400)
    assert bench.deliver_due() == 2


# Rejected keys


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_key_pauses_only_its_destination(status, bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(50):
        bench.put(make_report(f"one-{number}"), base_url=ONE)
        bench.put(make_report(f"two-{number}"), base_url=TWO)
    backend.responses[ONE] = status
    assert bench.deliver_due() == 51
    assert bench.counts() == (50, 50, 0)
    bench.clock.advance(policy.UNAUTHORIZED_WAIT / SECOND - 1)
    assert bench.deliver_due() == 0
    bench.clock.advance(1)
    assert bench.deliver_due() == 1
    backend.responses.clear()
    bench.clock.advance(policy.UNAUTHORIZED_WAIT / SECOND)
    assert bench.deliver_due() == 50
    assert bench.counts() == (100, 0, 0)


def test_new_key_is_used_at_once_after_reset_backoff(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    backend.responses["run-1"] = 401
    bench.deliver_due()
    backend.responses.clear()
    bench.store.reset_backoff([1])
    assert bench.deliver_due() == 1


# Rejected reports


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_rejected_report_becomes_a_dead_letter(status, bench: DeliveryBench, backend: ScriptedBackend, caplog):
    backend.responses["run-1"] = status
    for number in range(4):
        bench.put(make_report(f"run-{number}", result=f"result-{number}"))
    assert bench.deliver_due() == 4
    assert bench.counts() == (3, 0, 1)
    (letter,) = DeadLetters(bench.store.database).list()
    assert (letter.task_id, letter.status, letter.error) == ("run-1", status, f"[{status}] detail")
    assert json.loads(letter.body)["result"] == "result-1"
    assert "result-1" not in caplog.text
    assert [state for _, state, _ in bench.resolved] == ["delivered", "dead", "delivered", "delivered"]


def test_error_text_that_is_not_valid_unicode_is_stored(bench: DeliveryBench, backend: ScriptedBackend):
    backend.responses["run-1"] = 422
    backend.detail = "\ud800 \0 " + "long " * 10_000
    bench.put(make_report("run-1"))
    bench.deliver_due()
    assert bench.counts() == (0, 0, 1)
    backend.responses["run-2"] = 503
    bench.put(make_report("run-2"))
    bench.deliver_due()
    assert bench.counts() == (0, 1, 1)


def test_rejected_batch_is_sent_again_one_report_at_a_time(bench: DeliveryBench, backend: ScriptedBackend):
    invalid = {"is_success": 7}

    def reject_invalid(configuration: Configuration, operation: Any) -> Any:
        backend.responses = {"run-1": 422} if b'"is_success":7' in operation.content else {}
        return backend(configuration, operation)

    bench.send = reject_invalid
    for number, result in enumerate(["good-1", "bad", "good-2", "good-3"]):
        bench.put(make_report("run-1", number, result=result, **(invalid if result == "bad" else {})))
    bench.deliver_due()
    assert backend.results == ["good-3", "good-1", "bad", "good-2", "good-3"]
    assert bench.counts() == (3, 0, 1)
    assert bench.stats().merged == 0
    # Later reports are merged again.
    bench.put(make_report("run-1", 10, result="later"))
    bench.put(make_report("run-1", 11, result="latest"))
    assert bench.deliver_due() == 1


def test_unknown_agent_is_retried_a_few_times_and_does_not_block_others(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}"))
    backend.responses["run-0"] = 404
    assert bench.deliver_due() == 3
    assert bench.counts() == (2, 1, 0)
    for _ in range(policy.MAX_UNKNOWN_AGENT_ATTEMPTS - 1):
        bench.clock.advance(60)
        assert bench.deliver_due() == 1
    assert bench.counts() == (2, 0, 1)


def test_unknown_agent_ends_an_outage(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 503
    bench.deliver_due()
    backend.responses = {"run-0": 404}
    bench.clock.advance(2)
    bench.deliver_due()
    assert bench.counts() == (2, 1, 0)


def test_revived_dead_letter_is_sent_again(bench: DeliveryBench, backend: ScriptedBackend):
    backend.responses["run-1"] = 422
    bench.put(make_report("run-1"))
    bench.deliver_due()
    backend.responses.clear()
    assert DeadLetters(bench.store.database).revive() == 1
    assert bench.deliver_due() == 1
    assert bench.counts() == (1, 0, 0)


def test_oldest_dead_letters_are_dropped_at_the_limit(tmp_path: Path):
    backend = ScriptedBackend(responses={"http://backend.test": 422})
    bench = DeliveryBench(tmp_path / "outbox.db", backend, max_dead=(3, 1 << 30))
    for number in range(10):
        bench.put(make_report(f"run-{number}"))
    bench.deliver_due()
    stats = bench.stats()
    assert (stats.dead, stats.dropped) == (3, {"dead letters full": 7})
    assert [letter.task_id for letter in DeadLetters(bench.store.database).list()] == ["run-9", "run-8", "run-7"]
    bench.close()


# Other failures


@pytest.mark.parametrize("response", [{"id": "another run"}, [], None, "recorded", {"id": 5}])
def test_response_that_does_not_name_the_run_is_a_failure(response, tmp_path: Path):
    # As client.send does it: an exception of `parse` means that the response is invalid.
    def send(configuration: Configuration, operation: Any) -> Any:
        try:
            return operation.parse(response, {})
        except (ValueError, TypeError, LookupError) as error:
            raise errors.ContractError(200, str(error)) from error

    bench = DeliveryBench(tmp_path / "outbox.db", send)
    bench.put(make_report("run-1"))
    assert bench.deliver_due() == 1
    assert bench.counts() == (0, 1, 0)
    assert bench.store.destinations()[0].failures == 1
    bench.close()


def test_run_that_always_causes_a_server_error_does_not_block_others(bench: DeliveryBench, backend: ScriptedBackend):
    backend.responses["run-0"] = 500
    for number in range(20):
        bench.put(make_report(f"run-{number}"))
    for _ in range(4):
        bench.deliver_due()
        bench.clock.advance(1)
    assert bench.counts() == (19, 1, 0)
    assert backend.runs.count("run-0") <= 4


def test_unexpected_exception_of_the_transport_keeps_the_report(bench: DeliveryBench, backend: ScriptedBackend, caplog):
    backend.responses["run-1"] = ZeroDivisionError("error of a transport")
    bench.put(make_report("run-1"))
    bench.deliver_due()
    assert bench.counts() == (0, 1, 0)
    assert "could not be sent" in caplog.text


def test_interrupted_call_releases_its_lease_at_once(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    for earlier in (503, None):  # The first call is a probe of a failed destination.
        if earlier:
            backend.responses["run-1"] = earlier
            bench.deliver_due()
            bench.clock.advance(2)
        backend.responses["run-1"] = KeyboardInterrupt()
        batch = bench.claim()
        with pytest.raises(KeyboardInterrupt):
            bench.delivery.deliver(batch)
        assert bench.delivery.in_flight == 0
    backend.responses.clear()
    assert bench.deliver_due() == 1


def test_lease_of_a_very_long_call_does_not_count_as_expired(bench: DeliveryBench):
    bench.put(make_report("run-1"), timeouts=Timeouts(total=1e6))
    assert bench.delivery.claim() is not None
    assert bench.delivery_of("owner-2").claim() is None


def test_deadline_shortens_the_timeouts_of_a_call(tmp_path: Path):
    seen: list[Timeouts] = []

    def send(configuration: Configuration, operation: Any) -> Any:
        seen.append(configuration.timeouts)
        return operation.parse({"id": operation.report_id}, {})

    bench = DeliveryBench(tmp_path / "outbox.db", send)
    bench.put(make_report("run-1"))
    bench.delivery.deliver(bench.claim(), deadline=time.monotonic() + 0.5)
    assert max(seen[0].connect, seen[0].read, seen[0].total) <= 0.5
    bench.close()


# Keys


def test_each_report_is_sent_with_its_own_key(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(5):
        for key in ("key-a", "key-b"):
            bench.put(make_report(f"{key}-{number}"), api_key=key)
    bench.deliver_due()
    assert {(key, run.rpartition("-")[0]) for (_, key, _), run in zip(backend.seen, backend.runs, strict=True)} == {
        ("key-a", "key-a"),
        ("key-b", "key-b"),
    }


def test_other_program_sends_only_with_the_same_key(bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    bench.put(make_report("run-1"), api_key="key-a")
    other = bench.delivery_of("other", Keyring(bench.store))
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-b")
    other.refresh()
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    other.refresh()
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert backend.seen[0][:2] == ("http://backend.test", "key-a")


def claims_as_other_program(bench: DeliveryBench) -> bool:
    """Return whether another program, which knows only the environment, would send the report."""
    batch = bench.delivery_of("other", Keyring(bench.store)).claim()
    if batch is not None:
        bench.store.release_lease(batch)
    return batch is not None


def test_other_program_reads_only_its_own_key_file_and_sends_it_only_to_its_own_url(
    bench: DeliveryBench, tmp_path: Path, monkeypatch
):
    (tmp_path / "key").write_text("key-of-a-file")
    bench.put(make_report("run-1"), base_url=ONE, api_key=KeyFile(str(tmp_path / "key")))
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert not claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(tmp_path / "key"))
    assert claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_BASE_URL", TWO)
    assert not claims_as_other_program(bench)


def redirect(bench: DeliveryBench, **columns: str | int) -> None:
    """Change columns of all destinations, as somebody does who can write to the file."""
    for name, value in columns.items():
        bench.store.database.fetch(f"UPDATE destinations SET {name} = :value", {"value": value})


@pytest.mark.parametrize("columns", [{"base_url": TWO}, {"organization_id": "org-2"}])
def test_key_is_not_sent_to_another_destination_than_it_was_submitted_for(columns, bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert claims_as_other_program(bench)
    redirect(bench, **columns)
    assert not claims_as_other_program(bench)
    bench.delivery.refresh()
    assert bench.delivery.claim() is None


@pytest.mark.parametrize("credentials", ["none", "", "file:/etc/hostname", "file:", "bound-key:", "url:", "callable:x"])
def test_planted_reference_gets_no_key(credentials, bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    redirect(bench, base_url=TWO, credentials=credentials)
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert not claims_as_other_program(bench)
    bench.delivery.refresh()
    assert bench.delivery.claim() is None


def test_reports_of_an_earlier_version_are_sent_to_the_url_of_the_program_only(bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    mark = hashlib.blake2b(b"key-a", key=bench.store.salt(), digest_size=4).hexdigest()
    redirect(bench, credentials=f"key:{mark}")
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert not claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert claims_as_other_program(bench)
    # A program whose configuration is not in the environment.
    monkeypatch.delenv("XPANDER_API_KEY")
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url=TWO, api_key="key-a"), bench.store.salt())
    assert bench.delivery_of("other", keyring).claim() is None
    keyring.add(Configuration(base_url=ONE, api_key="key-a"), bench.store.salt())
    assert bench.delivery_of("other", keyring).claim() is not None


def test_any_key_is_sent_to_the_url_of_the_program_only(bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="old-key")
    keyring = Keyring(bench.store)
    keyring.allow_any_key = True
    monkeypatch.setenv("XPANDER_API_KEY", "new-key")
    assert bench.delivery_of("other", keyring).claim() is None
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert bench.delivery_of("other", keyring).claim() is not None


def test_other_program_does_not_send_for_another_organization(
    bench: DeliveryBench, backend: ScriptedBackend, monkeypatch
):
    bench.put(make_report("run-1"), base_url=f"sqlite:///{bench.path}.store", api_key=None)
    other = bench.delivery_of("other", Keyring(bench.store))
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "org-of-others")
    assert other.claim() is None
    monkeypatch.delenv("XPANDER_ORGANIZATION_ID")
    other.refresh()
    assert other.claim() is not None


@pytest.mark.parametrize("failure", ["raises", "no key", "file removed"])
def test_unavailable_key_keeps_the_report(failure, bench: DeliveryBench, backend: ScriptedBackend, tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("key-1")
    works = [True]

    def key() -> str:
        if failure == "raises" and not works[0]:
            raise RuntimeError("the key is unavailable")
        return "key-1" if works[0] else ""

    bench.put(make_report("run-1"), api_key=KeyFile(str(path)) if failure == "file removed" else key)
    works[0] = False
    path.unlink()
    bench.deliver_due()
    assert bench.counts() == (0, 1, 0)
    assert backend.seen == []
    works[0] = True
    path.write_text("key-1")
    bench.clock.advance(HOUR / SECOND)
    bench.deliver_due()
    assert bench.counts() == (1, 0, 0)
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
def test_callables_of_one_name_never_share_keys(kind, bench: DeliveryBench, backend: ScriptedBackend):
    for name in ("a", "b"):
        bench.put(make_report(f"run-of-{name}"), api_key=callables_of(name)[kind])
    bench.deliver_due()
    assert {(key, body["id"]) for _, key, body in backend.seen} == {("key-of-a", "run-of-a"), ("key-of-b", "run-of-b")}
    # Another process uses the right callable for the reports of this one, too.
    bench.put(make_report("late-of-a"), api_key=callables_of("a")[kind])
    backend.seen.clear()
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("b")[kind]), bench.store.salt())
    other = bench.delivery_of("other", keyring)
    assert other.claim() is None
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("a")[kind]), bench.store.salt())
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert [(key, body["id"]) for _, key, body in backend.seen] == [("key-of-a", "late-of-a")]


def _rotating_key() -> str:
    return os.environ["ROTATING"]


@pytest.mark.parametrize("key", [_rotating_key, lambda: os.environ["ROTATING"]], ids=["function", "lambda"])
def test_function_identifies_its_key_after_a_rotation(key, bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    monkeypatch.setenv("ROTATING", "key-1")
    bench.put(make_report("run-1"), api_key=key)
    monkeypatch.setenv("ROTATING", "key-2")
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url="http://backend.test", api_key=key), bench.store.salt())
    other = bench.delivery_of("other", keyring)
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert backend.seen[0][1] == "key-2"


# Replaced files


def test_destination_ids_of_a_replaced_file_are_not_used(bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    bench.put(make_report("old-1"), base_url=ONE, api_key="key-1")
    bench.deliver_due()
    remove_files(bench.path)
    # Another process creates a new file, in which the first destination is another one.
    other = DeliveryBench(bench.path, backend, clock=bench.clock)
    other.put(make_report("new-1"), base_url=TWO, api_key="key-2")
    backend.seen.clear()
    bench.deliver_due()
    assert backend.seen == []
    other.deliver_due()
    assert [(url, key) for url, key, _ in backend.seen] == [(TWO, "key-2")]
    other.close()


def test_search_for_work_does_not_create_a_file(bench: DeliveryBench):
    bench.put(make_report("run-1"))
    bench.deliver_due()
    bench.close()
    remove_files(bench.path)
    assert bench.delivery.claim() is None
    bench.delivery.refresh()
    assert bench.delivery.seconds_to_next(5) is None
    assert not bench.path.exists()


def test_claim_finds_the_oldest_report_without_sorting(bench: DeliveryBench):
    bench.put(make_report("run-1"))
    plan = bench.store.database.fetch(f"EXPLAIN QUERY PLAN {sql.OLDEST_DUE_RUN}", {"destination_id": 1, "now": 1})
    assert any("reports_of_target" in row[3] for row in plan)
    assert not any("TEMP B-TREE" in row[3] for row in plan)


def test_batches_are_limited_in_number_and_size(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(250):
        bench.put(make_report("run-1", number, result=str(number)))
    assert bench.deliver_due() == 2
    assert backend.results == ["199", "249"]
    big = make_report("run-2", 1, result="x" * 3_000_000)
    for number in range(3):
        bench.put(evolve(big, reported_at=number))
    assert bench.deliver_due() == 3
