"""Model calls that the logger of litellm records into the current run."""

import pytest

from xpander_sdk import Tokens

pytestmark = pytest.mark.integration
FRAMEWORK = "litellm"

ANSWER = "Rainy, 14 °C."
CALL = {"prompt_tokens": 61, "completion_tokens": 17, "cache_read_tokens": 40, "reasoning_tokens": 5}


def facts(task):
    return (task.agent_id, task.status.value, task.result, task.error)


def assert_calls(task, number):
    assert task.tokens == Tokens(
        prompt_tokens=61 * number, completion_tokens=17 * number, cache_read_tokens=40 * number,
    )  # fmt: skip
    assert [(call.provider, call.model, call.error) for call in task.calls] == [("openai", "gpt-5-mini", None)] * number
    assert all(call.tokens.items() >= CALL.items() and call.duration > 0 for call in task.calls)
    assert len({call.response_id for call in task.calls}) == number


def test_calls_of_run_have_tokens_tools_and_text(only):
    task = only("success")
    assert facts(task) == ("weather", "completed", ANSWER, None)
    assert task.used_tools == ["get_weather"]
    assert_calls(task, 2)


def test_call_that_is_logged_after_the_end_of_the_run_is_added(only):
    task = only("late_event")
    assert facts(task) == ("weather", "completed", "done", None)
    assert_calls(task, 1)
    assert task.duration > 0


def test_call_that_the_program_records_too_counts_once(only):
    task = only("recorded_by_the_program_too")
    assert (task.status.value, task.result, len(task.calls)) == ("completed", ANSWER, 1)
    assert task.tokens == Tokens(prompt_tokens=61, completion_tokens=17, cache_read_tokens=40)


def test_stream_is_added_whole(only):
    task = only("stream")
    assert facts(task) == ("weather", "completed", ANSWER, None)
    assert_calls(task, 1)


def test_failed_call_has_its_reason(only):
    task = only("failure")
    assert task.status.value == "failed"
    [call] = task.calls
    assert (call.provider, call.model) == ("openai", "failing")
    assert "the provider failed" in call.error


def test_asynchronous_calls_and_streams_are_added(only):
    task = only("asynchronous")
    assert facts(task) == ("weather", "completed", ANSWER, None)
    assert_calls(task, 2)


def test_calls_in_threads_are_added(only):
    task = only("threads")
    assert facts(task) == ("weather", "completed", ANSWER, None)
    assert_calls(task, 4)


def test_calls_outside_of_runs_are_not_recorded(recorded):
    assert "" not in recorded
    assert "outside_of_runs" not in recorded
