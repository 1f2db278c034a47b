"""Decoding of a provider's response for its summary, with a bounded cost.

A report may contain a million values, and the summary is computed while other reports wait for the commit. Genuine
large responses consist of a few large members (texts, probabilities of tokens) beside the small ones that the summary
needs:

    {"model": …, "usage": {…}, "choices": [4 MiB]}   `choices` is left out; model and usage are read
    [{"model": …, "usage": {…}}, …]                  each of at most `MAX_ELEMENTS` responses is treated so
    [{"type": "message_start", …}, …]                the first and the last events of a stream have model and usage
"""

from typing import Any

import msgspec

from xpander_capture.responses.streams import is_stream

MAX_VALUES = 10_000
"""Commas and brackets of a text that is decoded whole, which takes up to about 2 ms."""
MAX_ELEMENTS = 100
"""Elements of a list that are summarized; each takes up to 0.1 ms."""
_MAX_VALUES_OF_LIST = 100_000
_ABSENT = msgspec.Raw(b"null")
_NAMES = (
    "id", "responseId", "response_id", "generation_id", "object", "type", "provider", "status", "error",
    "model", "modelVersion", "model_version", "model_name", "modelId", "model_id",
    "usage", "usageMetadata", "usage_metadata", "token_usage", "tokenUsage", "meta", "metrics",
    "response_metadata", "prompt_eval_count", "eval_count", "service_tier", "serviceTier", "stop_reason", "stopReason",
)  # fmt: skip
# A struct instead of a dict, because its decoder skips other members without creating objects.
_SmallMembers = msgspec.defstruct("_SmallMembers", [(name, msgspec.Raw, _ABSENT) for name in _NAMES])
_members_decoder = msgspec.json.Decoder(_SmallMembers)
_elements_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def decode_response(llm_response: str) -> Any:
    """Return the parts of a response that a summary needs; None if there are none, or too many.

    Args:
        llm_response: JSON text.

    Raises:
        msgspec.DecodeError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    llm_response = llm_response.lstrip()
    start = llm_response[:1]
    values = _count_values(llm_response)
    if start == "{":
        return _decode_record(llm_response, is_small=values <= MAX_VALUES)
    if start != "[" or values > _MAX_VALUES_OF_LIST:
        return None
    elements = _elements_decoder.decode(llm_response)
    if len(elements) > MAX_ELEMENTS:
        half = MAX_ELEMENTS // 2
        if not is_stream([msgspec.json.decode(element) for element in elements[:3] if len(element) <= MAX_VALUES]):
            return None
        elements = [*elements[:half], *elements[-half:]]
    texts = (bytes(element).decode() for element in elements)
    return [_decode_record(text, is_small=values <= MAX_VALUES) for text in texts]


def _count_values(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _decode_record(text: str, *, is_small: bool) -> Any:
    if is_small or _count_values(text) <= MAX_VALUES // MAX_ELEMENTS:
        return msgspec.json.decode(text)
    if not text.startswith("{"):
        return None
    members = msgspec.structs.asdict(_members_decoder.decode(text))
    return {
        name: msgspec.json.decode(value)
        for name, value in members.items()
        if value is not _ABSENT and len(value) <= MAX_VALUES
    }
