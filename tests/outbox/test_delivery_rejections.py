"""Keys and reports that a backend rejects: waits, dead letters, and reports that are sent again."""

import json
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import ONE, SECOND, TWO, DeliveryBench, ScriptedBackend, make_report
from xpander_sdk import Configuration
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.storage.stats import DeadLetters


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


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
