"""Runs that the event listener records for CrewAI."""

import pytest

from xpander_sdk import Tokens

pytestmark = pytest.mark.integration
FRAMEWORK = "crewai"

QUESTION = "Weather in Paris?"
ANSWER = "Rainy, 14 °C."
FAILURE = "Error code: 500 - {'error': {'message': 'the provider failed'}}"
CALL = {"prompt_tokens": 61, "completion_tokens": 17, "cache_read_tokens": 40, "reasoning_tokens": 5}


def facts(task):
    return (task.agent_id, task.status.value, task.input.text, task.result, task.error)


def assert_calls(task, number):
    """Assert that a run has a number of successful calls, each counted once."""
    assert task.tokens == Tokens(
        prompt_tokens=61 * number, completion_tokens=17 * number, cache_read_tokens=40 * number,
    )  # fmt: skip
    assert [
        (call.provider, call.model, call.tokens, call.prompt_includes_cache, call.error) for call in task.calls
    ] == [("openai", "gpt-5-mini", CALL, True, None)] * number
    assert len({call.response_id for call in task.calls}) == number
    assert all(0 < call.duration <= task.duration for call in task.calls)


def assert_whole(task, agent_id="weather", question=QUESTION):
    assert facts(task) == (agent_id, "completed", question, ANSWER, None)
    assert task.used_tools == ["get_weather"]
    assert_calls(task, 2)


def test_successful_kickoff_has_every_field(only):
    task = only("success")
    assert_whole(task)
    assert (task.user_id, task.conversation_id, task.parent_task_id) == (None, None, None)
    assert 0 < task.duration < 60


def test_second_kickoff_of_a_crew_counts_its_own_calls_only(only):
    assert_whole(only("second_kickoff"))


def test_name_of_crew_is_the_agent_and_inputs_are_the_input(only):
    assert_whole(only("inputs_and_name"), "forecast", '{"city": "Paris"}')


def test_failed_kickoff_has_its_reason_and_the_failed_call_once(only):
    task = only("failure")
    assert facts(task) == ("weather", "failed", QUESTION, None, FAILURE)
    assert [(call.provider, call.model, call.error) for call in task.calls] == [
        ("openai", "gpt-failing", f"OpenAI API call failed: {FAILURE}")
    ]


def test_kickoff_that_fails_before_its_start_is_a_failed_run_of_its_own(recorded):
    first, second = recorded["failure_before_start"]
    assert_whole(first)
    assert facts(second) == ("weather", "failed", QUESTION, None, "no inputs today")
    assert second.calls == []


def test_callback_that_fails_after_the_kickoff_is_a_failure(only):
    task = only("failure_after_end")
    assert (task.status.value, task.error) == ("failed", "the answer is wrong")
    assert_calls(task, 2)


def test_run_succeeds_after_failed_tool(only):
    task = only("failed_tool")
    assert facts(task) == ("weather", "completed", QUESTION, ANSWER, None)
    assert task.used_tools == ["broken_tool"]


def test_agents_of_a_crew_belong_to_its_run_and_count_once(only):
    task = only("several_agents")
    assert facts(task) == ("crew", "completed", f"{QUESTION}\n\n{QUESTION}", ANSWER, None)
    assert task.used_tools == ["get_weather"] * 2
    assert_calls(task, 4)


def test_tasks_in_threads_belong_to_the_run(only):
    task = only("asynchronous_tasks")
    assert (task.agent_id, task.status.value, task.result) == ("crew", "completed", ANSWER)
    assert task.used_tools == ["get_weather"] * 3
    assert_calls(task, 6)


def test_calls_of_the_manager_belong_to_the_run(only):
    task = only("hierarchical")
    assert facts(task) == ("office", "completed", QUESTION, ANSWER, None)
    assert task.used_tools == ["delegate_work_to_coworker"]
    assert_calls(task, 2)


@pytest.mark.parametrize(
    "name", ["streamed_model", "stream", "early_close", "asynchronous", "in_thread_of_event_loop", "single_agent"]
)
def test_run_is_whole(name, only):
    assert_whole(only(name))


def test_cancelled_kickoff_is_not_known_to_have_ended(recorded, route):
    tasks = recorded.get("cancelled", [])
    assert [task.status.value for task in tasks] == (["executing"] if route == "outbox" else [])


@pytest.mark.parametrize(("name", "number"), [("threads", 6), ("concurrently", 4)])
def test_runs_in_threads_and_tasks_are_kept_apart(name, number, recorded):
    tasks = sorted(recorded[name], key=lambda task: task.agent_id)
    assert len(tasks) == number
    for index, task in enumerate(tasks):
        assert_whole(task, f"agent {index}")


def test_failed_agent_without_crew_is_a_failed_run(only):
    task = only("failing_single_agent")
    assert (task.agent_id, task.status.value, task.result, task.error) == ("weather", "failed", None, FAILURE)
    assert QUESTION in task.input.text
    assert [call.model for call in task.calls] == ["gpt-failing"]


def test_flow_is_one_run_with_its_crews_and_one_without_agents_is_none(only):
    task = only("flow")
    assert (task.agent_id, task.status.value, task.result) == ("Support", "completed", ANSWER)
    assert task.used_tools == ["get_weather"]
    assert_calls(task, 3)


def test_model_without_agent_belongs_to_the_run_of_the_program(only):
    task = only("model_in_run_of_the_program")
    assert facts(task) == ("desk", "completed", QUESTION, ANSWER, None)
    assert_calls(task, 1)


def test_kickoff_in_run_of_the_program_is_a_run_within_it(recorded):
    outer, inner = sorted(recorded["in_run_of_the_program"], key=lambda task: task.agent_id)
    assert facts(outer) == ("desk", "completed", QUESTION, ANSWER, None)
    assert (outer.tokens, outer.calls) == (None, [])
    assert_whole(inner)
    assert inner.parent_task_id == outer.id
    assert (inner.user_id, inner.conversation_id) == ("user-7", "thread-1")


def test_given_agent_is_that_of_the_run(only):
    assert_whole(only("given_agent"), "desk")


def test_runs_that_are_off_are_not_recorded(recorded):
    assert "off" not in recorded
