"""The doctor, on targets that are ill in one way each."""

import socket

import pytest

from xpander_sdk import Configuration, Task, Timeouts
from xpander_sdk.doctor import run_checks


def found(configuration: Configuration, agent_id: str | None = None) -> dict[str, tuple[str, str]]:
    return {finding.check: (finding.state, finding.told) for finding in run_checks(configuration, agent_id)}


def test_a_server_that_is_well(server):
    Task.report_external_task(server.configuration, "agent-of-the-doctor")
    findings = found(server.configuration, "agent-of-the-doctor")
    assert {state for state, _ in findings.values()} == {"ok"}
    assert "was last reported at" in findings["agent"][1]
    assert list(findings) == ["target", "proxy", "dns", "tcp", "tls", "key", "clock", "organisation", "agent"]


def test_a_wrong_key_is_told_without_being_shown(server):
    findings = found(server.configuration.with_options(api_key="hunter2"))
    assert findings["key"][0] == "failed"
    assert "does not know the key" in findings["key"][1]
    assert findings["agent"][0] == "skipped"
    assert "hunter2" not in str(findings)


def test_nobody_listens():
    findings = found(Configuration(base_url="http://127.0.0.1:9", api_key="k"))
    assert findings["tcp"][0] == "failed"
    assert "Connection refused" in findings["tcp"][1]


def test_a_name_that_does_not_exist():
    findings = found(Configuration(base_url="https://no-such-host.invalid", api_key="k"))
    assert findings["dns"][0] == "failed"


def test_no_tls_where_tls_is_expected(server):
    findings = found(Configuration(base_url=server.url.replace("http://", "https://"), api_key="k"))
    assert findings["tls"][0] == "failed"


def test_no_key_is_told(server):
    findings = found(Configuration(base_url=server.url))
    assert "set XPANDER_API_KEY" in findings["key"][1]


def test_something_else_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        quick = Timeouts(connect=0.5, read=0.5, total=0.5)
        findings = found(Configuration(base_url=url, api_key="k", timeouts=quick))
    assert findings["tcp"][0] == "ok"
    assert findings["key"][0] == "failed"


def test_a_clock_that_is_wrong_is_told_and_is_not_in_the_way(server, monkeypatch):
    monkeypatch.setattr("xpander_sdk.doctor.MAX_CLOCK_SKEW", -1)
    findings = found(server.configuration)
    assert findings["clock"][0] == "failed"
    assert findings["agent"][0] == "ok"


def test_an_embedded_store(embedded):
    assert "made now" in found(embedded)["store"][1]
    assert "bytes" in found(embedded)["store"][1]


@pytest.mark.parametrize("path", ["/no/such/folder/x.db", "/proc/x.db"])
def test_an_embedded_store_that_cannot_be(path):
    assert found(Configuration(base_url=f"sqlite:///{path}"))["store"][0] == "failed"
