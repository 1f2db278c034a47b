"""Scenarios of litellm against a stub of the provider."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import litellm

from integrations.provider_stub import provider
from integrations.scenarios import metadata, run_all, scenario
from xpander_sdk import Backend
from xpander_sdk.integrations import background
from xpander_sdk.integrations.litellm import Logger

QUESTION = "Weather in Paris?"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"properties": {"city": {}}}}}
URL = ""
LOGGING_TIME = 1.0  # seconds in which litellm logs in the background


def request(model: str = "gpt-5-mini", **options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {
        "model": f"openai/{model}", "messages": messages, "api_base": URL, "api_key": "no-key", "max_retries": 0,
        **options,
    }  # fmt: skip


def run_of(name: str) -> Any:
    return Backend().run(agent_id="weather", input=QUESTION, metadata=metadata(name))


@scenario
def success() -> None:
    with run_of("success"):
        litellm.completion(**request(tools=[TOOL]))
        litellm.completion(**request())
        time.sleep(LOGGING_TIME)


@scenario
def late_event() -> None:
    with run_of("late_event") as run:
        litellm.completion(**request())
        run.result = "done"
    time.sleep(LOGGING_TIME)


@scenario
def recorded_by_the_program_too() -> None:
    with run_of("recorded_by_the_program_too") as run:
        run.record(litellm.completion(**request()))
        time.sleep(LOGGING_TIME)


@scenario
def stream() -> None:
    with run_of("stream"):
        list(litellm.completion(**request(stream=True, stream_options={"include_usage": True})))
        time.sleep(LOGGING_TIME)


@scenario
def failure() -> None:
    try:
        with run_of("failure"):
            try:
                litellm.completion(**request("failing"))
            finally:
                time.sleep(LOGGING_TIME)
    except litellm.InternalServerError:
        return
    raise AssertionError("the exception did not reach the program")


@scenario
def asynchronous() -> None:
    async def ask() -> None:
        async with run_of("asynchronous"):
            await litellm.acompletion(**request())
            async for _ in await litellm.acompletion(**request(stream=True, stream_options={"include_usage": True})):
                pass
            await asyncio.sleep(LOGGING_TIME)

    asyncio.run(ask())


@scenario
def threads() -> None:
    with ThreadPoolExecutor(2) as pool, run_of("threads"):
        for future in [pool.submit(copy_context().run, litellm.completion, **request()) for _ in range(4)]:
            future.result()
        time.sleep(LOGGING_TIME)


@scenario
def outside_of_runs() -> None:
    litellm.completion(**request())
    time.sleep(LOGGING_TIME)


if __name__ == "__main__":
    litellm.callbacks.append(Logger())
    with provider() as URL:
        run_all()
    assert background.flush(30)
