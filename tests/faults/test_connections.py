"""Faults while connecting, and faults of reused connections."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from faults.assertions import assert_attempts_identical, assert_no_secrets_leaked, capture_debug_logs
from faults.forms import FAST_RETRIES, SHORT_TIMEOUTS, TIME_TOLERANCE, Form, report_outcome
from faults.server import HOST, OTHER_HOST, FaultServer, Peer
from faults.steps import ACCEPT, TASK, hang, raw_response, reset_after_request, send_raw
from xpander_sdk import ConnectionFailedError, RetryPolicy, TimedOutError, Timeouts, TransportSettings

PLAIN = TransportSettings(allow_plain_http=True)


@contextmanager
def full_backlog() -> Iterator[str]:
    """Yield the URL of a listener whose queue is full: it neither accepts nor refuses a further connection."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind((HOST, 0))
        listener.listen(0)
        for _ in range(16):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            if not select.select([], [client], [], 0.2)[1]:
                break  # this connection waits, and so will all that follow
        yield f"http://{HOST}:{listener.getsockname()[1]}"


def test_closed_port_is_retried_and_raises_error(form: Form, caplog):
    with capture_debug_logs(caplog), FaultServer(is_listening=False) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, FAST_RETRIES.attempts)
    assert server.url in outcome.error.description
    assert outcome.seconds < TIME_TOLERANCE
    assert_no_secrets_leaked(outcome.error, caplog)


def test_unaccepted_connection_ends_with_connect_timeout(form: Form, caplog):
    with capture_debug_logs(caplog), full_backlog() as url:
        outcome = report_outcome(form, form.configuration(url, timeouts=Timeouts(connect=0.2, read=9, total=5)))
    assert type(outcome.error) is TimedOutError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, FAST_RETRIES.attempts)
    assert FAST_RETRIES.attempts * 0.2 <= outcome.seconds < FAST_RETRIES.attempts * 0.2 + TIME_TOLERANCE
    assert_no_secrets_leaked(outcome.error, caplog)


