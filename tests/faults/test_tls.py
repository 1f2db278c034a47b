"""TLS: trusted and untrusted certificates, and faults of encrypted connections."""

import os
import socket
import ssl

import pytest

from faults.assertions import assert_no_secrets_leaked, capture_debug_logs
from faults.forms import FAST_RETRIES, SHORT_TIMEOUTS, TIME_TOLERANCE, Form, report_outcome
from faults.server import FaultServer, Peer
from faults.steps import ACCEPT, TASK, drip, never_read, raw_response, send_raw
from support.certificates import Certificate, create_certificate
from xpander_sdk import ConnectionFailedError, TimedOutError, Timeouts, TransportSettings

ALL = FAST_RETRIES.attempts


def test_untrusted_certificate_is_rejected_without_retry(form: Form, certificate: Certificate, caplog):
    with capture_debug_logs(caplog), FaultServer(ACCEPT, tls=certificate.server_context) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (None, 1, 1)
    assert "certificate" in outcome.error.description
    assert server.requests == []
    assert_no_secrets_leaked(outcome.error, caplog)


def test_certificate_of_another_host_is_rejected_without_retry(form: Form, tmp_path):
    other_certificate = create_certificate("DNS:elsewhere.invalid", tmp_path)
    with FaultServer(ACCEPT, tls=other_certificate.server_context) as server:
        outcome = report_outcome(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=other_certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.attempts, server.attempts) == (1, 1)
    assert server.requests == []


def test_ca_bundle_is_trusted(form: Form, certificate: Certificate):
    with FaultServer(ACCEPT, tls=certificate.server_context) as server:
        task = form.report(form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path)))
    assert task.id == TASK["id"]


def test_certificate_in_ssl_cert_file_is_trusted(form: Form, certificate: Certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificate.path)
    with FaultServer(ACCEPT, tls=certificate.server_context) as server:
        assert form.report(form.configuration(server.url)).id == TASK["id"]


def test_configured_ssl_context_is_used(form: Form, certificate: Certificate):
    context = ssl.create_default_context(cafile=certificate.path)
    with FaultServer(ACCEPT, tls=certificate.server_context) as server:
        assert (
            form.report(form.configuration(server.url, transport=TransportSettings(ssl_context=context))).id
            == TASK["id"]
        )


def context_requiring_client_certificate(certificate: Certificate) -> ssl.SSLContext:
    context = certificate.server_context
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate.path)
    return context


def test_client_certificate_is_sent(form: Form, certificate: Certificate):
    transport = TransportSettings(ca_bundle=certificate.path, client_certificate=(certificate.path, certificate.key))
    with FaultServer(ACCEPT, tls=context_requiring_client_certificate(certificate)) as server:
        assert form.report(form.configuration(server.url, transport=transport)).id == TASK["id"]


def test_missing_client_certificate_raises_connection_failed_error(form: Form, certificate: Certificate, caplog):
    # With TLS 1.3, the alert follows the handshake and arrives instead of the response.
    with (
        capture_debug_logs(caplog),
        FaultServer(ACCEPT, tls=context_requiring_client_certificate(certificate)) as server,
    ):
        outcome = report_outcome(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts
    assert server.requests == []
    assert_no_secrets_leaked(outcome.error, caplog)


def send_invalid_record(peer: Peer) -> None:
    """Respond with a TLS record that is not encrypted with a key of the connection."""
    peer.read_request()
    with socket.socket(fileno=os.dup(peer.socket.fileno())) as plain_socket:
        plain_socket.sendall(b"\x17\x03\x03\x00\x40" + bytes(0x40))
    peer.hang()


def test_invalid_tls_record_raises_connection_failed_error(form: Form, certificate: Certificate, caplog):
    with capture_debug_logs(caplog), FaultServer(send_invalid_record, tls=certificate.server_context) as server:
        outcome = report_outcome(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL
    assert_no_secrets_leaked(outcome.error, caplog)


def test_truncated_encrypted_response_raises_connection_failed_error(form: Form, certificate: Certificate):
    # The connection ends without a close_notify alert, so an attacker may have truncated the response.
    with FaultServer(send_raw(raw_response(201, TASK)[:-10]), tls=certificate.server_context) as server:
        outcome = report_outcome(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL


def respond_in_plain_http(peer: Peer) -> None:
    peer.send(raw_response(400, b"this is HTTP"))
    peer.socket.shutdown(socket.SHUT_WR)
    peer.hang()


def test_https_url_of_plain_http_server_is_explained_without_retry(form: Form, caplog):
    with capture_debug_logs(caplog), FaultServer(respond_in_plain_http) as server:
        outcome = report_outcome(form, form.configuration(server.url.replace("http:", "https:")))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (None, 1, 1)
    assert "http://" in outcome.error.description
    assert_no_secrets_leaked(outcome.error, caplog)


def test_http_url_of_tls_server_raises_connection_failed_error(form: Form, certificate: Certificate, caplog):
    with capture_debug_logs(caplog), FaultServer(ACCEPT, tls=certificate.server_context) as server:
        outcome = report_outcome(form, form.configuration(server.url.replace("https:", "http:")))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL
    assert_no_secrets_leaked(outcome.error, caplog)


def drip_handshake(peer: Peer) -> None:
    peer.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + b"\x00" * 1_000, interval=0.05)


@pytest.mark.parametrize("step", [never_read, drip_handshake], ids=["hangs", "byte-by-byte"])
def test_handshake_ends_with_connect_timeout(step, form: Form):
    with FaultServer(step) as server:
        outcome = report_outcome(
            form, form.configuration(server.url.replace("http:", "https:"), timeouts=SHORT_TIMEOUTS)
        )
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == server.attempts == ALL
    assert ALL * SHORT_TIMEOUTS.connect <= outcome.seconds < ALL * SHORT_TIMEOUTS.connect + TIME_TOLERANCE


def test_dripping_encrypted_response_ends_with_total_timeout(form: Form, certificate: Certificate):
    with FaultServer(drip(raw_response(201, TASK)), tls=certificate.server_context) as server:
        transport = TransportSettings(ca_bundle=certificate.path)
        outcome = report_outcome(
            form, form.configuration(server.url, transport=transport, timeouts=Timeouts(total=1.0))
        )
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == server.attempts == 1
