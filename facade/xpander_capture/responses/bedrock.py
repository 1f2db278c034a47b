"""Bedrock's Converse and ConverseStream. Neither names the model: it is in the request's address only.

Sources:
    - https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    - https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
    - https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, count, items, join, text

API = "converse"

_EVENTS = ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_stop",
           "metadata")  # fmt: skip
_FAILURES = ("guardrail_intervened", "content_filtered", "malformed_model_output", "malformed_tool_use")


def read(response: Any) -> Draft | None:
    """Return the parts of a Converse response; None for another shape."""
    message = at(response, "output.message")
    status = text(child(response, "stop_reason"))
    if message is None or (status is None and child(response, "usage") is None):
        return None
    draft = Draft(
        api=API,
        provider="bedrock",
        model=text(at(response, "trace.prompt_router.invoked_model_id")),
        response_id=text(at(response, "ResponseMetadata.RequestId")),
        usage=child(response, "usage"),
        status=status,
    )
    if status in _FAILURES:
        draft.error = f"stop reason: {status}"
    answers: list[str] = []
    for block in items(child(message, "content")):
        if name := text(at(block, "tool_use.name")):
            draft.tool_names.append(name)
        elif block_text := text(child(block, "text")):
            answers.append(block_text)
    draft.text = join(answers)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is an event of ConverseStream: a record with the name of the event as its only key."""
    if child(chunk, "type") is not None:
        return False
    if child(chunk, "metadata") is not None:
        return at(chunk, "metadata.usage.input_tokens") is not None
    return any(child(chunk, name) is not None for name in _EVENTS)


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether an event begins another stream than the events before it."""
    return child(chunk, "message_start") is not None


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the Converse response that the events of a stream make up."""
    whole: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        if (start := child(chunk, "content_block_start")) is not None:
            tool = at(start, "start.tool_use")
            if tool is not None:
                names = {"toolUseId": text(child(tool, "tool_use_id")), "name": text(child(tool, "name")), "input": ""}
                blocks[_index(start)] = {"toolUse": names}
        elif (event := child(chunk, "content_block_delta")) is not None:
            delta = child(event, "delta")
            if (part := text(child(delta, "text"))) is not None:
                block = blocks.setdefault(_index(event), {})
                block["text"] = block.get("text", "") + part
            if (part := text(at(delta, "tool_use.input"))) is not None:
                tool = blocks.setdefault(_index(event), {}).setdefault("toolUse", {})
                tool["input"] = tool.get("input", "") + part
        elif (stop := child(chunk, "message_stop")) is not None:
            whole["stopReason"] = text(child(stop, "stop_reason"))
        elif (metadata := child(chunk, "metadata")) is not None:
            for name in ("usage", "metrics", "trace"):
                if (value := child(metadata, name)) is not None:
                    whole[name] = value
    content = [blocks[index] for index in sorted(blocks)]
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": None, **whole}


def _index(event: Any) -> int:
    return count(child(event, "content_block_index")) or 0
