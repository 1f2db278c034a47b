"""Fast reader of the most frequent kind of response: a chat completion with only the properties that OpenAI documents.

`xpander_capture.responses.summarize_response` is the reference. It knows all providers and frameworks, and takes as
long as everything else that a commit does for a report. This reader gives the same model and tokens, and leaves every
response that has anything else in it to the reference.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from xpander_capture.responses import ResponseSummary

_NULL = msgspec.Raw(b"null")
_Number = Annotated[int, Meta(ge=0, le=10**12)]


class _PromptDetails(Struct, forbid_unknown_fields=True):
    cached_tokens: _Number | None = None
    audio_tokens: _Number | None = None


class _CompletionDetails(Struct, forbid_unknown_fields=True):
    # Some providers count reasoning beside the completion: a number above 0 is left to the reference.
    reasoning_tokens: Literal[0] | None = None
    audio_tokens: _Number | None = None
    accepted_prediction_tokens: _Number | None = None
    rejected_prediction_tokens: _Number | None = None


class _Usage(Struct, forbid_unknown_fields=True):
    prompt_tokens: _Number
    completion_tokens: _Number
    total_tokens: _Number | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Choice(Struct, forbid_unknown_fields=True):
    index: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    finish_reason: msgspec.Raw = _NULL
    logprobs: msgspec.Raw = _NULL


class _ChatCompletion(Struct, forbid_unknown_fields=True):
    object: Literal["chat.completion"]
    model: Annotated[str, Meta(min_length=1)]
    usage: _Usage
    id: str | None = None
    created: msgspec.Raw = _NULL
    choices: list[_Choice] = []
    system_fingerprint: msgspec.Raw = _NULL


_decode = msgspec.json.Decoder(_ChatCompletion).decode


def read_chat_completion(llm_response: str) -> ResponseSummary | None:
    """Return the model and the tokens of a chat completion; None if the reference must read the response.

    Args:
        llm_response: Valid JSON text.
    """
    if '"chat.completion"' not in llm_response:
        return None
    try:
        response = _decode(llm_response)
    except (msgspec.DecodeError, RecursionError):
        return None
    usage = response.usage
    tokens: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    is_cached = False
    if (prompt := usage.prompt_tokens_details) is not None:
        if prompt.cached_tokens is not None:
            tokens["cache_read_tokens"] = prompt.cached_tokens
            is_cached = prompt.cached_tokens > 0
        if prompt.audio_tokens is not None:
            tokens["input_audio_tokens"] = prompt.audio_tokens
    if (completion := usage.completion_tokens_details) is not None:
        if completion.reasoning_tokens is not None:
            tokens["reasoning_tokens"] = 0
        if completion.audio_tokens is not None:
            tokens["output_audio_tokens"] = completion.audio_tokens
    return ResponseSummary(model=response.model, tokens=tokens, is_cache_included=True if is_cached else None)
