"""The settings of the transport, as the other end sees them: headers, proxies, transports of the caller's."""

import asyncio
import platform
import ssl
from collections.abc import Iterator

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport

from faults.calls import EAGER, HURRIED, KEY, Form, everything_logged, nothing_is_told, outcome_of
from faults.server import (
    HOST,
    RECORDED,
    TASK,
    FaultServer,
    Step,
    answer,
    drips,
    hangs,
    relays,
    reset_after_request,
    sends,
    wire,
    zipped,
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
    __version__,
)

ALL = EAGER.attempts


# Headers.


def test_it_says_who_it_is_and_what_it_takes(form: Form):
    with FaultServer(RECORDED) as server:
        form.report(form.configuration(server.url))
    (request,) = server.requests
    assert request.method == "POST"
    assert request.headers["user-agent"] == f"xpander-report/{__version__} python/{platform.python_version()}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"{HOST}:{server.port}"
    assert request.headers["x-api-key"] == KEY


def test_headers_of_the_caller_are_sent_with_every_attempt(form: Form):
    transport = TransportSettings(headers={"X-Tenant": "blue", "User-Agent": "mine/1"})
    with FaultServer(answer(503), RECORDED) as server:
        form.report(form.configuration(server.url, transport=transport))
    assert [request.headers["x-tenant"] for request in server.requests] == ["blue", "blue"]
    assert [request.headers["user-agent"] for request in server.requests] == ["mine/1", "mine/1"]


# Proxies.


def test_a_proxy_that_is_set_carries_the_report(form: Form):
    with FaultServer(relays) as proxy, FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, transport=TransportSettings(proxy=proxy.url))
        assert form.report(configuration).id == TASK["id"]
    assert [request.target.startswith(configuration.base_url) for request in proxy.requests] == [True]
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_carries_the_report(name: str, form: Form, monkeypatch):
    with FaultServer(relays) as proxy, FaultServer(RECORDED) as server:
        monkeypatch.setenv(name, proxy.url)
        form.report(form.configuration(server.url))
    assert (len(proxy.requests), len(server.requests)) == (1, 1)


@pytest.mark.parametrize("given", [HOST, "*", f"elsewhere.invalid, {HOST}", f"{HOST}:{{port}}"])
def test_a_host_of_no_proxy_is_reached_without_one(given: str, form: Form, monkeypatch):
    with FaultServer(relays) as proxy, FaultServer(RECORDED) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", given.format(port=server.port))
        form.report(form.configuration(server.url))
    assert (proxy.attempts, len(server.requests)) == (0, 1)


def test_no_proxy_of_other_hosts_changes_nothing(form: Form, monkeypatch):
    with FaultServer(relays) as proxy, FaultServer(RECORDED) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "elsewhere.invalid,10.0.0.1")
        form.report(form.configuration(server.url))
    assert (proxy.attempts, len(server.requests)) == (1, 1)


def test_a_proxy_that_is_set_comes_before_the_environment(form: Form, monkeypatch):
    with FaultServer(relays) as proxy, FaultServer(relays) as other, FaultServer(RECORDED) as server:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        form.report(form.configuration(server.url, transport=TransportSettings(proxy=proxy.url)))
    assert (proxy.attempts, other.attempts) == (1, 0)


@pytest.mark.parametrize("is_set", [True, False], ids=["set", "of-the-environment"])
def test_a_proxy_tunnels_tls_and_sees_neither_key_nor_payload(
    is_set: bool, form: Form, certificate: Certificate, monkeypatch
):
    with FaultServer(relays) as proxy, FaultServer(RECORDED, tls=certificate.server_context) as server:
        if not is_set:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = TransportSettings(proxy=proxy.url if is_set else None, ca_bundle=certificate.path)
        form.report(form.configuration(server.url, transport=transport))
    (tunnel,) = proxy.requests
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"{HOST}:{server.port}")
    assert "x-api-key" not in tunnel.headers
    assert server.keys == [KEY]


