"""Pytest plugin `xpander_sdk.testing`: reports of tests reach a temporary store only."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """URL that nothing may connect to, and the connections that it got."""
    connections: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                connections.append(str(address))
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


AGENT = """
from xpander_sdk import Backend, Configuration, Task, current_run

backend = Backend({configuration})

@backend.run(agent_id="agent-1")
def answer(question):
    current_run().used_tools.append("calculator")
    return "4"
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, trap) -> pytest.Pytester:
    """Project whose program reports to the trap and whose tests load the plugin."""
    url, _ = trap
    monkeypatch.setenv("XPANDER_BASE_URL", url)
    monkeypatch.setenv("XPANDER_API_KEY", "key-of-production")
    monkeypatch.setenv("XPANDER_RUNS", "off")
    monkeypatch.setenv("XPANDER_OUTBOX", str(pytester.path / "production.db"))
    # The import of the plugins of this environment takes longer than the tests.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    # The program is imported before the plugin is loaded, and has a backend of its own.
    pytester.makepyfile(agent=AGENT.format(configuration=f"Configuration(base_url={url!r}, api_key='k', runs=True)"))
    pytester.makeconftest("import agent\npytest_plugins = ['xpander_sdk.testing']\n")
    return pytester


def run(project: pytest.Pytester, *, passed: int = 0, failed: int = 0) -> str:
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", timeout=100)
    result.assert_outcomes(passed=passed, failed=failed)
    return result.stdout.str()


def test_runs_are_recorded_and_no_backend_is_reached(project: pytest.Pytester, trap):
    project.makepyfile(
        """
        import asyncio, os, subprocess, sys
        from agent import answer, backend
        from xpander_sdk import Backend, Configuration, OutboxSettings, Task

        def test_decorated_function(recorded_runs):
            assert answer("2 + 2?") == "4"
            task = recorded_runs.assert_recorded(agent_id="agent-1", input="2 + 2?", result="4", status="completed")
            assert task.used_tools == ["calculator"]
            assert recorded_runs.only.id == task.id

        def test_store_of_another_test_is_not_seen(recorded_runs):
            recorded_runs.assert_none()

        def test_documented_calls_and_outbox(recorded_runs):
            Task.report_external_task(agent_id="a", result="one")
            backend.submit_external_task(agent_id="b", result="two")
            other = Backend(Configuration(outbox=OutboxSettings(worker="none")))
            other.submit_external_task(agent_id="c", result="three")
            asyncio.run(backend.areport_external_task(agent_id="d", result="four"))
            assert sorted(task.result for task in recorded_runs) == ["four", "one", "three", "two"]
            assert [task.result for task in recorded_runs.all("b")] == ["two"]
            assert len(recorded_runs) == 4

        def test_without_the_fixture():
            answer("2 + 2?")

        def test_child_process(recorded_runs):
            program = "from xpander_sdk import Backend; Backend().report_external_task(agent_id='child')"
            subprocess.run([sys.executable, "-c", program], check=True)
            assert recorded_runs.only.agent_id == "child"
        """
    )
    run(project, passed=5)
    assert trap[1] == []
    assert not (project.path / "production.db").exists()


def test_failed_assertion_lists_the_runs(project: pytest.Pytester):
    project.makepyfile(
        """
        from agent import answer

        def test_other_result(recorded_runs):
            answer("2 + 2?")
            recorded_runs.assert_recorded(result="5")

        def test_no_run(recorded_runs):
            answer("2 + 2?")
            recorded_runs.assert_none()

        def test_two_runs(recorded_runs):
            answer("one")
            answer("two")
            recorded_runs.only

        def test_unknown_name(recorded_runs):
            recorded_runs.assert_recorded(resutl="5")
        """
    )
    output = run(project, failed=4)
    assert "expected a run with result='5', got" in output
    assert (
        "agent_id='agent-1', status=<AgentExecutionStatus.Completed: 'completed'>, input='2 + 2?', result='4'" in output
    )
    assert "expected no run, got 1" in output
    assert "expected one run, got 2" in output
    assert "got unexpected names resutl" in output


def test_failed_run_is_recorded(project: pytest.Pytester):
    project.makepyfile(
        """
        import pytest
        from agent import backend

        def test_failure(recorded_runs):
            with pytest.raises(ValueError), backend.run(agent_id="agent-1"):
                raise ValueError("bad")
            recorded_runs.assert_recorded(status="failed", duration=float)
        """
    )
    run(project, passed=1)


def test_environment_is_restored(project: pytest.Pytester):
    project.makepyfile("def test_nothing(): pass")
    project.makeconftest(
        """
        import os
        before = dict(os.environ)
        pytest_plugins = ['xpander_sdk.testing']

        def pytest_sessionfinish(session):
            assert os.environ["XPANDER_BASE_URL"].startswith("sqlite:///")

        def pytest_unconfigure(config):
            names = [name for name in before if name.startswith("XPANDER_")]
            print("RESTORED", all(os.environ.get(name) == before[name] for name in names))
        """
    )
    result = project.runpytest_subprocess("-s", "-p", "no:cacheprovider", timeout=100)
    assert "RESTORED" in result.stdout.str()
    assert os.environ["XPANDER_API_KEY"] == "key-of-production"


def test_plugin_is_not_loaded_unless_a_project_asks_for_it(pytester: pytest.Pytester):
    pytester.makepyfile("import sys\n\ndef test_nothing():\n    assert 'xpander_sdk' not in sys.modules")
    pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=100).assert_outcomes(passed=1)
