"""API keys: several keys in one process, and keys that change."""

from collections import Counter
from pathlib import Path

import pytest

from faults.forms import Form
from faults.server import FaultServer
from faults.steps import ACCEPT
from xpander_sdk import Backend, Configuration, Timeouts

REPORTS = 1_000


def test_each_backend_receives_only_its_own_reports_and_key(form: Form):
    with FaultServer(ACCEPT) as first, FaultServer(ACCEPT) as second:
        backends = [
            Backend(form.configuration(first.url, api_key="key-of-the-first", timeouts=Timeouts())),
            Backend(form.configuration(second.url, api_key="key-of-the-second", timeouts=Timeouts())),
        ]
        form.report_all([(backends[number % 2], f"{number % 2}-{number}") for number in range(REPORTS)], concurrency=16)
    for number, (server, key) in enumerate([(first, "key-of-the-first"), (second, "key-of-the-second")]):
        assert Counter(server.keys) == {key: REPORTS // 2}
        ids = [request.body["id"] for request in server.requests]
        assert len(set(ids)) == REPORTS // 2
        assert {task_id.partition("-")[0] for task_id in ids} == {str(number)}


def test_each_report_to_one_destination_has_key_of_its_backend(form: Form):
    with FaultServer(ACCEPT) as server:
        first = Backend(form.configuration(server.url, api_key="key-1", timeouts=Timeouts()))
        second = first.with_options(api_key="key-2")
        backends = {"1": first, "2": second}
        reports = [(backends[str(1 + number % 2)], f"{1 + number % 2}-{number}") for number in range(200)]
        form.report_all(reports, concurrency=8)
    assert len(server.requests) == 200
    for request in server.requests:
        assert request.headers["x-api-key"] == f"key-{request.body['id'].partition('-')[0]}"


def test_key_callable_is_called_for_each_report(form: Form):
    keys = iter(["old", "old", "new"])
    with FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, api_key=lambda: next(keys))
        for _ in range(3):
            form.report(configuration)
    assert server.keys == ["old", "old", "new"]


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File that contains the key `old`, and that XPANDER_API_KEY_FILE names."""
    file = tmp_path / "key"
    file.write_text("old\n")
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(file))
    return file


def test_key_file_is_read_for_each_report(form: Form, key_file: Path):
    with FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, api_key=None)
        form.report(configuration)
        key_file.write_text("new\n")
        form.report(configuration)
    assert server.keys == ["old", "new"]


def test_missing_key_file_raises_error_before_request(form: Form, key_file: Path):
    with FaultServer(ACCEPT) as server:
        configuration = form.configuration(server.url, api_key=None)
        key_file.unlink()
        with pytest.raises(ValueError, match="XPANDER_API_KEY_FILE"):
            form.report(configuration)
    assert server.attempts == 0


@pytest.mark.parametrize("key", [None, "", b"key", "line\nbreak"])
def test_invalid_key_of_callable_raises_error_before_request(key, form: Form):
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match="api_key") as raised:
        form.report(form.configuration(server.url, api_key=lambda: key))
    assert server.attempts == 0
    assert "break" not in str(raised.value)


def test_missing_key_raises_error_before_request(form: Form):
    with FaultServer(ACCEPT) as server, pytest.raises(ValueError, match="XPANDER_API_KEY"):
        form.report(Configuration(base_url=server.url))
    assert server.attempts == 0
