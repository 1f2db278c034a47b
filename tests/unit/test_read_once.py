"""Responses, streams and files that a report describes and does not read."""

import asyncio
import io
import itertools
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import openai
import pytest
import requests

from xpander_sdk.reporting.json_encoder import to_jsonable

BODY = {"model": "gpt-5", "choices": []}
EVENTS = b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}\n\n'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = EVENTS if self.path == "/v1/chat/completions" else json.dumps(BODY).encode()
        self.send_response(200)
        kind = "text/event-stream" if body is EVENTS else "application/json"
        for name, value in (("content-type", kind), ("content-length", str(len(body)))):
            self.send_header(name, value)
        for name in ("set-cookie", "x-api-key", "x-amz-security-token", "location"):
            self.send_header(name, "SECRET")
        self.send_header("x-ratelimit-remaining-tokens", "99")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that the base class requires

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class StreamingBody:
    """Stream that is read as botocore's."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self) -> bytes:
        return self._content.read()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._content)


class EventStream:
    """Stream that is iterated as botocore's."""

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("must not be read")

    def close(self) -> None:
        pass


class Chunks:
    """Iterator over a connection."""

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        raise AssertionError("must not be read")


class AsyncChunks:
    """Asynchronous iterator over a connection."""

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        raise AssertionError("must not be read")


@pytest.mark.parametrize("is_stream", [True, False])
def test_response_of_requests_is_recorded_by_status_headers_and_a_body_that_was_read(url, is_stream):
    headers = {"authorization": "SECRET", "x-team": "billing"}
    with requests.get(url, headers=headers, stream=is_stream, timeout=5) as response:
        encoded = to_jsonable({"response": response, "headers": response.headers, "request": response.request})
        assert response.json() == BODY
    check(encoded, None if is_stream else BODY)


@pytest.mark.parametrize("is_stream", [True, False])
def test_response_of_httpx_is_recorded_by_status_headers_and_a_body_that_was_read(url, is_stream):
    headers = {"authorization": "SECRET", "x-team": "billing"}
    with httpx.Client() as client:
        response = client.send(client.build_request("GET", url, headers=headers), stream=is_stream)
        encoded = to_jsonable({"response": response, "headers": response.headers, "request": response.request})
        response.read()
        assert response.json() == BODY
    check(encoded, None if is_stream else BODY)


def check(encoded: dict[str, Any], body: Any) -> None:
    assert "SECRET" not in json.dumps(encoded)
    response = encoded["response"]
    assert (response["status_code"], response.get("body")) == (200, body)
    headers = {name.lower(): value for name, value in response["headers"].items()}
    assert (headers["set-cookie"], headers["x-ratelimit-remaining-tokens"]) == ("***", "99")
    assert encoded["headers"] == response["headers"]
    assert (encoded["request"]["method"], encoded["request"]["headers"]["x-team"]) == ("GET", "billing")


def test_body_that_is_not_json_is_text():
    response = httpx.Response(500, headers={"content-type": "application/json"}, content=b"<html>")
    assert to_jsonable(response)["body"] == "<html>"


def test_stream_of_openai_is_not_read(url):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="SECRET")
    with client.chat.completions.create(model="m", messages=[], stream=True) as stream:
        encoded = to_jsonable({"stream": stream})
        assert encoded == {"stream": "<left out: Stream can be read only once>"}
        assert [chunk.model for chunk in stream] == ["m"]


@pytest.mark.parametrize("make", [lambda: StreamingBody(b"hello"), lambda: io.BytesIO(b"hello")])
def test_stream_is_left_for_the_program(make):
    stream = make()
    encoded = to_jsonable({"body": stream, "contentType": "application/json"})
    assert encoded["body"] == f"<left out: {type(stream).__qualname__} can be read only once>"
    assert stream.read() == b"hello"


def test_file_is_left_for_the_program(tmp_path):
    (tmp_path / "file").write_text("hello")
    with (tmp_path / "file").open() as file:
        assert to_jsonable(file) == "<left out: TextIOWrapper can be read only once>"
        assert file.read() == "hello"


@pytest.mark.parametrize("stream", [EventStream(), Chunks(), AsyncChunks(), sqlite3.connect(":memory:").cursor()])
def test_iterator_with_a_class_is_described(stream):
    assert to_jsonable([stream]) == [f"<left out: {type(stream).__qualname__} can be read only once>"]


def test_stream_reader_of_asyncio_is_described():
    async def encode() -> Any:
        return to_jsonable(asyncio.StreamReader())

    assert asyncio.run(encode()) == "<left out: StreamReader can be read only once>"


@pytest.mark.parametrize("items", [(n for n in [1, 2]), iter([1, 2]), map(int, "12"), itertools.chain([1], [2])])
def test_generator_and_plain_iterator_are_arrays(items):
    assert to_jsonable(items) == [1, 2]
