"""Cohere's Chat API (version 2 and version 1), embeddings and reranking. None of them names the model.

Sources:
    - https://docs.cohere.com/reference/chat
    - https://docs.cohere.com/reference/chat-stream
    - https://docs.cohere.com/v1/reference/chat
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, count, items, join, text, texts

API = "cohere"

_EVENTS = ("message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start",
           "tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end")  # fmt: skip
_FAILURES = ("ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT")


def read(response: Any) -> Draft | None:
    """Return the parts of a response; None for another shape."""
    usage = child(response, "usage")
    if child(usage, "billed_units") is None and child(usage, "tokens") is None:
        usage = child(response, "meta")
        if child(usage, "billed_units") is None and child(usage, "tokens") is None:
            return None
    status = text(child(response, "finish_reason"))
    message = child(response, "message")
    draft = Draft(
        api=API,
        provider="cohere",
        model=text(child(response, "model")),
        response_id=text(child(response, "id")) or text(child(response, "generation_id")),
        usage=usage,
        text=join(list(texts(child(message, "content")))) or text(child(response, "text")),
        status=status,
    )
    if status in _FAILURES:
        draft.error = f"finish reason: {status}"
    for call in items(child(message, "tool_calls")) or items(child(response, "tool_calls")):
        if name := text(at(call, "function.name")) or text(child(call, "name")):
            draft.tool_names.append(name)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is an event of a stream of this API."""
    return text(child(chunk, "type")) in _EVENTS


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether an event begins another stream than the events before it."""
    return text(child(chunk, "type")) == "message-start"


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the response that the events of a stream make up."""
    whole: dict[str, Any] = {}
    parts: dict[int, dict[str, Any]] = {}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        kind, index = text(child(chunk, "type")), count(child(chunk, "index")) or 0
        message = at(chunk, "delta.message")
        if kind == "message-start" and (response_id := text(child(chunk, "id"))):
            whole["id"] = response_id
        elif kind in ("content-start", "content-delta"):
            content = child(message, "content")
            part = parts.setdefault(index, {"type": text(child(content, "type")) or "text", "text": ""})
            part["text"] += text(child(content, "text")) or ""
        elif kind in ("tool-call-start", "tool-call-delta"):
            stated = child(message, "tool_calls")
            call = calls.setdefault(index, {"type": "function", "function": {"name": "", "arguments": ""}})
            if (call_id := text(child(stated, "id"))) is not None:
                call["id"] = call_id
            for name in ("name", "arguments"):
                call["function"][name] += text(at(stated, f"function.{name}")) or ""
        elif kind == "message-end":
            for name in ("finish_reason", "usage", "error"):
                if (value := at(chunk, f"delta.{name}")) is not None:
                    whole[name] = value
    message = {"role": "assistant", "content": [parts[index] for index in sorted(parts)]}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {**whole, "message": message}