def test_a_proxy_is_told_its_password_and_the_backend_is_not(form: Form, caplog):
    with everything_logged(caplog), FaultServer(relays) as proxy, FaultServer(RECORDED) as server:
        address = proxy.url.replace("//", "//user:p%40ss-of-the-proxy@")
        form.report(form.configuration(server.url, transport=TransportSettings(proxy=address)))
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNzLW9mLXRoZS1wcm94eQ=="
    assert "proxy-authorization" not in server.requests[0].headers
    assert "ss-of-the-proxy" not in caplog.text


def test_a_proxy_that_speaks_tls_is_trusted_as_the_backend_is(form: Form, certificate: Certificate):
    with FaultServer(relays, tls=certificate.server_context) as proxy, FaultServer(RECORDED) as server:
        transport = TransportSettings(proxy=proxy.url, ca_bundle=certificate.path)
        assert form.report(form.configuration(server.url, transport=transport)).id == TASK["id"]


def test_a_proxy_that_refuses_the_tunnel_is_a_failed_connection(form: Form, certificate: Certificate, caplog):
    refuses = answer(407, None, {"proxy-authenticate": "Basic"})
    with everything_logged(caplog), FaultServer(refuses) as proxy:
        address = proxy.url.replace("//", "//user:p-of-the-proxy@")
        transport = TransportSettings(proxy=address, ca_bundle=certificate.path)
        outcome = outcome_of(form, form.configuration("https://backend.invalid", transport=transport))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == proxy.attempts
    assert "407" in outcome.error.description
    assert "p-of-the-proxy" not in f"{outcome.error!r} {caplog.text}"
    nothing_is_told(outcome.error, caplog)


def test_a_proxy_that_is_down_is_a_failed_connection(form: Form):
    with FaultServer(is_listening=False) as proxy, FaultServer(RECORDED) as server:
        outcome = outcome_of(form, form.configuration(server.url, transport=TransportSettings(proxy=proxy.url)))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == ALL
    assert server.attempts == 0


def test_a_proxy_that_never_answers_is_late(form: Form):
    with FaultServer(hangs()) as proxy:
        transport = TransportSettings(proxy=proxy.url)
        outcome = outcome_of(form, form.configuration("https://backend.invalid", transport=transport, timeouts=HURRIED))
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == proxy.attempts == ALL


def test_a_proxy_of_a_kind_that_is_not_installed_is_an_error_of_the_settings(form: Form, monkeypatch):
    # ALL_PROXY=socks5://… is what many a machine has.
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with FaultServer(RECORDED) as server, pytest.raises(ValueError, match="socks"):
        form.report(form.configuration(server.url, transport=TransportSettings(proxy="socks5://127.0.0.1:1")))
    assert server.attempts == 0


# Transports of the caller's.


class Counted:
    """Makes httpx transports, and counts them."""

    def __init__(self, kind: type) -> None:
        self.made = 0
        self._kind = kind

    def __call__(self):
        self.made += 1
        return self._kind()


def own() -> TransportSettings:
    return TransportSettings(http=lambda: httpx.HTTPTransport(), async_http=lambda: httpx.AsyncHTTPTransport())


def test_a_transport_of_ones_own_carries_every_report_and_is_made_once(form: Form):
    http, async_http = Counted(httpx.HTTPTransport), Counted(httpx.AsyncHTTPTransport)
    transport = TransportSettings(http=http, async_http=async_http, headers={"x-tenant": "blue"})
    with FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, transport=transport)
        for _ in range(3):
            assert form.report(configuration).id == TASK["id"]
    assert (http.made, async_http.made) == ((0, 1) if form.is_async else (1, 0))
    assert [request.headers["x-tenant"] for request in server.requests] == ["blue"] * 3
    assert server.keys == [KEY] * 3


def test_a_transport_for_the_other_form_alone_is_an_error_of_the_settings(form: Form):
    only = (
        TransportSettings(http=httpx.HTTPTransport)
        if form.is_async
        else TransportSettings(async_http=httpx.AsyncHTTPTransport)
    )
    with FaultServer(RECORDED) as server, pytest.raises(ValueError, match="http="):
        form.report(form.configuration(server.url, transport=only))
    assert server.attempts == 0


