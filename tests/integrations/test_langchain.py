"""Runs that the callback handler records for LangChain and LangGraph."""

import pytest

from xpander_sdk import Tokens

pytestmark = pytest.mark.integration
FRAMEWORK = "langchain"

ANSWER = "Rainy, 14 °C."
CALL = {"prompt_tokens": 61, "completion_tokens": 17, "cache_read_tokens": 40}
ONE_CALL = Tokens(**CALL)
TWO_CALLS = Tokens(prompt_tokens=122, completion_tokens=34, cache_read_tokens=80)


def facts(task):
    return (task.agent_id, task.status.value, task.input.text, task.result, task.error)


def ids(task):
    return [call.response_id for call in task.calls]


def assert_whole(task):
    assert facts(task) == ("weather", "completed", "Weather in Paris?", ANSWER, None)
    assert (task.tokens, task.used_tools, ids(task)) == (TWO_CALLS, ["get_weather"], ["chatcmpl-1", "chatcmpl-2"])


def test_successful_run_has_every_field(only):
    task = only("success")
    assert_whole(task)
    assert (task.user_id, task.conversation_id, task.parent_task_id) == ("user-7", "thread-1", None)
    assert 0 < task.duration < 60
    assert [
        (call.provider, call.model, call.tokens, call.prompt_includes_cache, call.error) for call in task.calls
    ] == [("openai", "gpt-5-mini", CALL, True, None)] * 2
    assert all(0 < call.duration <= task.duration for call in task.calls)
    assert "Rainy" in str(task.llm_response)


def test_failed_run_has_its_reason_and_the_failed_call(only):
    task = only("failure")
    reason = "ConnectionError: the provider did not respond"
    assert facts(task) == ("weather", "failed", "Weather in Paris?", None, reason)
    assert [call.error for call in task.calls] == [reason]


def test_run_succeeds_after_failed_tool(only):
    task = only("failed_tool")
    assert facts(task) == ("weather", "completed", "Weather in Paris?", ANSWER, None)
    assert task.used_tools == ["broken_tool"]


@pytest.mark.parametrize("name", ["stream", "asynchronous"])
def test_run_is_whole(only, name):
    assert_whole(only(name))


def test_stream_of_chain_has_input_and_result(only):
    assert facts(only("token_stream")) == ("forecast", "completed", "Weather?", ANSWER, None)


@pytest.mark.parametrize("name", ["early_close", "asynchronous_early_close"])
def test_stream_that_ends_early_is_a_success_with_the_calls_so_far(only, name):
    task = only(name)
    assert facts(task) == ("weather", "completed", "Weather in Paris?", None, None)
    assert (task.tokens, ids(task)) == (ONE_CALL, ["chatcmpl-1"])


def test_cancelled_run_is_a_failure(only):
    assert facts(only("cancelled")) == ("waiter", "failed", "1", None, "CancelledError")


def test_interrupted_run_is_executing(only):
    task = only("interrupted")
    assert facts(task) == ("booking", "executing", "Weather in Paris?", "Shall I book it?", None)
    assert task.tokens == ONE_CALL


@pytest.mark.parametrize("name", ["resumed", "resumed_after_static_interrupt"])
def test_interrupt_and_resumption_are_one_run(only, name):
    task = only(name)
    assert facts(task) == ("booking", "completed", "Weather in Paris?", "Booked.", None)
    assert (task.tokens, ids(task)) == (TWO_CALLS, ["chatcmpl-1", "chatcmpl-2"])
    assert 0 < task.duration < 60


def test_new_question_in_interrupted_thread_is_another_run(recorded):
    tasks = recorded["asked_again_after_interrupt"]
    assert {task.input.text for task in tasks} == {"Weather in Paris?", "Never mind. And in Rome?"}
    assert [task.status.value for task in tasks] == ["executing"] * 2


def test_given_id_is_the_id_of_the_run(only):
    task = only("given_id")
    assert task.id == "ext-1"
    assert_whole(task)


def test_agent_that_is_a_tool_belongs_to_the_run(only):
    task = only("several_agents")
    assert facts(task) == ("planner", "completed", "Weather in Paris?", "It rains in Paris.", None)
    assert task.used_tools == ["search", "get_weather"]
    assert ids(task) == ["chatcmpl-11", "chatcmpl-1", "chatcmpl-2", "chatcmpl-12"]


def test_hand_off_to_another_graph_is_no_interrupt(only):
    task = only("hand_off")
    assert facts(task) == ("swarm", "completed", "Weather in Paris?", ANSWER, None)
    assert task.tokens == TWO_CALLS


def test_runs_in_threads_are_kept_apart(recorded):
    tasks = recorded["threads"]
    assert sorted(task.input.text for task in tasks) == [f"question {number}" for number in range(8)]
    assert {(task.result, tuple(task.used_tools), tuple(ids(task))) for task in tasks} == {
        (ANSWER, ("get_weather",), ("chatcmpl-1", "chatcmpl-2"))
    }


def test_each_item_of_a_batch_is_a_run(recorded):
    assert sorted(facts(task) for task in recorded["batch"]) == [
        ("calculator", "completed", question, "4", None) for question in ("1 + 3?", "2 + 2?")
    ]


def test_call_of_model_outside_of_chains_is_a_run(only):
    task = only("model_alone")
    assert facts(task) == ("calculator", "completed", "2 + 2?", "4", None)
    assert task.tokens == ONE_CALL


def test_call_of_model_in_run_of_the_program_belongs_to_it(only):
    task = only("model_in_run_of_the_program")
    assert facts(task) == ("desk", "completed", "2 + 2?", "4", None)
    assert (task.tokens, ids(task)) == (ONE_CALL, ["chatcmpl-1"])


def test_agent_in_run_of_the_program_is_a_run_within_it_and_counts_once(recorded):
    tasks = {task.agent_id: task for task in recorded["agent_in_run_of_the_program"]}
    assert set(tasks) == {"desk", "weather"}
    assert_whole(tasks["weather"])
    assert tasks["weather"].parent_task_id == tasks["desk"].id
    assert (tasks["desk"].calls, tasks["desk"].tokens) == ([], None)


def test_environment_variable_records_agents_without_handlers(recorded):
    [task] = [task for task in recorded[""] if task.agent_id == "found by the environment variable"]
    assert (task.result, task.tokens) == (ANSWER, TWO_CALLS)


@pytest.mark.parametrize("name", ["chain_without_model", "off"])
def test_nothing_is_recorded(recorded, name):
    assert name not in recorded
