"""OpenAI's Responses API, and those who copy it: Azure, DeepSeek, xAI, Bedrock, OpenRouter.

Sources:
    - https://platform.openai.com/docs/api-reference/responses/object
    - https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, count, is_record, items, join, text

API = "responses"

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done")
_FAILED = ("failed", "cancelled")


def read(response: Any) -> Draft | None:
    """Return the parts of a response; None for another shape."""
    output = child(response, "output")
    if text(child(response, "object")) not in ("response", "response.compaction", "realtime.response") and not (
        isinstance(output, list | tuple) and text(child(response, "status"))
    ):
        return None
    status = text(child(response, "status"))
    draft = Draft(
        api=API,
        model=text(child(response, "model")),
        response_id=text(child(response, "id")),
        usage=child(response, "usage"),
        status=status,
    )
    draft.error = text(at(response, "error.message")) or text(at(response, "status_details.error.message"))
    if draft.error is None and status in _FAILED:
        draft.error = f"status: {status}"
    if status == "incomplete" and (reason := text(at(response, "incomplete_details.reason"))):
        draft.error = f"incomplete: {reason}"
    answers: list[str] = []
    for item in items(output):
        kind = text(child(item, "type")) or ""
        if kind == "message":
            for part in items(child(item, "content")):
                part_text = text(child(part, "text")) or text(child(part, "refusal")) or text(child(part, "transcript"))
                if part_text:
                    answers.append(part_text)
        elif kind.endswith("_call"):
            # function_call, custom_tool_call and mcp_call have a name; web_search_call and others are the tool's name.
            draft.tool_names.append(text(child(item, "name")) or kind.removesuffix("_call"))
    draft.text = join(answers)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is an event of a stream of this API."""
    return (text(child(chunk, "type")) or "").startswith("response.")


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether an event begins another stream than the events before it."""
    return text(child(chunk, "type")) == "response.created"


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the response that the events of a stream make up.

    The last event of a stream holds the whole response. Where the stream was broken off, the response is assembled from
    the events before.
    """
    latest: Any = None
    output: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        kind = text(child(chunk, "type")) or ""
        response = child(chunk, "response")
        if is_record(response):
            latest = response
            if kind in _ENDS:
                if items(child(response, "output")) or not output:
                    return _as_dict(response)
                break
        index = count(child(chunk, "output_index")) or 0
        if kind in ("response.output_item.added", "response.output_item.done"):
            item = child(chunk, "item")
            if is_record(item):
                kept = output.get(index, {})
                output[index] = {**kept, **_as_item(item)}
        elif kind in ("response.output_text.delta", "response.refusal.delta"):
            delta = text(child(chunk, "delta"))
            if delta is not None:
                parts = output.setdefault(index, {"type": "message", "content": []}).setdefault("content", [])
                name = "text" if kind == "response.output_text.delta" else "refusal"
                _add_text(parts, count(child(chunk, "content_index")) or 0, name, delta)
    whole = {} if latest is None else _as_dict(latest)
    whole["object"] = "response"
    whole["output"] = [_with_texts(output[index]) for index in sorted(output)]
    return whole


def _as_dict(response: Any) -> dict[str, Any]:
    names = ("id", "object", "created_at", "model", "status", "error", "incomplete_details", "output", "usage",
             "service_tier", "status_details")  # fmt: skip
    if isinstance(response, dict):
        return {"object": "response", **response}
    return {"object": "response"} | {name: value for name in names if (value := child(response, name)) is not None}


def _as_item(item: Any) -> dict[str, Any]:
    names = ("id", "type", "status", "role", "name", "call_id", "arguments", "content")
    stated = {name: value for name in names if (value := child(item, name)) is not None}
    content = items(stated.pop("content", None))
    if content:  # an item that was added has no content yet; its deltas follow
        # A copy, because the texts of further deltas are added to it.
        stated["content"] = [dict(part) if isinstance(part, dict) else part for part in content]
    return stated


def _add_text(parts: Any, index: int, name: str, delta: str) -> None:
    for part in parts:
        if isinstance(part, dict) and part.get("index") == index:
            part[name] = part.get(name, "") + delta
            return
    if isinstance(parts, list):
        parts.append({"index": index, "type": f"output_{name}", name: delta})


def _with_texts(item: dict[str, Any]) -> dict[str, Any]:
    if isinstance(item.get("content"), list):
        content = [
            {key: value for key, value in part.items() if key != "index"} if isinstance(part, dict) else part
            for part in item["content"]
        ]
        return {**item, "content": content}
    return item