ANSWERED = wire(201, TASK)
BODY_BEGINS = ANSWERED.index(b"\r\n\r\n") + 4


FAULTS = pytest.mark.parametrize(
    ("step", "error", "status", "attempts"),
    [
        pytest.param(answer(503), ServerError, 503, ALL, id="503"),
        pytest.param(reset_after_request, ConnectionFailedError, None, ALL, id="reset"),
        pytest.param(sends(ANSWERED[:-10]), ConnectionFailedError, None, ALL, id="closed-mid-body"),
        pytest.param(hangs(), TimedOutError, None, ALL, id="hang"),
        pytest.param(answer(200, b"not gzip", {"content-encoding": "gzip"}), ContractError, 200, 1, id="broken-gzip"),
        pytest.param(answer(302, None, {"location": "http://elsewhere.invalid"}), ContractError, 302, 1, id="redirect"),
        pytest.param(drips(ANSWERED, at_once=BODY_BEGINS), TimedOutError, None, 1, id="body-byte-by-byte"),
    ],
)


@FAULTS
def test_a_fault_is_the_same_through_a_transport_of_ones_own(
    step: Step, error: type[ModuleException], status: int | None, attempts: int, form: Form, caplog
):
    timeouts = Timeouts(connect=0.5, read=0.5, total=1.6)
    with everything_logged(caplog), FaultServer(step) as server:
        outcome = outcome_of(form, form.configuration(server.url, transport=own(), timeouts=timeouts))
    assert type(outcome.error) is error
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (status, attempts, attempts)
    nothing_is_told(outcome.error, caplog)


def test_a_zipped_answer_is_read_through_a_transport_of_ones_own(form: Form):
    with FaultServer(answer(200, zipped(TASK), {"content-encoding": "gzip"})) as server:
        assert form.report(form.configuration(server.url, transport=own())).id == TASK["id"]


def test_a_closed_port_is_a_failed_connection_through_a_transport_of_ones_own(form: Form):
    with FaultServer(is_listening=False) as server:
        outcome = outcome_of(form, form.configuration(server.url, transport=own()))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == ALL


def test_a_certificate_is_refused_through_a_transport_of_ones_own_too(form: Form, certificate: Certificate):
    context = ssl.create_default_context()
    transport = TransportSettings(
        http=lambda: httpx.HTTPTransport(verify=context), async_http=lambda: httpx.AsyncHTTPTransport(verify=context)
    )
    with FaultServer(RECORDED, tls=certificate.server_context) as server:
        outcome = outcome_of(form, form.configuration(server.url, transport=transport))
    assert type(outcome.error) is ConnectionFailedError
    assert server.requests == []


# The transport of the extra `fast`.


@pytest.fixture
def on_asyncio() -> Iterator[Form]:
    with asyncio.Runner() as runner:
        yield Form(runner)


FAST = TransportSettings(async_http=AiohttpTransport)


def test_reports_travel_over_the_extra_fast(on_asyncio: Form):
    with FaultServer(answer(200, zipped(TASK), {"content-encoding": "gzip"})) as server:
        configuration = on_asyncio.configuration(server.url, transport=FAST)
        for _ in range(3):
            assert on_asyncio.report(configuration).id == TASK["id"]
    assert server.keys == [KEY] * 3


@FAULTS
def test_a_fault_is_the_same_over_the_extra_fast(
    step: Step, error: type[ModuleException], status: int | None, attempts: int, on_asyncio: Form, caplog
):
    timeouts = Timeouts(connect=0.5, read=0.5, total=1.6)
    with everything_logged(caplog), FaultServer(step) as server:
        outcome = outcome_of(on_asyncio, on_asyncio.configuration(server.url, transport=FAST, timeouts=timeouts))
    # The adapter tells a connection that was lost as one that was late, as the documentation says.
    assert type(outcome.error) is (TimedOutError if step is reset_after_request else error)
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (status, attempts, attempts)
    nothing_is_told(outcome.error, caplog)
