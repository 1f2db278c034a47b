"""Streaming responses of Starlette and FastAPI: the run of a handler ends when the stream does."""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse, StreamingResponse

from runs.backend import Recorder
from xpander_sdk import current_run


async def async_words() -> Any:
    for word in ("Rainy", ", ", "14 C"):
        await asyncio.sleep(0)
        current_run().used_tools.append("speak")
        yield word


def words() -> Any:
    for word in ("Rainy", ", ", "14 C"):
        current_run().used_tools.append("speak")
        yield word


def client(handler: Callable[..., Any]) -> TestClient:
    app = FastAPI()
    app.get("/answer", response_model=None)(handler)
    return TestClient(app)


def wait_for_report(recorder: Recorder) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while not recorder.server.reports and recorder.sdk.configuration.outbox is None:
        assert time.monotonic() < deadline, "the run was not reported"
        time.sleep(0.01)
    return recorder.report


@pytest.mark.parametrize("body", [async_words, words])
def test_run_ends_with_the_stream_of_an_asynchronous_handler(recorder: Recorder, body: Callable[[], Any]):
    @recorder.sdk.run()
    async def answer(question: str) -> Any:
        return StreamingResponse(body(), media_type="text/plain")

    response = client(answer).get("/answer", params={"question": "Weather?"})
    assert response.text == "Rainy, 14 C"
    report = recorder.report
    assert (report["input"], report["result"], report["is_success"]) == ("Weather?", "Rainy, 14 C", True)
    assert report["used_tools"] == ["speak"] * 3


def test_run_ends_with_the_stream_of_a_synchronous_handler(direct: Recorder):
    @direct.sdk.run()
    def answer(question: str) -> Any:
        return StreamingResponse(words())

    assert client(answer).get("/answer", params={"question": "Weather?"}).text == "Rainy, 14 C"
    assert direct.report["result"] == "Rainy, 14 C"


def test_error_of_the_stream_makes_the_run_fail(direct: Recorder):
    async def body() -> Any:
        yield "Rai"
        raise ValueError("lost")

    @direct.sdk.run()
    async def answer() -> Any:
        return StreamingResponse(body())

    with pytest.raises(ValueError, match="lost"):
        client(answer).get("/answer")
    assert (direct.report["is_success"], direct.report["result"]) == (False, "Rai")


def test_client_that_disconnects_ends_the_run_with_its_result_so_far(direct: Recorder):
    async def body() -> Any:
        yield "so far"
        await asyncio.sleep(60)

    @direct.sdk.run()
    async def answer() -> Any:
        return StreamingResponse(body())

    async def program() -> None:
        response = await answer()
        is_sent = asyncio.Event()

        async def receive() -> Any:
            await is_sent.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                is_sent.set()

        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    asyncio.run(program())
    assert (direct.report["is_success"], direct.report["result"]) == (True, "so far")


@pytest.mark.parametrize("loop", [True, False])
def test_response_that_is_never_sent_ends_the_run(recorder: Recorder, loop: bool):
    @recorder.sdk.run()
    def answer() -> Any:
        return StreamingResponse(async_words())

    async def program() -> None:
        answer()
        gc.collect()

    if loop:
        asyncio.run(program())
    else:
        answer()
        gc.collect()
    assert wait_for_report(recorder)["is_success"] is True


def test_other_response_ends_the_run_at_once(direct: Recorder):
    @direct.sdk.run()
    async def answer() -> Any:
        return JSONResponse({"answer": "4"})

    assert client(answer).get("/answer").json() == {"answer": "4"}
    assert direct.report["is_success"] is True
