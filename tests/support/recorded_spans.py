"""Recorded spans of agent frameworks, and the runs that they are.

The files in `tests/data/spans` are the spans of agents that ran against a stub of a provider: an agent "weather" with a
tool `get_weather`, which two calls of a model answer with "Rainy, 14 C.", and runs in which the provider fails.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from xpander_capture.spans import Run

FOLDER = Path(__file__).parents[1] / "data" / "spans"


class Expected(NamedTuple):
    """Facts about a run that its spans contain."""

    agent: str | None
    input: str | None = "Weather in Paris?"
    result: str | None = "Rainy, 14 C."
    error: str | None = None
    # prompt, completion, read from the cache
    tokens: tuple[int, int, int] | None = (122, 34, 80)
    tools: tuple[str, ...] = ("get_weather",)
    calls: int = 2


def failed(agent: str | None, error: str, input: str = "x", result: str | None = None, calls: int = 1) -> Expected:
    """Return a failed run."""
    return Expected(agent, input, result, error, None, (), calls)


OPENAI_ERROR = "OpenAIAPIError: Error code: 500 - the provider said 500"
RUNS: dict[str, list[Expected]] = {
    "agno-openinference": [
        Expected("weather"),
        Expected("weather"),
        Expected("weather", input="Weather?"),
        failed("bad", "run status: error: ModelProviderError: the provider said 500", result="the provider said 500"),
    ],
    # Autogen states neither texts nor tokens. The span `create_agent` is no run.
    "autogen": [Expected("weather", None, None, None, None, calls=0)],
    # No spans of model calls.
    "crewai-openinference": [Expected("weather", tokens=None, calls=0)],
    "dspy-openinference": [
        failed(None, "AdapterParseError: LM response", '{"question": "hi"}', "Rainy, 14 C.", calls=2),
    ],
    "google-adk-content": [
        Expected("weather", tokens=(122, 44, 80)),
        failed("weather", "RuntimeError: the provider said 500", "Weather in Paris?"),
    ],
    "langchain-langsmith-otel": [Expected("weather")],
    "langchain-openinference": [Expected("weather"), Expected("weather"), failed("weather", OPENAI_ERROR)],
    "langchain-openinference-genai": [Expected("weather"), Expected("weather"), failed("weather", OPENAI_ERROR)],
    # Two spans `create_agent` are no runs.
    "langchain-openllmetry": [Expected("weather"), failed("weather", OPENAI_ERROR)],
    # The spans have no cached tokens, and the status of the failed run's topmost span is OK.
    "openai-agents-oi": [Expected("weather", tokens=(122, 34, 0)), failed("bad", "Error in agent run: ")],
    "pydantic-ai": [
        Expected("weather"),
        Expected("weather"),
        failed("bad", "ModelServerError: status_code: 500"),
        Expected("t", "x", '{"get_weather":"rainy"}', tokens=(103, 14, 0)),
    ],
    "strands": [
        Expected("weather", result="Rainy, 14 C.\n"),
        failed("weather", "InternalServerError: Error code: 500"),
    ],
}


def document(name: str) -> Any:
    """Return the OTLP JSON document of a recording."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def split(data: Any) -> list[Any]:
    """Return a document for each span of a document."""
    return [
        {"resourceSpans": [{"resource": resource["resource"], "scopeSpans": [{"spans": [span]}]}]}
        for resource in data["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def observed(run: Run) -> Expected:
    """Return what a run says, in the form of the expectation; the failed runs' errors are cut."""
    tokens = run.tokens
    return Expected(
        run.agent_id,
        run.input,
        run.result,
        run.error,
        (tokens["prompt_tokens"], tokens["completion_tokens"], tokens["cache_read_tokens"]) if tokens else None,
        tuple(run.used_tools),
        len(run.calls),
    )


def assert_runs(runs: list[Run], expected: list[Expected]) -> None:
    """Assert that runs are the expected ones, in any order."""
    found = sorted((observed(run) for run in runs), key=_order)
    wanted = sorted(expected, key=_order)
    assert len(found) == len(wanted)
    for run, want in zip(found, wanted, strict=True):
        if want.error is not None:
            assert run.error is not None
            run = run._replace(error=run.error[: len(want.error)])
        assert run == want
    assert sorted(str(run.is_success) for run in runs) == sorted(str(want.error is None) for want in wanted)


def _order(run: Expected) -> tuple[str, str, str]:
    return str(run.agent), str(run.input), (run.error or "")[:10]
