"""Gemini's API and Vertex AI, as REST writes it (camel case) and as google-genai's `model_dump` does (snake case).

Sources:
    - https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
    - https://ai.google.dev/api/generate-content#UsageMetadata
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, items, join, text

API = "gemini"

_CONTENT_BLOCKED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL")


def read(response: Any) -> Draft | None:
    """Return the parts of a response; None for another shape."""
    usage = child(response, "usage_metadata")
    candidates = items(child(response, "candidates"))
    if usage is None and not candidates and child(response, "prompt_feedback") is None:
        return None
    if not candidates and child(response, "model_version") is None and child(usage, "total_token_count") is None:
        return None  # LangChain has a usage_metadata, too
    status = text(child(candidates[0], "finish_reason")) if candidates else None
    draft = Draft(
        api=API,
        provider="google",
        model=text(child(response, "model_version")),
        response_id=text(child(response, "response_id")),
        usage=usage,
        status=status,
    )
    blocked = text(at(response, "prompt_feedback.block_reason"))
    if blocked:
        draft.error = f"blocked: {blocked}"
    elif status in _CONTENT_BLOCKED:
        draft.error = f"finish reason: {status}"
    answers: list[str] = []
    for number, candidate in enumerate(candidates):
        for part in items(at(candidate, "content.parts")):
            if name := text(at(part, "function_call.name")):
                draft.tool_names.append(name)
            elif number == 0 and child(part, "thought") is not True and (part_text := text(child(part, "text"))):
                answers.append(part_text)
    draft.text = join(answers)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value can be a chunk of a stream: each of them has the shape of a whole response."""
    return read(chunk) is not None


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether a chunk belongs to another stream than the chunks before it."""
    own, other = text(child(chunk, "response_id")), text(child(stream[0], "response_id"))
    return own != other


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the response that the chunks of a stream make up. Their counts are cumulative; the last ones apply."""
    whole: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for name, key in (
            ("usage_metadata", "usageMetadata"),
            ("model_version", "modelVersion"),
            ("response_id", "responseId"),
            ("prompt_feedback", "promptFeedback"),
        ):
            if (value := child(chunk, name)) is not None:
                whole[key] = value
        for position, candidate in enumerate(items(child(chunk, "candidates"))):
            index = child(candidate, "index")
            place = index if isinstance(index, int) else position
            kept = candidates.setdefault(place, {"index": place, "content": {"role": "model", "parts": []}})
            kept["content"]["parts"].extend(items(at(candidate, "content.parts")))
            if (reason := child(candidate, "finish_reason")) is not None:
                kept["finishReason"] = text(reason)
    whole["candidates"] = [candidates[index] for index in sorted(candidates)]
    return whole