def set_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make the host name many.invalid resolve to these addresses."""
    resolve = socket.getaddrinfo

    def resolve_many(host: str, *arguments: Any, **named_arguments: Any) -> list[Any]:
        hosts = addresses if host == "many.invalid" else (host,)
        return [result for each in hosts for result in resolve(each, *arguments, **named_arguments)[:1]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_many)


def test_host_with_many_addresses_has_same_total_timeout(form: Form, monkeypatch):
    set_addresses(monkeypatch, *[HOST] * 8)
    with full_backlog() as url:
        timeouts = Timeouts(connect=0.4, read=0.4, total=1.0)
        outcome = report_outcome(
            form, form.configuration(url.replace(HOST, "many.invalid"), timeouts=timeouts, transport=PLAIN)
        )
    assert type(outcome.error) is TimedOutError


def test_unresponsive_address_leaves_time_for_next_address(form: Form, monkeypatch):
    # Example: a host whose IPv6 address is unreachable.
    set_addresses(monkeypatch, HOST, OTHER_HOST)
    with full_backlog() as url:
        port = int(url.rpartition(":")[2])
        with FaultServer(ACCEPT, address=(OTHER_HOST, port)) as server:
            timeouts = Timeouts(connect=1.0, read=1.0, total=5.0)
            outcome = report_outcome(
                form, form.configuration(f"http://many.invalid:{port}", timeouts=timeouts, transport=PLAIN)
            )
    assert outcome.task is not None, outcome.error
    assert server.attempts == 1


def test_refusing_address_does_not_count_as_attempt(form: Form, monkeypatch):
    set_addresses(monkeypatch, HOST, OTHER_HOST)
    with (
        FaultServer(is_listening=False) as refusing,
        FaultServer(ACCEPT, address=(OTHER_HOST, refusing.port)) as server,
    ):
        url = f"http://many.invalid:{refusing.port}"
        outcome = report_outcome(form, form.configuration(url, retry=RetryPolicy(attempts=1), transport=PLAIN))
    assert outcome.task is not None, outcome.error
    assert server.attempts == 1


def test_unknown_host_is_named_in_error(form: Form, caplog):
    with capture_debug_logs(caplog):
        outcome = report_outcome(form, form.configuration("http://no-such-host.invalid", transport=PLAIN))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts) == (None, FAST_RETRIES.attempts)
    assert "no-such-host.invalid" in outcome.error.description
    assert_no_secrets_leaked(outcome.error, caplog)


def test_report_reaches_server_that_recovers_within_total_timeout(form: Form, caplog):
    many_attempts = RetryPolicy(attempts=1_000, first_delay=0.05, max_delay=0.1, budget=1_000)
    with capture_debug_logs(caplog), FaultServer(ACCEPT, is_listening=False) as server:
        timer = threading.Timer(1.0, server.listen)
        timer.start()
        configuration = form.configuration(
            server.url, retry=many_attempts, timeouts=Timeouts(connect=1, read=1, total=10)
        )
        outcome = report_outcome(form, configuration)
        timer.join()
    assert outcome.task is not None
    assert outcome.task.id == TASK["id"]
    assert len(server.requests) == 1
    assert 0.9 < outcome.seconds < 1.0 + TIME_TOLERANCE
    assert_no_secrets_leaked(None, caplog)


def test_connection_is_reused_for_next_report(form: Form):
    peers = []

    def step(peer: Peer) -> bool:
        peers.append(peer)
        return bool(ACCEPT(peer))

    with FaultServer(step) as server:
        configuration = form.configuration(server.url)
        for _ in range(5):
            form.report(configuration)
    assert server.attempts == 5
    assert len(set(map(id, peers))) == 1


def test_connection_closed_while_idle_does_not_count_as_attempt(form: Form):
    closed = threading.Event()

    def respond_and_close(peer: Peer) -> None:
        ACCEPT(peer)
        peer.socket.shutdown(socket.SHUT_RDWR)
        closed.set()

    with FaultServer(respond_and_close) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1))
        for _ in range(3):
            closed.clear()
            form.report(configuration)
            assert closed.wait(5)
            form.idle()
    assert server.attempts == 3


def test_unrequested_response_is_ignored(form: Form):
    # Example: a load balancer sends 408 before it closes an idle connection.
    is_idle, is_sent = threading.Event(), threading.Event()

    def respond_twice(peer: Peer) -> None:
        ACCEPT(peer)
        assert is_idle.wait(5)
        peer.send(raw_response(408) + raw_response(201, {**TASK, "id": "of-another-report"}))
        peer.socket.shutdown(socket.SHUT_WR)
        is_sent.set()
        peer.hang()

    with FaultServer(respond_twice, ACCEPT) as server:
        configuration = form.configuration(server.url, retry=RetryPolicy(attempts=1))
        form.report(configuration)
        is_idle.set()
        assert is_sent.wait(5)
        form.idle()
        outcome = report_outcome(form, configuration)
    assert outcome.task is not None, outcome.error
    assert outcome.task.id == TASK["id"]
    assert server.attempts == 2


def test_report_is_retried_when_reused_connection_breaks(form: Form):
    with FaultServer(ACCEPT, reset_after_request, ACCEPT) as server:
        configuration = form.configuration(server.url)
        form.report(configuration, id="first")
        form.report(configuration, id="second")
    assert [request.body["id"] for request in server.requests] == ["first", "second", "second"]


def test_rest_of_failed_response_is_not_read_as_next_response(form: Form):
    # The content-length of the first response is too short, so the rest of it stays unread in the connection.
    other = raw_response(200, {**TASK, "id": "of-another-report"})
    with FaultServer(send_raw(raw_response(200, TASK, length=2) + other, keep_open=True), ACCEPT) as server:
        configuration = form.configuration(server.url)
        first = report_outcome(form, configuration)
        second = report_outcome(form, configuration)
    assert first.error is not None
    assert second.task is not None
    assert second.task.id == TASK["id"]


def test_every_attempt_sends_identical_request(form: Form):
    with FaultServer(send_raw(), send_raw(raw_response(500)), send_raw(raw_response(503)[:10]), ACCEPT) as server:
        outcome = report_outcome(form, form.configuration(server.url, retry=RetryPolicy(attempts=4, first_delay=0.01)))
    assert outcome.task is not None
    assert len(server.requests) == 4
    assert_attempts_identical(server)


def test_generated_id_is_fixed_before_first_attempt(form: Form):
    with FaultServer(send_raw()) as server:
        outcome = report_outcome(form, form.configuration(server.url), id=None)
    assert outcome.error is not None
    assert [request.body["id"] for request in server.requests] == [outcome.error.report_id] * FAST_RETRIES.attempts


def test_concurrent_threads_all_time_out_in_time(sync_form: Form):
    thread_count = 30
    errors = []
    with FaultServer(hang()) as server:
        configuration = sync_form.configuration(server.url, retry=RetryPolicy(attempts=1), timeouts=SHORT_TIMEOUTS)
        threads = [
            threading.Thread(target=lambda: errors.append(report_outcome(sync_form, configuration).error))
            for _ in range(thread_count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SHORT_TIMEOUTS.total + TIME_TOLERANCE)
    assert [type(error) for error in errors] == [TimedOutError] * thread_count
