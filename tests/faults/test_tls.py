"""TLS: whom it trusts, and what it says where it does not."""

import os
import socket
import ssl

import pytest

from faults.calls import EAGER, HURRIED, SLACK, Form, everything_logged, nothing_is_told, outcome_of
from faults.server import RECORDED, TASK, FaultServer, Peer, drips, never_reads, sends, wire
from support.certificates import Certificate, create_certificate
from xpander_sdk import ConnectionFailedError, TimedOutError, Timeouts, TransportSettings

ALL = EAGER.attempts


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(form: Form, certificate: Certificate, caplog):
    with everything_logged(caplog), FaultServer(RECORDED, tls=certificate.server_context) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (None, 1, 1)
    assert "certificate" in outcome.error.description
    assert server.requests == []
    nothing_is_told(outcome.error, caplog)


def test_a_certificate_of_another_host_is_refused_at_once(form: Form, tmp_path):
    elsewhere = create_certificate("DNS:elsewhere.invalid", tmp_path)
    with FaultServer(RECORDED, tls=elsewhere.server_context) as server:
        outcome = outcome_of(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=elsewhere.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.attempts, server.attempts) == (1, 1)
    assert server.requests == []


def test_a_ca_bundle_is_trusted(form: Form, certificate: Certificate):
    with FaultServer(RECORDED, tls=certificate.server_context) as server:
        task = form.report(form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path)))
    assert task.id == TASK["id"]


def test_the_certificates_of_the_environment_are_trusted(form: Form, certificate: Certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificate.path)
    with FaultServer(RECORDED, tls=certificate.server_context) as server:
        assert form.report(form.configuration(server.url)).id == TASK["id"]


def test_a_context_of_ones_own_is_used(form: Form, certificate: Certificate):
    context = ssl.create_default_context(cafile=certificate.path)
    with FaultServer(RECORDED, tls=certificate.server_context) as server:
        assert (
            form.report(form.configuration(server.url, transport=TransportSettings(ssl_context=context))).id
            == TASK["id"]
        )


def asking_for_a_certificate(certificate: Certificate) -> ssl.SSLContext:
    context = certificate.server_context
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate.path)
    return context


def test_a_client_certificate_is_shown(form: Form, certificate: Certificate):
    transport = TransportSettings(ca_bundle=certificate.path, client_certificate=(certificate.path, certificate.key))
    with FaultServer(RECORDED, tls=asking_for_a_certificate(certificate)) as server:
        assert form.report(form.configuration(server.url, transport=transport)).id == TASK["id"]


def test_a_client_certificate_that_is_missing_is_a_failed_connection(form: Form, certificate: Certificate, caplog):
    # TLS 1.3 tells it only after the handshake, in place of the answer.
    with everything_logged(caplog), FaultServer(RECORDED, tls=asking_for_a_certificate(certificate)) as server:
        outcome = outcome_of(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts
    assert server.requests == []
    nothing_is_told(outcome.error, caplog)


def garbles(peer: Peer) -> None:
    """Answers with a record that no key of this connection made."""
    peer.request()
    with socket.socket(fileno=os.dup(peer.socket.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x40" + bytes(0x40))
    peer.hang()


def test_encryption_that_breaks_is_a_failed_connection(form: Form, certificate: Certificate, caplog):
    with everything_logged(caplog), FaultServer(garbles, tls=certificate.server_context) as server:
        outcome = outcome_of(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL
    nothing_is_told(outcome.error, caplog)


def test_an_encrypted_answer_that_is_cut_off_is_none(form: Form, certificate: Certificate):
    # Without a goodbye, as an attacker could have cut it.
    with FaultServer(sends(wire(201, TASK)[:-10]), tls=certificate.server_context) as server:
        outcome = outcome_of(
            form, form.configuration(server.url, transport=TransportSettings(ca_bundle=certificate.path))
        )
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL


def speaks_plainly(peer: Peer) -> None:
    peer.send(wire(400, b"this is HTTP"))
    peer.socket.shutdown(socket.SHUT_WR)
    peer.hang()


def test_plain_http_where_tls_is_expected_is_told_at_once(form: Form, caplog):
    with everything_logged(caplog), FaultServer(speaks_plainly) as server:
        outcome = outcome_of(form, form.configuration(server.url.replace("http:", "https:")))
    assert type(outcome.error) is ConnectionFailedError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (None, 1, 1)
    assert "http://" in outcome.error.description
    nothing_is_told(outcome.error, caplog)


def test_tls_where_plain_http_is_expected_is_a_failed_connection(form: Form, certificate: Certificate, caplog):
    with everything_logged(caplog), FaultServer(RECORDED, tls=certificate.server_context) as server:
        outcome = outcome_of(form, form.configuration(server.url.replace("https:", "http:")))
    assert type(outcome.error) is ConnectionFailedError
    assert outcome.error.attempts == server.attempts == ALL
    nothing_is_told(outcome.error, caplog)


def greets_bit_by_bit(peer: Peer) -> None:
    peer.drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + b"\x00" * 1_000, every=0.05)


@pytest.mark.parametrize("step", [never_reads, greets_bit_by_bit], ids=["hangs", "byte-by-byte"])
def test_a_handshake_has_the_time_for_connecting(step, form: Form):
    with FaultServer(step) as server:
        outcome = outcome_of(form, form.configuration(server.url.replace("http:", "https:"), timeouts=HURRIED))
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == server.attempts == ALL
    assert ALL * HURRIED.connect <= outcome.seconds < ALL * HURRIED.connect + SLACK


def test_an_encrypted_answer_byte_by_byte_ends_with_the_total(form: Form, certificate: Certificate):
    with FaultServer(drips(wire(201, TASK)), tls=certificate.server_context) as server:
        transport = TransportSettings(ca_bundle=certificate.path)
        outcome = outcome_of(form, form.configuration(server.url, transport=transport, timeouts=Timeouts(total=1.0)))
    assert type(outcome.error) is TimedOutError
    assert outcome.error.attempts == server.attempts == 1
