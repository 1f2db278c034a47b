"""Faults before a connection is there, and of connections that were kept."""

import socket
import threading
from typing import Any

import pytest

from faults.calls import (
    EAGER,
    HURRIED,
    SLACK,
    Form,
    every_attempt_is_the_same,
    everything_logged,
    nothing_is_told,
    outcome_of,
)
from faults.server import HOST, OTHER_HOST, RECORDED, TASK, FaultServer, Peer, full_backlog, hangs, sends, wire
from xpander_sdk import ConnectionFailedError, RetryPolicy, TimedOutError, Timeouts


def test_a_closed_port_is_tried_again_and_then_told(form: Form, caplog):
    with everything_logged(caplog), FaultServer(is_listening=False) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, EAGER.attempts)
    assert server.url in outcome.error.description
    assert outcome.seconds < SLACK
    nothing_is_told(outcome.error, caplog)


def test_a_connection_that_nobody_accepts_is_late_after_the_time_for_connecting(form: Form, caplog):
    with everything_logged(caplog), full_backlog() as url:
        outcome = outcome_of(form, form.configuration(url, timeouts=Timeouts(connect=0.2, read=9, total=5)))
    assert type(outcome.error) is TimedOutError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, EAGER.attempts)
    assert EAGER.attempts * 0.2 <= outcome.seconds < EAGER.attempts * 0.2 + SLACK
    nothing_is_told(outcome.error, caplog)


