"""The checks of `doctor` against backends with one fault each."""

import socket
from pathlib import Path

import pytest

from xpander_sdk import Configuration, Task, Timeouts
from xpander_sdk.doctor.checks import run_checks


def check_results(configuration: Configuration, agent_id: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the state and the message of each check."""
    return {finding.check: (finding.state, finding.message) for finding in run_checks(configuration, agent_id)}


def test_all_checks_pass_for_working_server(server):
    Task.report_external_task(server.configuration, "agent-of-the-doctor")
    results = check_results(server.configuration, "agent-of-the-doctor")
    assert {state for state, _ in results.values()} == {"ok"}
    assert "was reported at" in results["agent"][1]
    checks = ["target", "proxy", "dns", "tcp", "tls", "key", "clock", "organization", "outbox", "agent", "spans"]
    assert list(results) == checks


def test_wrong_key_fails_without_showing_key(server):
    results = check_results(server.configuration.with_options(api_key="hunter2"))
    assert results["key"][0] == "failed"
    assert "does not accept the key" in results["key"][1]
    assert results["agent"][0] == "skipped"
    assert "hunter2" not in str(results)


def test_closed_port_fails_tcp_check():
    results = check_results(Configuration(base_url="http://127.0.0.1:9", api_key="k"))
    assert results["tcp"][0] == "failed"
    assert "Connection refused" in results["tcp"][1]


def test_unknown_host_fails_dns_check():
    results = check_results(Configuration(base_url="https://no-such-host.invalid", api_key="k"))
    assert results["dns"][0] == "failed"


def test_plain_http_server_fails_tls_check(server):
    results = check_results(Configuration(base_url=server.url.replace("http://", "https://"), api_key="k"))
    assert results["tls"][0] == "failed"


def test_missing_key_is_explained(server):
    results = check_results(Configuration(base_url=server.url))
    assert "set XPANDER_API_KEY" in results["key"][1]


def test_server_that_never_responds_fails_key_check():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        timeouts = Timeouts(connect=0.5, read=0.5, total=0.5)
        results = check_results(Configuration(base_url=url, api_key="k", timeouts=timeouts))
    assert results["tcp"][0] == "ok"
    assert results["key"][0] == "failed"


def test_clock_skew_fails_only_clock_check(server, monkeypatch):
    monkeypatch.setattr("xpander_sdk.doctor.checks.MAX_CLOCK_SKEW", -1)
    results = check_results(server.configuration)
    assert results["clock"][0] == "failed"
    assert results["agent"][0] == "ok"


def test_embedded_store_check_passes(embedded):
    Task.report_external_task(embedded, "agent-1", result="done")
    state, message = check_results(embedded)["store"]
    assert state == "ok"
    assert "bytes" in message


def test_embedded_store_that_does_not_exist_fails_and_is_not_created(embedded):
    results = check_results(embedded)
    assert results["store"][0] == "failed"
    assert "does not exist" in results["store"][1]
    assert results["agent"][0] == "skipped"
    assert not Path(embedded.base_url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("path", ["/no/such/folder/x.db", "/proc/x.db"])
def test_embedded_store_that_cannot_be_created_fails(path):
    assert check_results(Configuration(base_url=f"sqlite:///{path}"))["store"][0] == "failed"
