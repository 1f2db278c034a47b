"""Scenarios of CrewAI against a stub of the provider."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "CREWAI_STORAGE_DIR": "crewai"}

from crewai import LLM, Agent, Crew, Process, Task
from crewai.events.event_bus import crewai_event_bus
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool

from integrations.provider_stub import provider
from integrations.scenarios import metadata, run_all, scenario
from xpander_sdk import Backend, Configuration
from xpander_sdk.integrations import background
from xpander_sdk.integrations.crewai import EventListener

QUESTION = "Weather in Paris?"
URL = ""


@tool("get_weather")
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return "rainy"


@tool("broken_tool")
def broken_tool(city: str) -> str:
    """Raise an error."""
    raise ValueError("no weather today")


@contextmanager
def recording(name: str, backend: Backend | None = None, **options: Any) -> Iterator[None]:
    """Record the kickoffs of the block as runs of a scenario."""
    with crewai_event_bus.scoped_handlers():
        EventListener(backend, metadata=metadata(name), **options)
        yield
        assert crewai_event_bus.flush()


def model(name: str = "gpt-5-mini", **options: Any) -> LLM:
    return LLM(model=f"openai/{name}", base_url=URL, api_key="no-key", max_retries=0, **options)


def agent(role: str = "weather", llm: Any = None, tools: tuple[Any, ...] = (get_weather,), **options: Any) -> Agent:
    llm = model() if llm is None else llm
    return Agent(role=role, goal="Answer.", backstory="A forecaster.", llm=llm, tools=list(tools), **options)


def crew(*agents: Agent, **options: Any) -> Crew:
    agents = agents or (agent(),)
    tasks = [Task(description=QUESTION, expected_output="A sentence.", agent=each) for each in agents]
    return Crew(agents=list(agents), tasks=tasks, **options)


@scenario
def success() -> None:
    with recording("success"):
        crew().kickoff()


@scenario
def second_kickoff() -> None:
    own = crew()
    own.kickoff()
    with recording("second_kickoff"):
        own.kickoff()


@scenario
def inputs_and_name() -> None:
    own = agent("forecaster of {city}\n")
    task = Task(description="Weather in {city}?", expected_output="A sentence.", agent=own)
    with recording("inputs_and_name"):
        Crew(name="forecast", agents=[own], tasks=[task]).kickoff({"city": "Paris"})


@scenario
def failure() -> None:
    with recording("failure"), suppress(Exception):
        crew(agent(llm=model("gpt-failing"), max_retry_limit=0)).kickoff()


@scenario
def failure_before_start() -> None:
    def fail(inputs: Any) -> Any:
        raise ValueError("no inputs today")

    own = crew()
    with recording("failure_before_start"):
        own.kickoff()
        own.before_kickoff_callbacks.append(fail)
        with suppress(ValueError):
            own.kickoff()


@scenario
def failure_after_end() -> None:
    def fail(output: Any) -> Any:
        raise ValueError("the answer is wrong")

    own = crew()
    own.after_kickoff_callbacks.append(fail)
    with recording("failure_after_end"), suppress(ValueError):
        own.kickoff()


@scenario
def failed_tool() -> None:
    with recording("failed_tool"):
        crew(agent(tools=(broken_tool,))).kickoff()


@scenario
def several_agents() -> None:
    shared = model()
    with recording("several_agents"):
        crew(agent("researcher", shared), agent("writer", shared)).kickoff()


@scenario
def asynchronous_tasks() -> None:
    one, other, last = agent("one"), agent("other"), agent("last")
    own = crew(one, other, last)
    own.tasks[0].async_execution = own.tasks[1].async_execution = True
    with recording("asynchronous_tasks"):
        own.kickoff()


@scenario
def hierarchical() -> None:
    own = agent()
    task = Task(description=QUESTION, expected_output="A sentence.")
    with recording("hierarchical"):
        Crew(name="office", agents=[own], tasks=[task], process=Process.hierarchical, manager_llm=model()).kickoff()


@scenario
def streamed_model() -> None:
    with recording("streamed_model"):
        crew(agent(llm=model(stream=True))).kickoff()


@scenario
def stream() -> None:
    with recording("stream"):
        streaming = crew(stream=True).kickoff()
        assert [chunk.content for chunk in streaming]
        assert streaming.result.raw


@scenario
def early_close() -> None:
    with recording("early_close"):
        streaming = crew(stream=True).kickoff()
        for chunk in streaming:
            assert chunk
            break
        if hasattr(streaming, "close"):  # since CrewAI 1.14
            streaming.close()


@scenario
def asynchronous() -> None:
    with recording("asynchronous"):
        asyncio.run(crew().akickoff())


@scenario
def in_thread_of_event_loop() -> None:
    with recording("in_thread_of_event_loop"):
        asyncio.run(crew().kickoff_async())


@scenario
def cancelled() -> None:
    async def run() -> None:
        kickoff = asyncio.create_task(crew(agent(llm=model("gpt-slow"))).akickoff())
        await asyncio.sleep(0.5)
        kickoff.cancel()
        with suppress(asyncio.CancelledError):
            await kickoff

    with recording("cancelled"):
        asyncio.run(run())


@scenario
def threads() -> None:
    with recording("threads"), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(crew(agent(f"agent {number}")).kickoff) for number in range(6)]
        assert all(future.result() for future in futures)


@scenario
def concurrently() -> None:
    async def run() -> None:
        await asyncio.gather(*(agent(f"agent {number}").kickoff_async(QUESTION) for number in range(4)))

    with recording("concurrently"):
        asyncio.run(run())


@scenario
def single_agent() -> None:
    with recording("single_agent"):
        agent().kickoff(QUESTION)


@scenario
def failing_single_agent() -> None:
    with recording("failing_single_agent"), suppress(Exception):
        agent(llm=model("gpt-failing")).kickoff([{"role": "user", "content": QUESTION}])


class Support(Flow[Any]):
    """Flow of an agent and a crew."""

    @start()
    def ask(self) -> str:
        return str(model().call(QUESTION))

    @listen(ask)
    def answer(self) -> str:
        return str(crew().kickoff().raw)


class Words(Flow[Any]):
    """Flow without agents."""

    @start()
    def answer(self) -> str:
        return "42"


@scenario
def flow() -> None:
    with recording("flow"):
        Support().kickoff()
        Words().kickoff()


@scenario
def model_in_run_of_the_program() -> None:
    name = "model_in_run_of_the_program"
    with recording(name), Backend().run(agent_id="desk", input=QUESTION, metadata=metadata(name)) as run:
        run.result = model().call(QUESTION)
        assert crewai_event_bus.flush()
    with recording(name):
        model().call(QUESTION)  # outside of runs


@scenario
def in_run_of_the_program() -> None:
    name = "in_run_of_the_program"
    options = {"user_id": "user-7", "conversation_id": "thread-1", "metadata": metadata(name)}
    with recording(name), Backend().run(agent_id="desk", input=QUESTION, **options) as run:
        run.result = crew().kickoff().raw


@scenario
def given_agent() -> None:
    with recording("given_agent", agent_id="desk"):
        crew().kickoff()


@scenario
def off() -> None:
    with recording("off", Backend(Configuration(runs=False))):
        crew().kickoff()


if __name__ == "__main__":
    with provider() as URL:
        run_all()
    assert background.flush(30)
