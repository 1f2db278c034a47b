"""Scenarios of LangChain and LangGraph with models that answer from a list."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel, FakeMessagesListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from integrations.scenarios import metadata, run_all, scenario
from xpander_sdk import Backend, Configuration, current_run
from xpander_sdk.integrations.langchain import CallbackHandler

QUESTION = {"messages": [("user", "Weather in Paris?")]}


class Model(FakeMessagesListChatModel):
    """Model that accepts tools."""

    def bind_tools(self, tools: Any, **options: Any) -> "Model":
        return self


class FailingModel(Model):
    """Model whose provider does not respond."""

    def _generate(self, *arguments: Any, **options: Any) -> Any:
        raise ConnectionError("the provider did not respond")


def answer(text: str, number: int, tool_name: str | None = None) -> AIMessage:
    calls = [{"name": tool_name, "args": {"city": "Paris"}, "id": f"call-{number}"}] if tool_name else []
    return AIMessage(
        text,
        tool_calls=calls,
        usage_metadata={
            "input_tokens": 61, "output_tokens": 17, "total_tokens": 78, "input_token_details": {"cache_read": 40},
        },
        response_metadata={"id": f"chatcmpl-{number}", "model_name": "gpt-5-mini", "model_provider": "openai"},
    )  # fmt: skip


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return "rainy"


@tool
def broken_tool(city: str) -> str:
    """Raise an error."""
    raise ValueError("no such city")


def weather_agent(tools: Any = (get_weather,), name: str | None = "weather", **options: Any) -> Any:
    messages = [answer("", 1, tools[0].name), answer("Rainy, 14 °C.", 2)]
    return create_agent(Model(responses=messages), list(tools), name=name, **options)


def config(name: str, thread_id: str | None = None, **handler: Any) -> dict[str, Any]:
    return {
        "callbacks": [CallbackHandler(metadata=metadata(name), **handler)],
        "configurable": {} if thread_id is None else {"thread_id": thread_id},
    }


@scenario
def success() -> None:
    settings = config("success", "thread-1")
    settings["metadata"] = {"user_id": "user-7"}
    weather_agent(checkpointer=InMemorySaver()).invoke(QUESTION, settings)


@scenario
def failure() -> None:
    try:
        create_agent(FailingModel(responses=[]), [get_weather], name="weather").invoke(QUESTION, config("failure"))
    except ConnectionError:
        return
    raise AssertionError("the exception did not reach the program")


@scenario
def failed_tool() -> None:
    from langchain.agents.middleware import ToolRetryMiddleware

    retry = ToolRetryMiddleware(max_retries=0, on_failure="continue")
    weather_agent((broken_tool,), middleware=[retry]).invoke(QUESTION, config("failed_tool"))


@scenario
def stream() -> None:
    list(weather_agent().stream(QUESTION, config("stream")))


@scenario
def token_stream() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("Rainy, 14 °C.")]))
    prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
    list((prompt | model).stream({"question": "Weather?"}, config("token_stream", agent_id="forecast")))


@scenario
def early_close() -> None:
    chunks = weather_agent().stream(QUESTION, config("early_close"))
    next(chunks)
    chunks.close()


@scenario
def asynchronous() -> None:
    asyncio.run(weather_agent().ainvoke(QUESTION, config("asynchronous")))


@scenario
def asynchronous_early_close() -> None:
    async def consume() -> None:
        chunks = weather_agent().astream(QUESTION, config("asynchronous_early_close"))
        async for _ in chunks:
            break
        await chunks.aclose()

    asyncio.run(consume())


@scenario
def cancelled() -> None:
    async def wait(inputs: Any) -> None:
        started.set()
        await asyncio.sleep(30)

    async def cancel() -> None:
        graph = StateGraph(dict).add_node("wait", wait).add_edge(START, "wait").compile(name="waiter")
        task = asyncio.create_task(graph.ainvoke({"x": "1"}, config("cancelled")))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    started = asyncio.Event()
    asyncio.run(cancel())


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def approval_graph(**options: Any) -> Any:
    models = iter([answer("Shall I book it?", 1), answer("Booked.", 2)])

    def ask(state: State) -> Any:
        return {"messages": [Model(responses=[next(models)]).invoke(state["messages"])]}

    def approve(state: State) -> Any:
        return {"messages": [HumanMessage(interrupt("approve?"))]} if not options else {}

    graph = StateGraph(State).add_node("ask", ask).add_node("approve", approve).add_node("book", ask)
    graph.add_edge(START, "ask").add_edge("ask", "approve").add_edge("approve", "book").add_edge("book", END)
    return graph.compile(checkpointer=InMemorySaver(), name="booking", **options)


@scenario
def interrupted() -> None:
    approval_graph().invoke(QUESTION, config("interrupted", "thread-of-interrupted"))


@scenario
def resumed() -> None:
    graph = approval_graph()
    graph.invoke(QUESTION, config("resumed", "thread-of-resumed"))
    graph.invoke(Command(resume="yes"), config("resumed", "thread-of-resumed"))


@scenario
def resumed_after_static_interrupt() -> None:
    graph = approval_graph(interrupt_before=["approve"])
    settings = config("resumed_after_static_interrupt", "thread-of-static")
    graph.invoke(QUESTION, settings)
    graph.invoke(None, settings)


@scenario
def asked_again_after_interrupt() -> None:
    graph = approval_graph()
    settings = config("asked_again_after_interrupt", "thread-of-again")
    graph.invoke(QUESTION, settings)
    graph.invoke({"messages": [("user", "Never mind. And in Rome?")]}, settings)


@scenario
def given_id() -> None:
    settings = config("given_id")
    settings["metadata"] = {"xpander_task_id": "ext-1"}
    weather_agent().invoke(QUESTION, settings)


@scenario
def several_agents() -> None:
    searcher = weather_agent(name="searcher")

    @tool
    def search(city: str) -> str:
        """Search with another agent."""
        return str(searcher.invoke({"messages": [("user", city)]})["messages"][-1].content)

    messages = [answer("", 11, "search"), answer("It rains in Paris.", 12)]
    planner = create_agent(Model(responses=messages), [search], name="planner")
    planner.invoke(QUESTION, config("several_agents"))


@scenario
def hand_off() -> None:
    def route(state: State) -> Any:
        return Command(goto="weather", graph=Command.PARENT)

    router = StateGraph(State).add_node("route", route).add_edge(START, "route").compile(name="router")
    graph = StateGraph(State).add_node("router", router).add_node("weather", weather_agent())
    graph.add_edge(START, "router").compile(name="swarm").invoke(QUESTION, config("hand_off"))


@scenario
def threads() -> None:
    settings = config("threads")
    with ThreadPoolExecutor(4) as pool:
        futures = [
            pool.submit(weather_agent().invoke, {"messages": [("user", f"question {number}")]}, settings)
            for number in range(8)
        ]
    assert all(future.result() for future in futures)


@scenario
def batch() -> None:
    chain = RunnableLambda(lambda text: text) | FakeListChatModel(responses=["4"])
    chain.batch(["2 + 2?", "1 + 3?"], config("batch", agent_id="calculator"))


@scenario
def model_alone() -> None:
    Model(responses=[answer("4", 1)]).invoke("2 + 2?", config("model_alone", agent_id="calculator"))


@scenario
def model_in_run_of_the_program() -> None:
    name = "model_in_run_of_the_program"
    with Backend().run(agent_id="desk", input="2 + 2?", metadata=metadata(name)):
        Model(responses=[answer("4", 1)]).invoke("2 + 2?", {"callbacks": [CallbackHandler()]})


@scenario
def agent_in_run_of_the_program() -> None:
    name = "agent_in_run_of_the_program"
    with Backend().run(agent_id="desk", input="Weather?", metadata=metadata(name)) as run:
        run.record(weather_agent().invoke(QUESTION, config(name)))
        assert current_run() is run


@scenario
def chain_without_model() -> None:
    settings = config("chain_without_model")
    ChatPromptTemplate.from_messages([("user", "{question}")]).invoke({"question": "?"}, settings)


@scenario
def environment_variable() -> None:
    os.environ["XPANDER_LANGCHAIN"] = "true"
    try:
        weather_agent(name="found by the environment variable").invoke(QUESTION)
    finally:
        del os.environ["XPANDER_LANGCHAIN"]


@scenario
def off() -> None:
    weather_agent().invoke(QUESTION, config("off", backend=Backend(Configuration(runs=False))))


if __name__ == "__main__":
    run_all()
