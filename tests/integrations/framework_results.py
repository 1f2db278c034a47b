"""Runs that record the results of frameworks, each in the environment of its framework.

The program prints what a run has recorded as one line of JSON for each result. The command line names the frameworks.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ |= {"AGNO_TELEMETRY": "false", "HAYSTACK_TELEMETRY_ENABLED": "False", "DSPY_CACHEDIR": "dspy"}

from integrations.provider_stub import provider
from xpander_sdk.runs.recording import read

QUESTION = "Weather in Paris?"
MODEL = "gpt-5-mini"
URL = ""


def get_weather(city: str) -> str:
    """Return the weather of a city.

    Args:
        city: The city.
    """
    return "rainy"


def show(name: str, result: Any) -> None:
    """Print what a result states."""
    recorded = read(result)
    assert recorded is not None, f"{name}: {type(result)} is not known"
    calls = [{key: call.get(key) for key in ("model", "tokens", "prompt_includes_cache")} for call in recorded.calls]
    facts = {
        "output": recorded.output, "error": recorded.error, "is_paused": recorded.is_paused,
        "tools": recorded.tool_names, "calls": calls,
    }  # fmt: skip
    print("result", json.dumps({"name": name, **facts}))


def agno() -> None:
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

    agent = Agent(model=OpenAIChat(id=MODEL, base_url=URL), tools=[get_weather], telemetry=False)
    show("agno", agent.run(QUESTION))
    show("agno, second run", agent.run(QUESTION))
    model = OpenAIChat(id="failing", base_url=URL, max_retries=0)
    show("agno, failure", Agent(model=model, telemetry=False).run(QUESTION))


def pydantic_ai() -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=URL, api_key="no-key"))
    agent = Agent(model, tools=[get_weather])
    first = agent.run_sync(QUESTION)
    show("pydantic-ai", first)
    show("pydantic-ai, second run", agent.run_sync(QUESTION, message_history=first.all_messages()))


def smolagents() -> None:
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool

    model = OpenAIServerModel(MODEL, api_base=URL, api_key="no-key")
    agent = ToolCallingAgent(tools=[tool(get_weather)], model=model, verbosity_level=0, max_steps=1)
    show("smolagents, limit", agent.run(QUESTION, return_full_result=True))


def strands() -> None:
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    model = OpenAIModel(client_args={"base_url": URL, "api_key": "no-key"}, model_id=MODEL)
    agent = Agent(model=model, tools=[tool(get_weather)], callback_handler=None)
    show("strands", agent(QUESTION))
    show("strands, second run", agent(QUESTION))


def haystack() -> None:
    from haystack.components.agents import Agent
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.tools import create_tool_from_function
    from haystack.utils import Secret

    def run(**options: Any) -> Any:
        model = OpenAIChatGenerator(model=MODEL, api_base_url=URL, api_key=Secret.from_token("no-key"))
        agent = Agent(chat_generator=model, tools=[create_tool_from_function(get_weather)], **options)
        agent.warm_up()
        return agent.run(messages=[ChatMessage.from_user(QUESTION)])

    show("haystack", run())
    show("haystack, limit", run(max_agent_steps=1))


def autogen() -> None:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core import FunctionCall
    from autogen_core.models import CreateResult, RequestUsage
    from autogen_ext.models.replay import ReplayChatCompletionClient

    usage = RequestUsage(prompt_tokens=61, completion_tokens=17)
    call = FunctionCall(id="1", name="get_weather", arguments='{"city": "Paris"}')
    abilities = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False}
    model = ReplayChatCompletionClient(
        [
            CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False),
            CreateResult(finish_reason="stop", content="Rainy, 14 °C.", usage=usage, cached=False),
        ],
        model_info={**abilities, "family": "unknown"},  # type: ignore[typeddict-item]
    )
    agent = AssistantAgent("weather", model_client=model, tools=[get_weather], reflect_on_tool_use=True)
    show("autogen", asyncio.run(agent.run(task=QUESTION)))


def dspy() -> None:
    import dspy

    class Adapter(dspy.ChatAdapter):  # type: ignore[misc]
        """Adapter that takes the answer of the stub as it is."""

        def parse(self, signature: Any, completion: str) -> dict[str, Any]:
            return {"answer": completion}

    model = dspy.LM(f"openai/{MODEL}", api_base=URL, api_key="no-key", cache=False, temperature=1.0, max_tokens=20_000)
    dspy.configure(lm=model, track_usage=True, adapter=Adapter())
    show("dspy", dspy.Predict("question -> answer")(question=QUESTION))


def crewai() -> None:
    from crewai import LLM, Agent, Crew, Task
    from crewai.tools import tool

    def agent(role: str, model: Any) -> Any:
        tools = [tool("get_weather")(get_weather)]
        return Agent(role=role, goal="Answer.", backstory="A forecaster.", llm=model, tools=tools)

    def crew(*agents: Any) -> Any:
        tasks = [Task(description=QUESTION, expected_output="A sentence.", agent=each) for each in agents]
        return Crew(agents=list(agents), tasks=tasks)

    def model() -> Any:
        return LLM(model=f"openai/{MODEL}", base_url=URL, api_key="no-key")

    own = crew(agent("one", model()))
    show("crewai", own.kickoff())
    show("crewai, second run", own.kickoff())
    shared = model()
    show("crewai, several agents", crew(agent("one", shared), agent("other", shared)).kickoff())
    show("crewai, single agent", agent("one", shared).kickoff(QUESTION))


def langgraph() -> None:
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import interrupt

    from integrations.langchain_runs import Model, answer

    def ask(city: str) -> str:
        """Ask a person."""
        return str(interrupt("Which weather?"))

    def run(tool: Any, messages: list[AIMessage]) -> Any:
        agent: Any = create_agent(Model(responses=messages), [tool], checkpointer=InMemorySaver())
        settings: Any = {"configurable": {"thread_id": "thread-1"}}
        first = agent.invoke({"messages": [("user", QUESTION)]}, settings)
        return first if tool is ask else agent.invoke({"messages": [("user", QUESTION)]}, settings)

    messages = [answer("", 1, "get_weather"), answer("Rainy, 14 °C.", 2)]
    messages += [answer("", 3, "get_weather"), answer("Rainy, 14 °C.", 4)]
    show("langgraph, second run", run(get_weather, messages))
    show("langgraph, interrupt", run(ask, [answer("", 1, "ask")]))


def openai_agents() -> None:
    from agents import Runner, set_tracing_disabled

    from integrations import openai_agents_runs as runs

    set_tracing_disabled(True)
    runs.URL = URL
    show("openai-agents", asyncio.run(Runner.run(runs.weather_agent(), QUESTION)))


def claude_agent_sdk() -> None:
    from claude_agent_sdk import ResultMessage

    models = {
        name: {
            "inputTokens": 61, "outputTokens": 17, "cacheReadInputTokens": 40, "cacheCreationInputTokens": 0,
            "costUSD": 0.01,
        }
        for name in ("claude-sonnet-4-5", "claude-haiku-4-5")
    }  # fmt: skip
    facts: dict[str, Any] = {
        "duration_ms": 10, "duration_api_ms": 9, "num_turns": 2, "session_id": "session-1",
        "usage": {"input_tokens": 61, "output_tokens": 17}, "model_usage": models,
    }  # fmt: skip
    show("claude-agent-sdk", ResultMessage(subtype="success", is_error=False, result="Rainy, 14 °C.", **facts))
    show("claude-agent-sdk, failure", ResultMessage(subtype="error_max_turns", is_error=True, **facts))


FRAMEWORKS: tuple[Callable[[], None], ...] = (
    agno, autogen, claude_agent_sdk, crewai, dspy, haystack, langgraph, openai_agents, pydantic_ai, smolagents, strands,
)  # fmt: skip

if __name__ == "__main__":
    with provider() as URL:
        for framework in FRAMEWORKS:
            if framework.__name__ in sys.argv[1:]:
                framework()
