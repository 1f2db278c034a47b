"""Transports of the caller: httpx transports."""

import ssl

import httpx
import pytest

from faults.assertions import assert_no_secrets_leaked, capture_debug_logs
from faults.forms import FAST_RETRIES, KEY, Form, report_outcome
from faults.server import FaultServer, Step
from faults.steps import (
    ACCEPT,
    TASK,
    drip,
    gzip_json,
    hang,
    raw_response,
    reset_after_request,
    respond,
    send_raw,
)
from support.certificates import Certificate
from xpander_sdk import (
    ConnectionFailedError,
    ContractError,
    ModuleException,
    ServerError,
    TimedOutError,
    Timeouts,
    TransportSettings,
)

ALL = FAST_RETRIES.attempts


class CountingFactory:
    """Factory that counts the httpx transports it creates."""

    def __init__(self, transport_type: type) -> None:
        self.count = 0
        self._transport_type = transport_type

    def __call__(self):
        self.count += 1
        return self._transport_type()


def httpx_settings() -> TransportSettings:
    return TransportSettings(http=lambda: httpx.HTTPTransport(), async_http=lambda: httpx.AsyncHTTPTransport())


def test_custom_transport_is_created_once_and_sends_every_report(form: Form):
    http, async_http = CountingFactory(httpx.HTTPTransport), CountingFactory(httpx.AsyncHTTPTransport)
    transport = TransportSettings(http=http, async_http=async_http, headers={"x-tenant": "blue"})
    with FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, transport=transport)
        for _ in range(3):
            assert form.report(configuration).id == TASK["id"]
    assert (http.count, async_http.count) == ((0, 1) if form.is_async else (1, 0))
    assert [request.headers["x-tenant"] for request in server.requests] == ["blue"] * 3
    assert server.keys == [KEY] * 3


def test_custom_transport_for_other_form_only_raises_value_error(form: Form):
    only = (
        TransportSettings(http=httpx.HTTPTransport)
        if form.is_async
        else TransportSettings(async_http=httpx.AsyncHTTPTransport)
    )
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match="http="):
        form.report(form.configuration(server.url, transport=only))
    assert server.attempts == 0


CREATED = raw_response(201, TASK)
HEAD_LENGTH = CREATED.index(b"\r\n\r\n") + 4


with_each_fault = pytest.mark.parametrize(
    ("step", "error", "status", "attempts"),
    [
        pytest.param(respond(503), ServerError, 503, ALL, id="503"),
        pytest.param(reset_after_request, ConnectionFailedError, None, ALL, id="reset"),
        pytest.param(send_raw(CREATED[:-10]), ConnectionFailedError, None, ALL, id="closed-within-body"),
        pytest.param(hang(), TimedOutError, None, ALL, id="hang"),
        pytest.param(respond(200, b"not gzip", {"content-encoding": "gzip"}), ContractError, 200, 1, id="broken-gzip"),
        pytest.param(
            respond(302, None, {"location": "http://elsewhere.invalid"}), ContractError, 302, 1, id="redirect"
        ),
        pytest.param(drip(CREATED, prefix_length=HEAD_LENGTH), TimedOutError, None, 1, id="body-byte-by-byte"),
    ],
)


@with_each_fault
def test_fault_has_same_outcome_through_custom_transport(
    step: Step, error: type[ModuleException], status: int | None, attempts: int, form: Form, caplog
):
    timeouts = Timeouts(connect=0.5, read=0.5, total=1.6)
    with capture_debug_logs(caplog), FaultServer(step) as server:
        outcome = report_outcome(form, form.configuration(server.url, transport=httpx_settings(), timeouts=timeouts))
    assert type(outcome.error) is error
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (status, attempts, attempts)
    assert_no_secrets_leaked(outcome.error, caplog)


def test_gzip_response_is_read_through_custom_transport(form: Form):
    with FaultServer(respond(200, gzip_json(TASK), {"content-encoding": "gzip"})) as server:
        assert form.report(form.configuration(server.url, transport=httpx_settings())).id == TASK["id"]


def test_closed_port_raises_connection_failed_error_through_custom_transport(form: Form):
    with FaultServer(is_listening=False) as server:
        outcome = report_outcome(form, form.configuration(server.url, transport=httpx_settings()))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == ALL


def test_untrusted_certificate_is_rejected_through_custom_transport(form: Form, certificate: Certificate):
    context = ssl.create_default_context()
    transport = TransportSettings(
        http=lambda: httpx.HTTPTransport(verify=context), async_http=lambda: httpx.AsyncHTTPTransport(verify=context)
    )
    with FaultServer(ACCEPT, tls=certificate.server_context) as server:
        outcome = report_outcome(form, form.configuration(server.url, transport=transport))
    assert type(outcome.error) is ConnectionFailedError
    assert server.requests == []