def has_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let many.invalid have these."""
    resolve = socket.getaddrinfo

    def resolve_many(host: str, *given: Any, **named: Any) -> list[Any]:
        hosts = addresses if host == "many.invalid" else (host,)
        return [found for one in hosts for found in resolve(one, *given, **named)[:1]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_many)


def test_a_host_of_many_addresses_has_no_more_time_than_one_of_one(form: Form, monkeypatch):
    has_addresses(monkeypatch, *[HOST] * 8)
    with full_backlog() as url:
        timeouts = Timeouts(connect=0.4, read=0.4, total=1.0)
        outcome = outcome_of(form, form.configuration(url.replace(HOST, "many.invalid"), timeouts=timeouts))
    assert type(outcome.error) is TimedOutError


def test_an_address_that_hangs_leaves_time_for_the_next_one(form: Form, monkeypatch):
    # As a host has whose IPv6 leads nowhere.
    has_addresses(monkeypatch, HOST, OTHER_HOST)
    with full_backlog() as url:
        port = int(url.rpartition(":")[2])
        with FaultServer(RECORDED, address=(OTHER_HOST, port)) as server:
            timeouts = Timeouts(connect=1.0, read=1.0, total=5.0)
            outcome = outcome_of(form, form.configuration(f"http://many.invalid:{port}", timeouts=timeouts))
    assert outcome.task is not None, outcome.error
    assert server.attempts == 1


def test_an_address_that_refuses_costs_no_attempt(form: Form, monkeypatch):
    has_addresses(monkeypatch, HOST, OTHER_HOST)
    with (
        FaultServer(is_listening=False) as refusing,
        FaultServer(RECORDED, address=(OTHER_HOST, refusing.port)) as server,
    ):
        url = f"http://many.invalid:{refusing.port}"
        outcome = outcome_of(form, form.configuration(url, retry=RetryPolicy(attempts=1)))
    assert outcome.task is not None, outcome.error
    assert server.attempts == 1


def test_a_host_that_does_not_exist_is_told(form: Form, caplog):
    with everything_logged(caplog):
        outcome = outcome_of(form, form.configuration("http://no-such-host.invalid"))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, EAGER.attempts)
    assert "no-such-host.invalid" in outcome.error.description
    nothing_is_told(outcome.error, caplog)


def test_a_server_that_is_up_again_within_the_deadline_gets_the_report(form: Form, caplog):
    patient = RetryPolicy(attempts=1_000, first_delay=0.05, max_delay=0.1, budget=1_000)
    with everything_logged(caplog), FaultServer(RECORDED, is_listening=False) as server:
        timer = threading.Timer(1.0, server.listen)
        timer.start()
        configuration = form.configuration(server.url, retry=patient, timeouts=Timeouts(connect=1, read=1, total=10))
        outcome = outcome_of(form, configuration)
        timer.join()
    assert outcome.task is not None
    assert outcome.task.id == TASK["id"]
    assert len(server.requests) == 1
    assert 0.9 < outcome.seconds < 1.0 + SLACK
    nothing_is_told(None, caplog)


def test_a_connection_is_kept_for_the_next_report(form: Form):
    connections = []

    def step(peer: Peer) -> bool:
        connections.append(peer)
        return bool(RECORDED(peer))

    with FaultServer(step) as server:
        configuration = form.configuration(server.url)
        for _ in range(5):
            form.report(configuration)
    assert server.attempts == 5
    assert len(set(map(id, connections))) == 1


def test_a_connection_that_the_server_closed_meanwhile_costs_no_attempt(form: Form):
    closed = threading.Event()

    def answers_and_closes(peer: Peer) -> None:
        RECORDED(peer)
        peer.socket.shutdown(socket.SHUT_RDWR)
        closed.set()

    with FaultServer(answers_and_closes) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1))
        for _ in range(3):
            closed.clear()
            form.report(configuration)
            assert closed.wait(5)
            form.idle()
    assert server.attempts == 3


def test_what_a_server_says_unasked_is_not_taken_for_an_answer(form: Form):
    # A load balancer says 408 to a connection that it closes for idleness.
    idle, said = threading.Event(), threading.Event()

    def answers_and_speaks_on(peer: Peer) -> None:
        RECORDED(peer)
        assert idle.wait(5)
        peer.send(wire(408) + wire(201, {**TASK, "id": "of-another-report"}))
        peer.socket.shutdown(socket.SHUT_WR)
        said.set()
        peer.hang()

    with FaultServer(answers_and_speaks_on, RECORDED) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1))
        form.report(configuration)
        idle.set()
        assert said.wait(5)
        form.idle()
        outcome = outcome_of(form, configuration)
    assert outcome.task is not None, outcome.error
    assert outcome.task.id == TASK["id"]
    assert server.attempts == 2


def test_a_kept_connection_that_breaks_under_a_report_is_made_anew(form: Form):
    def breaks(peer: Peer) -> None:
        peer.request()
        peer.reset()

    with FaultServer(RECORDED, breaks, RECORDED) as server:
        configuration = form.configuration(server.url)
        form.report(configuration, id="first")
        form.report(configuration, id="second")
    assert [request.body["id"] for request in server.requests] == ["first", "second", "second"]


def test_a_failed_attempt_leaves_nothing_behind_for_the_next_report(form: Form):
    # Too short a content-length: what is left of the first answer must not be taken for the second.
    other = wire(200, {**TASK, "id": "of-another-report"})
    with FaultServer(sends(wire(200, TASK, length=2) + other, is_kept=True), RECORDED) as server:
        configuration = form.configuration(server.url)
        first = outcome_of(form, configuration)
        second = outcome_of(form, configuration)
    assert first.error is not None
    assert second.task is not None
    assert second.task.id == TASK["id"]


def test_what_is_sent_is_the_same_at_every_attempt(form: Form):
    with FaultServer(sends(), sends(wire(500)), sends(wire(503)[:10]), RECORDED) as server:
        outcome = outcome_of(form, form.configuration(server.url, retry=RetryPolicy(attempts=4, first_delay=0.01)))
    assert outcome.task is not None
    assert len(server.requests) == 4
    every_attempt_is_the_same(server)


def test_a_report_without_an_id_has_one_before_the_first_attempt(form: Form):
    with FaultServer(sends()) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert outcome.error is not None
    assert [request.body["id"] for request in server.requests] == [outcome.error.report_id] * EAGER.attempts


def test_threads_that_hang_at_once_are_all_in_time():
    at_once = 30
    form = Form(None)
    errors = []
    with FaultServer(hangs()) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1), timeouts=HURRIED)
        threads = [
            threading.Thread(target=lambda: errors.append(outcome_of(form, configuration).error))
            for _ in range(at_once)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HURRIED.total + SLACK)
    form.close()
    assert [type(error) for error in errors] == [TimedOutError] * at_once
