"""Outbox without a worker, and outbox in event loops."""

import pytest

from runtimes.outbox_state import delivered_names
from runtimes.processes import numbered, run


def test_outbox_without_worker_delivers_in_drain(target, outbox_file):
    assert run(target, "outboxes.drain_without_worker").result == [1, *["delivered"] * 5]
    assert delivered_names(target, outbox_file) == numbered("run", 5)


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_receipts_are_awaited_in_event_loop(library, target, outbox_file):
    states, results = run(target, "outboxes.await_receipts", library).result
    assert states == ["delivered"] * 10
    assert delivered_names(target, outbox_file) == set(results) == numbered("run", 10)


def test_event_loop_continues_while_report_waits_for_space(over_http, outbox_file):
    ticks, error = run(over_http, "outboxes.block_on_full_outbox").result
    assert ticks > 10
    assert error == "OutboxFullError"
    assert delivered_names(over_http, outbox_file) == {"run-0"}
