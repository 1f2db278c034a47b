"""Scenarios of the OpenAI Agents SDK with the models of the SDK, against a stub of the provider."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_trace_processors,
    trace,
)
from openai import AsyncOpenAI, InternalServerError

from integrations.provider_stub import provider
from integrations.scenarios import metadata, run_all, scenario
from xpander_sdk import Backend, Configuration
from xpander_sdk.integrations.openai_agents import TracingProcessor

QUESTION = "Weather in Paris?"
URL = ""


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return "rainy"


@function_tool
def broken_tool(city: str) -> str:
    """Raise an error, which the SDK passes on to the model."""
    raise ValueError("no such city")


def model(name: str = "gpt-5-mini", api: Any = OpenAIChatCompletionsModel) -> Any:
    return api(name, AsyncOpenAI(base_url=URL, api_key="no-key", max_retries=0))


def weather_agent(model_name: str = "gpt-5-mini", **options: Any) -> Agent:
    settings = ModelSettings(include_usage=True)
    values = {"name": "weather", "model": model(model_name), "tools": [get_weather], "model_settings": settings}
    return Agent(**{**values, **options})


def record(name: str, **options: Any) -> TracingProcessor:
    """Let all further runs be recorded for a scenario."""
    processor = TracingProcessor(metadata=metadata(name), **options)
    set_trace_processors([processor])
    return processor


def run(agent: Agent, question: Any = QUESTION, **options: Any) -> Any:
    return asyncio.run(Runner.run(agent, question, **options))


@scenario
def success() -> None:
    record("success")
    with trace("Support", group_id="thread-1", metadata={"user_id": "user-7"}):
        run(weather_agent(instructions="Be short."))


@scenario
def responses_api() -> None:
    record("responses_api")
    run(weather_agent(model=model(api=OpenAIResponsesModel)))


@scenario
def failure() -> None:
    record("failure")
    try:
        run(weather_agent("failing"))
    except InternalServerError:
        return
    raise AssertionError("the exception did not reach the program")


@scenario
def failed_tool() -> None:
    record("failed_tool")
    run(weather_agent(tools=[broken_tool]))


@scenario
def too_many_turns() -> None:
    record("too_many_turns")
    with suppress(Exception):
        run(weather_agent(), max_turns=1)


@scenario
def guardrail() -> None:
    async def refuse(*arguments: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="refused", tripwire_triggered=True)

    record("guardrail")
    with suppress(Exception):
        run(weather_agent(input_guardrails=[InputGuardrail(guardrail_function=refuse, run_in_parallel=False)]))


@scenario
def stream() -> None:
    async def consume() -> None:
        async for _ in Runner.run_streamed(weather_agent(), QUESTION).stream_events():
            pass

    record("stream")
    asyncio.run(consume())


@scenario
def early_close() -> None:
    async def consume() -> None:
        result = Runner.run_streamed(weather_agent(), QUESTION)
        async for event in result.stream_events():
            if event.type == "run_item_stream_event":
                result.cancel()
                break

    record("early_close")
    asyncio.run(consume())


@scenario
def cancelled() -> None:
    async def cancel() -> None:
        task = asyncio.create_task(Runner.run(weather_agent("slow"), QUESTION))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    record("cancelled")
    asyncio.run(cancel())


@scenario
def synchronous() -> None:
    record("synchronous")
    Runner.run_sync(weather_agent(), QUESTION)


@scenario
def tool_output_as_answer() -> None:
    record("tool_output_as_answer")
    assert run(weather_agent(tool_use_behavior="stop_on_first_tool")).final_output == "rainy"


@scenario
def hand_off() -> None:
    record("hand_off")
    result = run(Agent(name="triage", model=model(), handoffs=[weather_agent()]))
    assert result.last_agent.name == "weather"


@scenario
def agent_as_tool() -> None:
    record("agent_as_tool")
    search = weather_agent(name="searcher").as_tool("search", "Search with another agent.")
    run(weather_agent(name="planner", tools=[search]))


@scenario
def several_runs_in_a_trace() -> None:
    record("several_runs_in_a_trace")
    with trace("Support", group_id="thread-2"):
        run(weather_agent(name="first"))
        run(weather_agent(name="second"))


@scenario
def threads() -> None:
    record("threads")
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(run, weather_agent(), f"question {number}") for number in range(8)]
    assert all(future.result() for future in futures)


@scenario
def given_id_and_agent() -> None:
    record("given_id_and_agent", agent_id="desk")
    with trace("Support", metadata={"xpander_task_id": "ext-1"}):
        run(weather_agent())


@scenario
def in_run_of_the_program() -> None:
    name = "in_run_of_the_program"
    record(name)

    @Backend().run(agent_id="desk", metadata=metadata(name))
    def answer(question: str) -> Any:
        return run(weather_agent(), question)

    answer(QUESTION)


@scenario
def while_an_exception_is_handled() -> None:
    record("while_an_exception_is_handled")
    try:
        raise TimeoutError
    except TimeoutError:
        run(weather_agent())


@scenario
def off() -> None:
    record("off", backend=Backend(Configuration(runs=False)))
    run(weather_agent())


if __name__ == "__main__":
    with provider() as URL:
        run_all()
    processor = TracingProcessor()
    processor.force_flush()
