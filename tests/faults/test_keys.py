"""Whose key goes where, of several in one process and of one that changes."""

from collections import Counter

import pytest

from faults.calls import Form
from faults.server import RECORDED, FaultServer
from xpander_sdk import Backend, Configuration

REPORTS = 1_000


def test_a_thousand_reports_with_two_keys_to_two_targets_all_arrive_where_they_belong(form: Form):
    with FaultServer(RECORDED) as first, FaultServer(RECORDED) as second:
        backends = [
            Backend(form.configuration(first.url, api_key="key-of-the-first")),
            Backend(form.configuration(second.url, api_key="key-of-the-second")),
        ]
        form.report_all([(backends[number % 2], f"{number % 2}-{number}") for number in range(REPORTS)], at_once=16)
    for number, (server, key) in enumerate([(first, "key-of-the-first"), (second, "key-of-the-second")]):
        assert Counter(server.keys) == {key: REPORTS // 2}
        ids = [request.body["id"] for request in server.requests]
        assert len(set(ids)) == REPORTS // 2
        assert {sent.partition("-")[0] for sent in ids} == {str(number)}


def test_reports_with_two_keys_to_one_target_share_connections_and_never_keys(form: Form):
    with FaultServer(RECORDED) as server:
        one = form.configuration(server.url, api_key="key-1")
        backends = {"1": Backend(one), "2": Backend(one.with_options(api_key="key-2"))}
        form.report_all([(backends[str(1 + number % 2)], f"{1 + number % 2}-{number}") for number in range(200)], 8)
    assert len(server.requests) == 200
    for request in server.requests:
        assert request.headers["x-api-key"] == f"key-{request.body['id'].partition('-')[0]}"


def test_a_callable_is_asked_for_the_key_of_each_call(form: Form):
    keys = iter(["old", "old", "new"])
    with FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, api_key=lambda: next(keys))
        for _ in range(3):
            form.report(configuration)
    assert server.keys == ["old", "old", "new"]


def test_a_key_file_is_read_for_each_call(form: Form, tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text("old\n")
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(file))
    with FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, api_key=None)
        form.report(configuration)
        file.write_text("new\n")
        form.report(configuration)
    assert server.keys == ["old", "new"]


def test_a_key_file_that_went_away_is_named_and_nothing_is_sent(form: Form, tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text("old\n")
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(file))
    with FaultServer(RECORDED) as server:
        configuration = form.configuration(server.url, api_key=None)
        file.unlink()
        with pytest.raises(ValueError, match="XPANDER_API_KEY_FILE"):
            form.report(configuration)
    assert server.attempts == 0


@pytest.mark.parametrize("given", [None, "", b"key", "line\nbreak"])
def test_a_callable_that_gives_no_key_is_an_error_and_nothing_is_sent(given, form: Form):
    with FaultServer(RECORDED) as server, pytest.raises(ValueError, match="api_key") as raised:
        form.report(form.configuration(server.url, api_key=lambda: given))
    assert server.attempts == 0
    assert "break" not in str(raised.value)


def test_without_a_key_nothing_is_sent(form: Form):
    with FaultServer(RECORDED) as server, pytest.raises(ValueError, match="XPANDER_API_KEY"):
        form.report(Configuration(base_url=server.url))
    assert server.attempts == 0
