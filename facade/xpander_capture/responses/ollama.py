"""Ollama's own API (`/api/chat`, `/api/generate`, `/api/embed`): a model on the user's machine.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, items, text

API = "ollama"

_COUNTS = ("prompt_eval_count", "eval_count")


def read(response: Any) -> Draft | None:
    """Return the parts of a response; None for another shape."""
    has_counts = any(child(response, name) is not None for name in _COUNTS)
    if not has_counts and not is_chunk(response):
        return None
    draft = Draft(
        api=API,
        provider="ollama",
        model=text(child(response, "model")),
        usage=response if has_counts else None,
        text=text(at(response, "message.content")) or text(child(response, "response")),
        status=text(child(response, "done_reason")),
    )
    for call in items(at(response, "message.tool_calls")):
        if name := text(at(call, "function.name")):
            draft.tool_names.append(name)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is a line of a stream of this API."""
    return isinstance(child(chunk, "done"), bool) and (
        child(chunk, "message") is not None or isinstance(child(chunk, "response"), str)
    )


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether a line belongs to another stream than the lines before it, of which the last one is marked."""
    return child(stream[-1], "done") is True


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the response that the lines of a stream make up. The last one has the counts."""
    whole: dict[str, Any] = {"done": False}
    content, response = "", ""
    calls: list[Any] = []
    is_chat = False
    for chunk in chunks:
        for name in ("model", "created_at", "done", "done_reason", "error", "prompt_eval_count", "eval_count",
                     "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):  # fmt: skip
            if (value := child(chunk, name)) is not None:
                whole[name] = value
        if child(chunk, "message") is not None:
            is_chat = True
            content += text(at(chunk, "message.content")) or ""
            calls.extend(items(at(chunk, "message.tool_calls")))
        response += text(child(chunk, "response")) or ""
    if is_chat:
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if calls:
            message["tool_calls"] = calls
        whole["message"] = message
    else:
        whole["response"] = response
    return whole
