"""Backends as handles: what closing a backend closes, and how a new one reads the environment."""

from runtimes.processes import run


def test_closed_backend_has_no_connection_until_next_report(stub):
    assert run(stub.target(), "backends.count_connections_around_close").result == [1, 0, 1]


def test_closed_asynchronous_backend_has_no_connection_until_next_report(stub):
    result = run(stub.target(), "backends.count_connections_around_async_close", "asyncio", "8").result
    before, after, at_next_report = result
    assert before > 1
    assert (after, at_next_report) == (0, 1)


def test_closed_backend_in_trio_has_no_connection_until_next_report(stub):
    assert run(stub.target(), "backends.count_connections_around_async_close", "trio", "1").result == [1, 0, 1]


def test_closed_backend_has_no_open_file_until_next_report(in_process):
    result = run(in_process, "backends.look_for_open_file_around_close", "runs.db").result
    assert result == [True, False, True]


def test_backend_closes_connections_of_all_threads(stub):
    before, after = run(stub.target(), "backends.close_after_threads").result
    assert before > 0
    assert after == 0


def test_closing_backend_does_not_disturb_reports_of_threads(target):
    assert run(target, "backends.close_while_threads_report").result == [80, 0]


def test_backend_leaves_connections_to_other_destinations_open(over_http, stub):
    assert run(over_http, "backends.close_one_of_two_backends", stub.url).result == [1, True]


def test_new_backend_uses_changed_environment_and_earlier_one_does_not(over_http, stub):
    other = stub.target()
    program = run(over_http, "backends.change_environment", stub.url, other.agent_id)
    assert program.result == ["org-stub", over_http.configuration.organization_id, "org-stub"]
    assert stub.report_count(other) == 2
