"""Anthropic's Messages API, also on Bedrock (InvokeModel), Vertex AI and Microsoft Foundry.

Sources:
    - https://docs.anthropic.com/en/api/messages
    - https://docs.anthropic.com/en/docs/build-with-claude/streaming
    - https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, count, is_record, items, join, text

API = "anthropic"

_EVENTS = frozenset({
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop",
})  # fmt: skip
# Message ids of the other clouds: https://docs.anthropic.com/en/api/claude-on-amazon-bedrock
_PROVIDERS = {"msg_bdrk_": "bedrock", "msg_vrtx_": "google-vertex"}


def read(response: Any) -> Draft | None:
    """Return the parts of a message; None for another shape."""
    content = child(response, "content")
    is_message = text(child(response, "type")) == "message" and text(child(response, "role")) is not None
    if not is_message and not (isinstance(content, list | tuple) and child(response, "stop_reason") is not None):
        return None
    response_id = text(child(response, "id"))
    draft = Draft(
        api=API,
        provider="anthropic",
        model=text(child(response, "model")),
        response_id=response_id,
        usage=child(response, "usage"),
        status=text(child(response, "stop_reason")),
    )
    for prefix, provider in _PROVIDERS.items():
        if response_id is not None and response_id.startswith(prefix):
            draft.provider = provider
    answers: list[str] = []
    for block in items(content):
        kind = text(child(block, "type")) or ""
        if kind == "text" and (block_text := text(child(block, "text"))):
            answers.append(block_text)
        elif kind.endswith("tool_use") and (name := text(child(block, "name"))):
            draft.tool_names.append(name)
    draft.text = join(answers)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is an event of a stream of this API."""
    return text(child(chunk, "type")) in _EVENTS


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether an event begins another stream than the events before it."""
    return text(child(chunk, "type")) == "message_start"


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the message that the events of a stream make up."""
    whole: dict[str, Any] = {"type": "message", "role": "assistant"}
    blocks: dict[int, dict[str, Any]] = {}
    usage: dict[str, Any] = {}
    for chunk in chunks:
        kind = text(child(chunk, "type"))
        if kind == "message_start":
            message = child(chunk, "message")
            for name in ("id", "model", "role", "stop_reason", "stop_sequence"):
                if (value := child(message, name)) is not None:
                    whole[name] = value
            _add_usage(usage, child(message, "usage"))
        elif kind == "content_block_start":
            blocks[count(child(chunk, "index")) or 0] = _as_block(child(chunk, "content_block"))
        elif kind == "content_block_delta":
            block = blocks.setdefault(count(child(chunk, "index")) or 0, {})
            _add_delta(block, child(chunk, "delta"))
        elif kind == "message_delta":
            for name in ("stop_reason", "stop_sequence"):
                if (value := at(chunk, f"delta.{name}")) is not None:
                    whole[name] = value
            # The counts of message_delta are cumulative: they replace those of message_start.
            _add_usage(usage, child(chunk, "usage"))
        elif kind == "error":
            whole["error"] = child(chunk, "error")
    whole["content"] = [_finish(blocks[index]) for index in sorted(blocks)]
    if usage:
        whole["usage"] = usage
    return whole


def _add_usage(usage: dict[str, Any], stated: Any) -> None:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
             "cache_creation", "server_tool_use", "service_tier", "output_tokens_details")  # fmt: skip
    for name in names:
        if (value := child(stated, name)) is not None:
            usage[name] = value


def _as_block(block: Any) -> dict[str, Any]:
    if isinstance(block, Mapping):
        return dict(block)
    names = ("type", "id", "name", "text", "input", "thinking", "tool_use_id", "content")
    return {name: value for name in names if (value := child(block, name)) is not None} if is_record(block) else {}


def _add_delta(block: dict[str, Any], delta: Any) -> None:
    for delta_type, name in (
        ("text_delta", "text"),
        ("thinking_delta", "thinking"),
        ("signature_delta", "signature"),
        ("input_json_delta", "partial_json"),
    ):
        if text(child(delta, "type")) == delta_type and (part := text(child(delta, name))) is not None:
            previous = block.get(name)
            block[name] = (previous if isinstance(previous, str) else "") + part
            block.setdefault("type", {"text": "text", "thinking": "thinking"}.get(name, "tool_use"))


def _finish(block: dict[str, Any]) -> dict[str, Any]:
    partial = block.pop("partial_json", None)
    if isinstance(partial, str):
        try:
            block["input"] = json.loads(partial)
        except (ValueError, RecursionError):
            block["input"] = partial  # the stream was broken off
    return block
