"""Results that the frameworks themselves return, each in an environment of its own, as `Run.record` reads them."""

import json
import os
from typing import Any

import pytest

from integrations.conftest import environment_python, run_program

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(os.environ.get("OLDEST")), reason="the results are those of the newest versions"),
]

ANSWER = "Rainy, 14 °C."
MODEL = "gpt-5-mini"
PLAIN = {"prompt_tokens": 61, "completion_tokens": 17}
CACHED = {**PLAIN, "cache_read_tokens": 40}

# Environments, and the frameworks whose results are read there.
ENVIRONMENTS = {
    "claude-agent-sdk": ["claude_agent_sdk"],
    "crewai": ["crewai"],
    "langchain": ["langgraph"],
    "openai-agents": ["openai_agents"],
    "results": ["agno", "autogen", "dspy", "haystack", "pydantic_ai", "smolagents", "strands"],
}


def call(model: str | None = MODEL, number: int = 1, tokens: dict[str, int] = CACHED) -> tuple[Any, dict[str, int]]:
    """Return the model and the tokens of an entry that stands for a number of calls."""
    return (model, {kind: number * count for kind, count in tokens.items()})


# Environment, name of the result, answer, tools and calls.
SUCCESSES = [
    ("results", "agno", ANSWER, ["get_weather"], [call(number=2)]),
    ("results", "agno, second run", ANSWER, ["get_weather"], [call(number=2)]),
    ("results", "autogen", ANSWER, ["get_weather"], [call(None, tokens=PLAIN)] * 2),
    ("results", "dspy", {"answer": ANSWER}, [], [call(f"openai/{MODEL}")]),
    ("results", "haystack", ANSWER, ["get_weather"], [call()] * 2),
    ("results", "pydantic-ai", ANSWER, ["get_weather"], [call()] * 2),
    ("results", "pydantic-ai, second run", ANSWER, ["get_weather"], [call()] * 2),
    ("results", "strands", ANSWER, ["get_weather"], [call(None)] * 2),
    ("results", "strands, second run", ANSWER, ["get_weather"], [call(None)] * 2),
    ("crewai", "crewai", ANSWER, ["get_weather"], [call(None, 2)]),
    ("crewai", "crewai, second run", ANSWER, ["get_weather"], []),
    ("crewai", "crewai, several agents", ANSWER, ["get_weather"] * 2, []),
    ("crewai", "crewai, single agent", ANSWER, ["get_weather"], [call(None, 2)]),
    ("langchain", "langgraph, second run", ANSWER, ["get_weather"], [call()] * 2),
    ("openai-agents", "openai-agents", ANSWER, ["get_weather"], [call()] * 2),
    ("claude-agent-sdk", "claude-agent-sdk", ANSWER, [], [call("claude-sonnet-4-5"), call("claude-haiku-4-5")]),
]  # fmt: skip
FAILURES = [
    ("results", "agno, failure", "the provider failed"),
    ("results", "haystack, limit", "the run stopped: max_agent_steps"),
    ("results", "smolagents, limit", "the run ended in the state max_steps_error"),
    ("claude-agent-sdk", "claude-agent-sdk, failure", "the run ended with error_max_turns"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """Return a function that returns what the results of an environment state, by name."""
    known: dict[str, dict[str, Any]] = {}

    def read(environment: str) -> dict[str, Any]:
        if environment not in known:
            python = environment_python(environment, request.config)
            arguments = ["-m", "integrations.framework_results", *ENVIRONMENTS[environment]]
            output = run_program(python, arguments, tmp_path_factory.mktemp(environment))
            lines = [line.removeprefix("result ") for line in output.splitlines() if line.startswith("result ")]
            known[environment] = {facts["name"]: facts for facts in map(json.loads, lines)}
        return known[environment]

    return read


@pytest.mark.parametrize(("environment", "name", "answer", "tools", "calls"), SUCCESSES)
def test_result_states_its_run(environment, name, answer, tools, calls, results):
    facts = results(environment)[name]
    assert (facts["output"], facts["error"], facts["is_paused"], facts["tools"]) == (answer, None, False, tools)
    assert [each["model"] for each in facts["calls"]] == [model for model, _ in calls]
    for each, (_, tokens) in zip(facts["calls"], calls, strict=True):
        assert each["tokens"].items() >= tokens.items()
        if "cache_read_tokens" in tokens:
            assert each["prompt_includes_cache"] is (environment != "claude-agent-sdk")


@pytest.mark.parametrize(("environment", "name", "error"), FAILURES)
def test_failure_that_is_returned_has_its_reason(environment, name, error, results):
    assert results(environment)[name]["error"] == error


def test_interrupted_graph_is_paused(results):
    facts = results("langchain")["langgraph, interrupt"]
    assert (facts["is_paused"], facts["error"], facts["tools"]) == (True, None, ["ask"])
