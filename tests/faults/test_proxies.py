"""Proxies: their sources, tunnels, credentials and faults."""

import sys

import pytest

from faults.assertions import assert_no_secrets_leaked, capture_debug_logs
from faults.forms import FAST_RETRIES, KEY, SHORT_TIMEOUTS, Form, report_outcome
from faults.server import HOST, FaultServer
from faults.steps import (
    ACCEPT,
    TASK,
    hang,
    relay,
    respond,
)
from support.certificates import Certificate
from xpander_sdk import (
    ConnectionFailedError,
    TimedOutError,
    TransportSettings,
)

ALL = FAST_RETRIES.attempts


def test_report_uses_configured_proxy(form: Form):
    with FaultServer(relay) as proxy, FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, transport=TransportSettings(proxy=proxy.url))
        assert form.report(configuration).id == TASK["id"]
    assert [request.target.startswith(configuration.base_url) for request in proxy.requests] == [True]
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_report_uses_proxy_from_environment(name: str, form: Form, monkeypatch):
    with FaultServer(relay) as proxy, FaultServer(ACCEPT) as server:
        monkeypatch.setenv(name, proxy.url)
        form.report(form.configuration(server.url))
    assert (len(proxy.requests), len(server.requests)) == (1, 1)


@pytest.mark.parametrize("no_proxy", [HOST, "*", f"elsewhere.invalid, {HOST}", f"{HOST}:{{port}}"])
def test_host_in_no_proxy_is_reached_directly(no_proxy: str, form: Form, monkeypatch):
    with FaultServer(relay) as proxy, FaultServer(ACCEPT) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy.format(port=server.port))
        form.report(form.configuration(server.url))
    assert (proxy.attempts, len(server.requests)) == (0, 1)


def test_other_host_in_no_proxy_has_no_effect(form: Form, monkeypatch):
    with FaultServer(relay) as proxy, FaultServer(ACCEPT) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "elsewhere.invalid,10.0.0.1")
        form.report(form.configuration(server.url))
    assert (proxy.attempts, len(server.requests)) == (1, 1)


def test_configured_proxy_has_priority_over_environment(form: Form, monkeypatch):
    with FaultServer(relay) as proxy, FaultServer(relay) as other, FaultServer(ACCEPT) as server:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        form.report(form.configuration(server.url, transport=TransportSettings(proxy=proxy.url)))
    assert (proxy.attempts, other.attempts) == (1, 0)


@pytest.mark.parametrize("is_configured", [True, False], ids=["configured", "from-environment"])
def test_tls_is_tunneled_and_hides_key_from_proxy(
    is_configured: bool, form: Form, certificate: Certificate, monkeypatch
):
    with FaultServer(relay) as proxy, FaultServer(ACCEPT, tls=certificate.server_context) as server:
        if not is_configured:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = TransportSettings(proxy=proxy.url if is_configured else None, ca_bundle=certificate.path)
        form.report(form.configuration(server.url, transport=transport))
    (tunnel,) = proxy.requests
    assert (tunnel.method, tunnel.target) == ("CONNECT", f"{HOST}:{server.port}")
    assert "x-api-key" not in tunnel.headers
    assert server.keys == [KEY]


def test_proxy_password_is_sent_to_proxy_only(form: Form, caplog):
    with capture_debug_logs(caplog), FaultServer(relay) as proxy, FaultServer(ACCEPT) as server:
        address = proxy.url.replace("//", "//user:p%40ss-of-the-proxy@")
        form.report(form.configuration(server.url, transport=TransportSettings(proxy=address)))
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNzLW9mLXRoZS1wcm94eQ=="
    assert "proxy-authorization" not in server.requests[0].headers
    assert "ss-of-the-proxy" not in caplog.text


def test_ca_bundle_applies_to_proxy_with_tls(form: Form, certificate: Certificate):
    with FaultServer(relay, tls=certificate.server_context) as proxy, FaultServer(ACCEPT) as server:
        transport = TransportSettings(proxy=proxy.url, ca_bundle=certificate.path)
        assert form.report(form.configuration(server.url, transport=transport)).id == TASK["id"]


def test_rejected_tunnel_raises_connection_failed_error(form: Form, certificate: Certificate, caplog):
    reject = respond(407, None, {"proxy-authenticate": "Basic"})
    with capture_debug_logs(caplog), FaultServer(reject) as proxy:
        address = proxy.url.replace("//", "//user:p-of-the-proxy@")
        transport = TransportSettings(proxy=address, ca_bundle=certificate.path)
        outcome = report_outcome(form, form.configuration("https://backend.invalid", transport=transport))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == proxy.attempts
    assert "407" in outcome.error.description
    assert "p-of-the-proxy" not in f"{outcome.error!r} {caplog.text}"
    assert_no_secrets_leaked(outcome.error, caplog)


def test_closed_proxy_port_raises_connection_failed_error(form: Form):
    with FaultServer(is_listening=False) as proxy, FaultServer(ACCEPT) as server:
        outcome = report_outcome(form, form.configuration(server.url, transport=TransportSettings(proxy=proxy.url)))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == ALL
    assert server.attempts == 0


def test_proxy_that_never_responds_raises_timed_out_error(form: Form):
    with FaultServer(hang()) as proxy:
        transport = TransportSettings(proxy=proxy.url)
        outcome = report_outcome(
            form, form.configuration("https://backend.invalid", transport=transport, timeouts=SHORT_TIMEOUTS)
        )
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == proxy.attempts == ALL


def test_unsupported_proxy_raises_value_error(form: Form, monkeypatch):
    # Many machines set ALL_PROXY=socks5://….
    monkeypatch.setitem(sys.modules, "socksio", None)
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match="socks"):
        form.report(form.configuration(server.url, transport=TransportSettings(proxy="socks5://127.0.0.1:1")))
    assert server.attempts == 0
