"""Runs that the tracing processor records for the OpenAI Agents SDK."""

import os

import pytest

from xpander_sdk import Tokens

pytestmark = pytest.mark.integration
FRAMEWORK = "openai-agents"

QUESTION = "Weather in Paris?"
ANSWER = "Rainy, 14 °C."
CALL = {"prompt_tokens": 61, "completion_tokens": 17, "cache_read_tokens": 40}


def calls(number):
    """Return the sum of a number of calls."""
    return Tokens(**{kind: number * tokens for kind, tokens in CALL.items()})


def facts(task):
    return (task.agent_id, task.status.value, task.input.text, task.result, task.error)


def assert_whole(task, agent_id="weather", question=QUESTION):
    assert facts(task) == (agent_id, "completed", question, ANSWER, None)
    assert (task.tokens, task.used_tools) == (calls(2), ["get_weather"])
    assert [(call.model, call.tokens, call.prompt_includes_cache, call.error) for call in task.calls] == [
        ("gpt-5-mini", CALL, True, None)
    ] * 2


def test_successful_run_has_every_field(only):
    task = only("success")
    assert_whole(task)
    assert (task.user_id, task.conversation_id, task.parent_task_id) == ("user-7", "thread-1", None)
    assert 0 < task.duration < 60
    assert all(0 < call.duration <= task.duration for call in task.calls)
    assert "Rainy" in str(task.llm_response)


def test_run_with_responses_api_has_ids_of_responses(only):
    task = only("responses_api")
    assert facts(task) == ("weather", "completed", QUESTION, ANSWER, None)
    assert (task.tokens, task.used_tools) == (calls(2), ["get_weather"])
    assert all(call.response_id.startswith("resp_") for call in task.calls)


def test_failed_run_has_its_reason_and_the_failed_call(only):
    task = only("failure")
    # The text of the exception: that of openai 2 has the whole body. The oldest spans have no error of their own.
    reason = (
        "InternalServerError: Error code: 500 - {'error': {'message': 'the provider failed'}}"
        if os.environ.get("OLDEST")
        else "Error code: 500 - the provider failed"
    )
    assert facts(task) == ("weather", "failed", QUESTION, None, reason)
    assert [(call.model, call.error) for call in task.calls] == [("failing", reason)]


def test_run_succeeds_after_failed_tool(only):
    task = only("failed_tool")
    assert facts(task) == ("weather", "completed", QUESTION, ANSWER, None)
    assert task.used_tools == ["broken_tool"]


def test_limit_of_turns_is_a_failure(only):
    task = only("too_many_turns")
    assert facts(task) == ("weather", "failed", QUESTION, None, "Max turns exceeded")
    assert task.tokens == calls(1)


def test_guardrail_is_a_failure(only):
    task = only("guardrail")
    assert (task.status.value, task.calls, task.result) == ("failed", [], None)
    assert "tripwire" in task.error


def test_streamed_run_is_whole(only):
    assert_whole(only("stream"))


def test_synchronous_run_is_whole(only):
    assert_whole(only("synchronous"))


def test_stream_that_its_consumer_cancels_is_a_success_with_the_calls_so_far(only):
    task = only("early_close")
    assert (task.agent_id, task.status.value, task.error) == ("weather", "completed", None)
    assert task.tokens == calls(1)


def test_cancelled_run_is_a_failure(only):
    task = only("cancelled")
    assert facts(task) == ("weather", "failed", QUESTION, None, "CancelledError")
    assert 0.4 < task.duration < 20


def test_output_of_tool_can_be_the_answer(only):
    task = only("tool_output_as_answer")
    assert (task.status.value, task.result, task.tokens) == ("completed", "rainy", calls(1))


def test_hand_off_is_one_run_of_the_first_agent(only):
    task = only("hand_off")
    assert facts(task) == ("triage", "completed", QUESTION, ANSWER, None)
    assert task.tokens == calls(len(task.calls))


def test_agent_that_is_a_tool_belongs_to_the_run_and_counts_once(only):
    task = only("agent_as_tool")
    assert facts(task) == ("planner", "completed", QUESTION, ANSWER, None)
    assert task.used_tools == ["search", "get_weather"]
    assert [call.tokens for call in task.calls] == [CALL] * 4
    assert task.tokens == calls(4)


def test_each_run_in_a_trace_is_a_run_of_the_conversation(recorded):
    first, second = sorted(recorded["several_runs_in_a_trace"], key=lambda task: task.agent_id)
    assert_whole(first, "first")
    assert_whole(second, "second")
    assert {first.conversation_id, second.conversation_id} == {"thread-2"}


def test_runs_in_threads_are_kept_apart(recorded):
    tasks = sorted(recorded["threads"], key=lambda task: task.input.text)
    assert len(tasks) == 8
    for number, task in enumerate(tasks):
        assert_whole(task, question=f"question {number}")


def test_given_id_and_agent_are_those_of_the_run(only):
    task = only("given_id_and_agent")
    assert task.id == "ext-1"
    assert_whole(task, "desk")


def test_run_in_run_of_the_program_is_a_run_within_it_and_counts_once(recorded):
    tasks = {task.agent_id: task for task in recorded["in_run_of_the_program"]}
    assert set(tasks) == {"desk", "weather"}
    assert_whole(tasks["weather"])
    assert tasks["weather"].parent_task_id == tasks["desk"].id
    assert facts(tasks["desk"]) == ("desk", "completed", QUESTION, ANSWER, None)
    assert (tasks["desk"].calls, tasks["desk"].tokens) == ([], None)


def test_exception_that_the_program_handles_is_no_failure(only):
    assert_whole(only("while_an_exception_is_handled"))


def test_run_that_is_off_is_not_recorded(recorded):
    assert "off" not in recorded
