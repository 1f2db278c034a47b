"""The check of the key by `doctor`: scopes, wrong URLs, and backends that respond in other ways than the contract."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from faults.server import FaultServer
from faults.steps import respond
from support.server import ORGANIZATION, Server, running_server
from xpander_sdk import Configuration, Task, Tasks
from xpander_sdk.cli import main
from xpander_sdk.doctor.checks import run_checks
from xpander_sdk.doctor.findings import Finding
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.store import Store

NO_ROUTE = {"detail": "Not Found"}
NO_AGENT = {"detail": "There is no agent 'doctor'."}
INVALID = {"detail": [{"loc": ["body"], "msg": "is not an object", "type": "type"}]}

TCP_CHECK = respond(500)  # step for the connection of the check "tcp", which sends no request


def findings(configuration: Configuration, agent_id: str | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in run_checks(configuration, agent_id)}


@pytest.fixture(scope="module")
def store_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "store.db"


@pytest.fixture(scope="module")
def scoped_server(store_file: Path):
    with running_server(store_file) as server:
        yield server


def with_scopes(server: Server, store_file: Path, name: str, *scopes: str) -> Configuration:
    """Return the configuration of a client whose new key has these scopes."""
    store = Store(f"sqlite:///{store_file}")
    key = ApiKeys(store.keys).create(name, ORGANIZATION, scopes=scopes)
    store.close()
    return server.configuration.with_options(api_key=key)


def test_key_that_may_only_report_passes(scoped_server, store_file):
    configuration = with_scopes(scoped_server, store_file, "reporter", "report")
    results = findings(configuration, "agent-1")
    assert {finding.state for finding in results.values()} == {"ok"}
    assert "may not read" in results["key"].message
    assert "may not read" in results["agent"].message
    Task.report_external_task(configuration, "agent-1", id="proof")


def test_key_that_may_only_read_fails_with_reason(scoped_server, store_file):
    results = findings(with_scopes(scoped_server, store_file, "reader", "read"))
    assert results["key"].state == "failed"
    assert "'reader' has no scope 'report'" in results["key"].message
    assert results["agent"].state == "skipped"


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/ui", "/health", "/agent-execution"])
def test_url_with_wrong_path_fails(scoped_server, path):
    configuration = scoped_server.configuration.with_options(base_url=f"{scoped_server.url}{path}")
    for agent_id in (None, "agent-1"):
        assert findings(configuration, agent_id)["key"].state == "failed"


def test_url_with_organization_passes(scoped_server):
    url = f"{scoped_server.url}/{ORGANIZATION}"
    assert findings(scoped_server.configuration.with_options(base_url=url))["key"].state == "ok"


def test_checks_record_nothing(scoped_server):
    configuration = scoped_server.configuration
    for agent_id in (None, "agent-of-the-doctor"):
        findings(configuration, agent_id)
    for agent_id in ("doctor", "agent-of-the-doctor"):
        assert Tasks(configuration).list(agent_id) == []


@pytest.mark.parametrize(
    ("report", "read", "state"),
    [
        (respond(422, INVALID), respond(404, NO_ROUTE), "ok"),
        (respond(400, {"detail": "malformed"}), respond(200, {}), "ok"),
        (respond(422, INVALID), respond(403, {"detail": "no"}), "ok"),
        (respond(422, INVALID), respond(500), "ok"),
        (respond(422, INVALID), respond(401, {"detail": "unknown key"}), "failed"),  # validates first
        (respond(400, b"<h1>Bad Request</h1>"), respond(404), "unknown"),
        (respond(500, {"detail": "failure"}), respond(404), "unknown"),
        (respond(500, {"detail": "failure"}), respond(401), "failed"),
        (respond(429, {"detail": "later"}), respond(429), "unknown"),
        (respond(201, {"id": "x"}), respond(404), "unknown"),
        (respond(404, NO_AGENT), respond(404), "unknown"),
        (respond(404, NO_ROUTE), respond(404), "failed"),
        (respond(404, b"<h1>404</h1>"), respond(404), "failed"),
        (respond(405, {"detail": "Method Not Allowed"}), respond(404), "failed"),
        (respond(200, b"<html>welcome</html>"), respond(200), "failed"),
        (respond(302, None, {"location": "https://example.com/"}), respond(404), "failed"),
        (respond(503, {"detail": "down"}), respond(503), "failed"),
        (respond(401, {"detail": "unknown key"}), respond(401), "failed"),
        (respond(403, {"detail": "no access"}), respond(404), "failed"),
    ],
)
def test_other_backends_fail_only_for_certain_reasons(report, read, state):
    with FaultServer(TCP_CHECK, report, read) as server:
        finding = findings(Configuration(base_url=server.url, api_key="k"))["key"]
    assert finding.state == state, finding.message


def test_missing_agent_fails_if_program_reports_for_it():
    with FaultServer(TCP_CHECK, respond(404, NO_AGENT)) as server:
        finding = findings(Configuration(base_url=server.url, api_key="k"), "agent-1")["key"]
    assert finding.state == "failed"
    assert "There is no agent" in finding.message


# Sources of settings.


def sources(*arguments: str, **variables: str) -> dict[str, str]:
    """Return the sources that the command names with these options and environment variables."""
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments], env=variables)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.output
    return {line["check"]: line["source"] for line in lines}


def test_command_names_source_of_each_setting(tmp_path):
    (tmp_path / "key").write_text("hunter2")
    named = sources(
        XPANDER_BASE_URL="http://127.0.0.1:9",
        XPANDER_API_KEY_FILE=f"{tmp_path}/key",
        XPANDER_ORGANIZATION_ID="org-1",
        XPANDER_AGENT_ID="agent-1",
        XPANDER_OUTBOX=f"{tmp_path}/outbox.db",
    )
    assert named["target"] == "environment variable XPANDER_BASE_URL"
    assert named["key"] == f"file '{tmp_path}/key' (environment variable XPANDER_API_KEY_FILE)"
    assert named["organization"] == "environment variable XPANDER_ORGANIZATION_ID"
    assert named["agent"] == "environment variable XPANDER_AGENT_ID"
    assert named["outbox"] == "environment variable XPANDER_OUTBOX"
    assert (named["proxy"], named["tcp"]) == ("not set", None)


def test_options_are_arguments(tmp_path):
    options = ["--base-url", f"sqlite:///{tmp_path}/runs.db", "--agent-id", "agent-1"]
    named = sources(*options, XPANDER_API_KEY="hunter2", XPANDER_BASE_URL="http://127.0.0.1:9")
    assert (named["store"], named["agent"], named["outbox"]) == ("argument", "argument", "not set")


def test_text_output_names_destination_and_sources():
    variables = {"XPANDER_BASE_URL": "http://127.0.0.1:9", "XPANDER_API_KEY": "hunter2"}
    result = CliRunner().invoke(main, ["doctor"], env=variables)
    assert "reports go to http://127.0.0.1:9 [environment variable XPANDER_BASE_URL]" in result.output
    assert "[environment variable XPANDER_API_KEY]" in result.output
    assert "hunter2" not in result.output
    assert result.exit_code == 1


def test_defaults_and_callables_are_named(monkeypatch):
    from xpander_sdk.doctor import setting_sources

    configuration = Configuration(api_key=lambda: "k")
    assert setting_sources.base_url_source(configuration) == "default"
    assert setting_sources.api_key_source(configuration) == "callable (argument)"
    monkeypatch.setenv("IS_STG", "true")
    assert setting_sources.base_url_source(Configuration()) == "environment variable IS_STG"
    assert setting_sources.base_url_source(configuration) == "argument"
