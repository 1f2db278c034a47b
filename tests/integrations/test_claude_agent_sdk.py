"""Runs that are recorded from the messages of the Claude Agent SDK."""

import pytest

from xpander_sdk import Tokens

pytestmark = pytest.mark.integration
FRAMEWORK = "claude-agent-sdk"

QUESTION = "Weather in Paris?"
ANSWER = "Rainy, 14 °C."


def facts(task):
    return (task.agent_id, task.status.value, task.input.text, task.result, task.error)


def assert_whole(task, question=QUESTION):
    assert facts(task) == ("weather", "completed", question, ANSWER, None)
    assert task.used_tools == ["Task", "WebSearch"]
    assert task.tokens == Tokens(prompt_tokens=70, completion_tokens=34, cache_read_tokens=80)
    assert [(call.provider, call.model, call.tokens["prompt_tokens"], call.cost) for call in task.calls] == [
        ("anthropic", "claude-sonnet-4-5", 61, 0.02),
        ("anthropic", "claude-haiku-4-5", 9, 0.01),
    ]


def test_successful_run_has_every_field_and_the_usage_of_all_agents(only):
    task = only("success")
    assert_whole(task)
    assert (task.user_id, task.conversation_id, task.parent_task_id) == ("user-7", "session-1", None)
    assert 0 < task.duration < 60


def test_result_that_is_an_error_is_a_failure(only):
    task = only("failure")
    assert facts(task) == ("weather", "failed", QUESTION, None, "the provider failed")
    assert task.used_tools == ["WebSearch"]


def test_end_of_the_command_line_program_is_a_failure(only):
    task = only("lost_program")
    assert (task.agent_id, task.status.value, task.result) == ("weather", "failed", "I search.")
    assert "the program ended" in task.error


def test_consumer_that_stops_early_is_a_success_with_the_last_text(only):
    task = only("early_close")
    assert facts(task) == ("weather", "completed", QUESTION, "I search.", None)
    assert (task.used_tools, task.tokens) == (["Task"], None)


def test_consumer_that_stops_at_the_result_has_a_whole_run(only):
    assert_whole(only("stop_at_result"))


def test_cancelled_run_is_a_failure(only):
    task = only("cancelled")
    assert facts(task) == ("weather", "failed", QUESTION, "I search.", "CancelledError")
    assert 0.4 < task.duration < 20


def test_each_response_of_a_client_is_a_run(recorded):
    first, second = sorted(recorded["client"], key=lambda task: task.input.text)
    assert_whole(first, "first")
    assert_whole(second, "second")


def test_run_in_run_of_the_program_is_a_run_within_it_and_counts_once(recorded):
    tasks = {task.agent_id: task for task in recorded["in_run_of_the_program"]}
    assert set(tasks) == {"desk", "weather"}
    assert_whole(tasks["weather"])
    assert tasks["weather"].parent_task_id == tasks["desk"].id
    assert (tasks["desk"].calls, tasks["desk"].tokens) == ([], None)


def test_run_that_is_off_is_not_recorded(recorded):
    assert "off" not in recorded
