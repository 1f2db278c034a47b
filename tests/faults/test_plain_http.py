"""Keys never cross a network in clear text, unless that is allowed."""

import pytest

from faults.assertions import assert_no_secrets_leaked
from faults.forms import AGENT, KEY_FRAGMENT, Form
from faults.server import HOST, FaultServer
from faults.steps import ACCEPT
from xpander_sdk import Backend, OutboxSettings, TransportSettings
from xpander_sdk.doctor.checks import run_checks

PROXY = f"http://user:{KEY_FRAGMENT}@proxy.invalid:3128"
OTHER_MACHINE = "http://reports.invalid"


def test_key_is_not_sent_to_other_machine(form: Form, caplog):
    with FaultServer(ACCEPT) as proxy:
        configuration = form.configuration(OTHER_MACHINE, transport=TransportSettings(proxy=proxy.url))
        with pytest.raises(ValueError, match="base_url must begin with https://") as caught:
            form.report(configuration)
    assert proxy.attempts == 0
    assert "reports.invalid" in str(caught.value)
    assert_no_secrets_leaked(caught.value, caplog)


@pytest.mark.parametrize("source", ["settings", "environment"])
def test_key_is_not_sent_to_proxy_on_other_machine(source: str, form: Form, caplog, monkeypatch):
    settings = TransportSettings(proxy=PROXY if source == "settings" else None)
    if source == "environment":
        monkeypatch.setenv("http_proxy", PROXY)
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match=r"proxy\.invalid in clear.*NO_PROXY") as caught:
        form.report(form.configuration(server.url, transport=settings))
    assert server.attempts == 0
    assert_no_secrets_leaked(caught.value, caplog)


def test_proxy_of_other_machine_is_no_matter_for_excluded_host(form: Form, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", HOST)
    with FaultServer(ACCEPT) as server:
        form.report(form.configuration(server.url))


def test_setting_allows_plain_http(form: Form):
    with FaultServer(ACCEPT) as proxy:
        transport = TransportSettings(proxy=proxy.url, allow_plain_http=True)
        form.report(form.configuration(OTHER_MACHINE, transport=transport))
    assert proxy.attempts == 1


def test_variable_allows_plain_http(form: Form, monkeypatch):
    monkeypatch.setenv("XPANDER_ALLOW_PLAIN_HTTP", "1")
    with FaultServer(ACCEPT) as proxy:
        form.report(form.configuration(OTHER_MACHINE, transport=TransportSettings(proxy=proxy.url)))
    assert proxy.attempts == 1


def test_report_for_other_machine_is_not_submitted(sync_form: Form, tmp_path):
    outbox = OutboxSettings(file=tmp_path / "outbox.db", worker="none")
    backend = Backend(sync_form.configuration(OTHER_MACHINE, outbox=outbox))
    with pytest.raises(ValueError, match="base_url must begin with https://"):
        backend.submit_external_task(AGENT, result="r")
    assert backend.outbox.stats().pending == 0


def test_doctor_names_plain_http(sync_form: Form):
    findings = {finding.check: finding for finding in run_checks(sync_form.configuration(OTHER_MACHINE))}
    assert findings["target"].state == "failed"
    assert "XPANDER_ALLOW_PLAIN_HTTP" in findings["target"].message
    assert findings["tcp"].state == "skipped"


def test_doctor_names_plain_http_through_proxy(sync_form: Form):
    transport = TransportSettings(proxy="http://proxy.invalid:3128")
    configuration = sync_form.configuration(f"http://{HOST}:1", transport=transport)
    findings = {finding.check: finding for finding in run_checks(configuration)}
    assert findings["proxy"].state == "failed"
    assert "NO_PROXY" in findings["proxy"].message
