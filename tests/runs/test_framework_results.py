"""Results of frameworks: tokens of the run itself, tools, text, failure and pause."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs import framework_results as frameworks
from runs.backend import Recorder
from xpander_capture.results import read_result
from xpander_sdk.runs import recording
from xpander_sdk.runs.calls import Calls

TOOLS = ["get_weather"]

# Framework: result object, tokens of prompt, completion and cache, tools, text.
RESULTS: dict[str, tuple[Any, tuple[int, int, int], list[str], Any]] = {
    "agno": (frameworks.agno(), (61, 17, 40), TOOLS, "Rainy, 14 C."),
    "OpenAI Agents, with an agent as a tool": (frameworks.openai_agents(), (132, 34, 0), TOOLS, "Rainy"),
    "pydantic-ai": (frameworks.pydantic_ai(), (122, 34, 80), TOOLS, "Rainy"),
    "strands, second invocation": (frameworks.strands(), (122, 34, 80), TOOLS, "Rainy"),
    "smolagents": (frameworks.smolagents(), (122, 34, 0), TOOLS, "Rainy"),
    "CrewAI": (frameworks.crewai(), (122, 34, 80), [], "Rainy"),
    "CrewAI, sum of several kickoffs": (frameworks.crewai_with_shared_model(), (0, 0, 0), TOOLS, "Rainy"),
    "CrewAI, agent without crew": (frameworks.crewai_agent(), (122, 34, 80), [], "Rainy"),
    "LangGraph, second turn": (frameworks.langgraph(), (122, 34, 80), TOOLS, "Rainy"),
    "haystack": (frameworks.haystack(), (122, 34, 0), TOOLS, "Rainy"),
    "autogen": (frameworks.autogen(), (122, 34, 0), TOOLS, "Rainy"),
    "Claude Agent SDK, with a sub-agent": (frameworks.claude(), (80, 34, 40), [], "Rainy"),
    "DSPy": (frameworks.dspy(), (122, 34, 0), [], {"answer": "Rainy"}),
    "LangChain's agent executor": (
        {"input": "W?", "output": "Rainy", "intermediate_steps": [(frameworks.Object(tool="get_weather"), "rainy")]},
        (0, 0, 0), TOOLS, "Rainy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_result_states_its_run(name: str):
    result, expected_tokens, tools, output = RESULTS[name]
    recorded = recording.read(result)
    assert recorded is not None
    calls = Calls()
    for call in recorded.calls:
        calls.add(call)
    tokens = calls.tokens()
    counts = (tokens.prompt_tokens, tokens.completion_tokens, tokens.cache_read_tokens) if tokens else (0, 0, 0)
    assert counts == expected_tokens
    assert list(recorded.tool_names) == tools
    assert read_result(result).output == output
    assert (recorded.error, recorded.is_paused) == (None, False)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (frameworks.agno("ERROR", "quota exceeded"), "quota exceeded"),
        (frameworks.agno("CANCELLED", None), "the run has the status CANCELLED"),
        (frameworks.smolagents("max_steps_error"), "the run ended in the state max_steps_error"),
        (frameworks.strands("guardrail_intervened"), "the run stopped: guardrail_intervened"),
        (frameworks.strands("limit_turns"), "the run stopped: limit_turns"),
        (frameworks.haystack("max_agent_steps"), "the run stopped: max_agent_steps"),
        (frameworks.claude(is_error=True, subtype="success", result="API Error: 500"), "API Error: 500"),
        (frameworks.claude(subtype="error_max_turns", result=None), "the run ended with error_max_turns"),
        (frameworks.claude(is_error=True, errors=["a", "b"]), "a; b"),
    ],
)
def test_failure_that_is_returned_makes_the_run_fail(direct: Recorder, result: Any, error: str):
    direct.sdk.run()(lambda: result)()
    assert direct.report["is_success"] is False
    assert recording.read(result).error == error


@pytest.mark.parametrize(
    "result",
    [
        frameworks.agno("PAUSED", None),
        frameworks.openai_agents(interruptions=["approve?"]),
        frameworks.pydantic_ai(output=frameworks.instance("pydantic_ai.tools", "DeferredToolRequests")),
        frameworks.strands("interrupt"),
        frameworks.langgraph(__interrupt__=["approve?"]),
        {"x": "", "__interrupt__": ["approve?"]},
        frameworks.Object(value=frameworks.langgraph(), interrupts=["approve?"]),
    ],
)
def test_run_that_waits_for_a_person_stays_in_progress(direct: Recorder, result: Any):
    with direct.sdk.run() as run:
        run.record(result)
    assert direct.report["is_success"] is None


def test_result_and_its_recorded_responses_count_once(direct: Recorder):
    result = frameworks.langgraph()
    with direct.sdk.run() as run:
        for message in result["messages"][3:]:
            run.record(message)
        run.record(result)
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["used_tools"]) == (122, TOOLS)


def test_objects_of_frameworks_are_not_sent(direct: Recorder):
    with direct.sdk.run() as run:
        run.record(frameworks.openai_agents())
    assert direct.report["llm_response"] is None


def test_watched_messages_of_claude_end_with_their_result(direct: Recorder):
    message = frameworks.instance(
        "claude_agent_sdk.types", "AssistantMessage",
        content=[frameworks.Object(name="Bash", input={}, id="t"), frameworks.Object(text="Rainy")], model="m",
    )  # fmt: skip
    with direct.sdk.run() as run:
        list(run.watch(iter([message, frameworks.claude()])))
    report = direct.report
    assert (report["tokens"]["prompt_tokens"], report["result"], report["used_tools"]) == (80, "Rainy", ["Bash"])


def test_model_of_agents_with_different_models_is_unknown():
    result = frameworks.openai_agents()
    result.new_items[0].agent = frameworks.Object(name="other", model="gpt-5")
    assert {call.get("model") for call in recording.read(result).calls} == {None}


def test_cost_that_a_framework_states_is_recorded():
    assert [call["cost"] for call in recording.read(frameworks.claude()).calls] == [0.02, 0.01]


NAMES = sorted(
    {name for result, *_ in RESULTS.values() for name in (result if isinstance(result, dict) else vars(result))}
    | {"usage", "input_tokens", "cycles", "content", "type", "source", "model", "provider"}
)
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=8),
    max_leaves=20,
)


@given(value=st.dictionaries(st.sampled_from(NAMES), Json, max_size=10), is_object=st.booleans())
def test_arbitrary_data_with_known_names_never_raises(value: dict[str, Any], is_object: bool):
    recording.read(frameworks.Object(**value) if is_object else value)
