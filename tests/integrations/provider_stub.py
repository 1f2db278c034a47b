"""HTTP server with the APIs of OpenAI (chat completions and Responses), whose model follows fixed rules.

the name of the model ends with "failing"                status 500
the name of the model ends with "slow"                   no response before the program ends
the last message is of the user, and there are tools     a call of the first tool, unless it follows a tool's output
otherwise                                                "Rainy, 14 °C."
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

ANSWER = "Rainy, 14 °C."
CHAT_USAGE = {
    "prompt_tokens": 61, "completion_tokens": 17, "total_tokens": 78,
    "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip
RESPONSES_USAGE = {
    "input_tokens": 61, "output_tokens": 17, "total_tokens": 78,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip
_numbers = count(1)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        number = next(_numbers)
        if request["model"].endswith("failing"):
            return self._send(500, {"error": {"message": "the provider failed"}})
        if request["model"].endswith("slow"):
            time.sleep(20)
        if self.path.endswith("/responses"):
            return self._send(200, _response(request, number))
        completion = _completion(request, number)
        if not request.get("stream"):
            return self._send(200, completion)
        return self._send_stream(completion, request)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body).encode())

    def _send_stream(self, completion: dict[str, Any], request: dict[str, Any]) -> None:
        message = completion["choices"][0]["message"]
        head = {name: completion[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if message.get("tool_calls"):
            deltas.append({"tool_calls": [{"index": 0, **message["tool_calls"][0]}]})
        else:
            deltas += [{"content": word} for word in ("Rainy", ", ", "14 °C.")]
        reason = completion["choices"][0]["finish_reason"]
        chunks = [
            *({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
            {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        ]
        if (request.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": CHAT_USAGE})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._write(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _write(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write no log."""


def _completion(request: dict[str, Any], number: int) -> dict[str, Any]:
    tools = [tool["function"] for tool in request.get("tools") or []]
    message: dict[str, Any] = {"role": "assistant", "content": ANSWER}
    # Older versions of CrewAI ask for an analysis after the output of each tool.
    *_, before, last = ["", *(each["role"] for each in request["messages"])]
    if tools and last == "user" and before != "tool":
        function = {"name": tools[0]["name"], "arguments": _arguments(tools[0])}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1_790_000_000, "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": CHAT_USAGE,
    }  # fmt: skip


def _response(request: dict[str, Any], number: int) -> dict[str, Any]:
    tools = request.get("tools") or []
    last = request["input"] if isinstance(request["input"], str) else request["input"][-1]
    is_question = isinstance(last, str) or last.get("role") == "user"
    content = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    output: dict[str, Any] = {
        "type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content,
    }  # fmt: skip
    if tools and is_question:
        output = {
            "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed",
            "name": tools[0]["name"], "arguments": _arguments(tools[0]),
        }  # fmt: skip
    return {
        "id": f"resp_{number}", "object": "response", "created_at": 1_790_000_000, "model": request["model"],
        "status": "completed", "output": [output], "usage": RESPONSES_USAGE, "tools": [], "tool_choice": "auto",
        "parallel_tool_calls": True,
    }  # fmt: skip


def _arguments(tool: dict[str, Any]) -> str:
    names = (tool.get("parameters") or {}).get("properties") or {}
    return json.dumps(dict.fromkeys(names, "Paris"))


@contextmanager
def provider() -> Iterator[str]:
    """Serve until the end of the block; yield the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
