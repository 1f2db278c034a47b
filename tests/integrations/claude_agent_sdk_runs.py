"""Scenarios of the Claude Agent SDK, with a transport that replaces its command-line program."""

import asyncio
import json
from contextlib import aclosing, suppress
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Transport, query

from integrations.scenarios import metadata, run_all, scenario
from xpander_sdk import Backend, Configuration
from xpander_sdk.integrations import background
from xpander_sdk.integrations.claude_agent_sdk import record_messages

QUESTION = "Weather in Paris?"
SESSION = "session-1"


def assistant(*blocks: dict[str, Any], parent: str | None = None) -> dict[str, Any]:
    message = {"id": "msg_1", "role": "assistant", "model": "claude-sonnet-4-5", "content": list(blocks)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": parent, "session_id": SESSION}


def tool_use(name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}}


def usage(number: int, cost: float) -> dict[str, Any]:
    return {
        "inputTokens": number, "outputTokens": 17, "cacheReadInputTokens": 40, "cacheCreationInputTokens": 0,
        "webSearchRequests": 0, "costUSD": cost, "contextWindow": 200_000,
    }  # fmt: skip


def result(**values: Any) -> dict[str, Any]:
    return {
        "type": "result", "subtype": "success", "is_error": False, "duration_ms": 1_200, "duration_api_ms": 900,
        "num_turns": 2, "session_id": SESSION, "uuid": "result-1", "result": "Rainy, 14 °C.", "total_cost_usd": 0.03,
        "usage": {"input_tokens": 61, "output_tokens": 17},
        "modelUsage": {"claude-sonnet-4-5": usage(61, 0.02), "claude-haiku-4-5": usage(9, 0.01)},
    } | values  # fmt: skip


ANSWER = {"type": "text", "text": "Rainy, 14 °C."}
WHOLE = [
    assistant({"type": "text", "text": "I search."}, tool_use("Task")),
    assistant(tool_use("WebSearch"), parent="toolu_Task"),
    assistant(ANSWER),
    result(),
]


class FakeTransport(Transport):
    """Transport that confirms all requests of the SDK and then sends fixed messages; `None` is no response."""

    def __init__(self, *messages: dict[str, Any] | Exception | None) -> None:
        self._messages = messages
        self._confirmations: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def connect(self) -> None:
        """Do nothing: there is no program."""

    async def write(self, data: str) -> None:
        for line in data.splitlines():
            request = json.loads(line)
            if request["type"] == "control_request":
                response = {"subtype": "success", "request_id": request["request_id"], "response": {}}
                self._confirmations.put_nowait({"type": "control_response", "response": response})

    async def read_messages(self) -> Any:
        yield await self._confirmations.get()
        for message in self._messages:
            if message is None:
                await asyncio.sleep(20)
            elif isinstance(message, Exception):
                raise message
            else:
                yield message

    async def end_input(self) -> None:
        """Do nothing: all messages are fixed."""

    def is_ready(self) -> bool:
        return True

    async def close(self) -> None:
        """Do nothing: there is no program."""


def recorded(name: str, *messages: Any, **options: Any) -> Any:
    return record_messages(
        query(prompt=QUESTION, transport=FakeTransport(*messages)),
        **{"agent_id": "weather", "input": QUESTION, "metadata": metadata(name), **options},
    )


async def read(messages: Any) -> list[Any]:
    return [message async for message in messages]


@scenario
def success() -> None:
    assert len(asyncio.run(read(recorded("success", *WHOLE, user_id="user-7")))) == 4


@scenario
def failure() -> None:
    failed = result(subtype="error_during_execution", is_error=True, result=None, errors=["the provider failed"])
    with suppress(Exception):  # the SDK may raise after such a result
        asyncio.run(read(recorded("failure", assistant(tool_use("WebSearch")), failed)))


@scenario
def lost_program() -> None:
    with suppress(Exception):
        asyncio.run(read(recorded("lost_program", WHOLE[0], RuntimeError("the program ended"))))


@scenario
def early_close() -> None:
    async def consume() -> None:
        async with aclosing(recorded("early_close", *WHOLE)) as messages:
            async for _ in messages:
                break

    asyncio.run(consume())


@scenario
def stop_at_result() -> None:
    async def consume() -> None:
        async for message in recorded("stop_at_result", *WHOLE):
            if hasattr(message, "num_turns"):
                break

    asyncio.run(consume())


@scenario
def cancelled() -> None:
    async def cancel() -> None:
        task = asyncio.create_task(read(recorded("cancelled", WHOLE[0], None)))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())


@scenario
def client() -> None:
    async def ask() -> None:
        options = {"agent_id": "weather", "metadata": metadata("client")}
        async with ClaudeSDKClient(ClaudeAgentOptions(), FakeTransport(*WHOLE, *WHOLE)) as agent:
            for question in ("first", "second"):
                await agent.query(question)
                await read(record_messages(agent.receive_response(), input=question, **options))

    asyncio.run(ask())


@scenario
def in_run_of_the_program() -> None:
    async def ask() -> None:
        name = "in_run_of_the_program"
        async with Backend().run(agent_id="desk", input="Weather?", metadata=metadata(name)) as run:
            for message in await read(recorded(name, *WHOLE)):
                run.record(message)

    asyncio.run(ask())


@scenario
def off() -> None:
    asyncio.run(read(recorded("off", *WHOLE, backend=Backend(Configuration(runs=False)))))


if __name__ == "__main__":
    run_all()
    assert background.flush(30)
