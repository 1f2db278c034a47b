"""Reason of a failure: why a run failed, in one line.

Many programs report that a run failed without an `error`, although the response that they report states it. The reason
is the first of these texts that is not empty:

    1. the reported `error`
    2. the reported `result`
    3. the error of the last model call that has one
    4. the error of `llm_response`, of the last response in a list

The store keeps the reason with the task, so that lists of failed runs read no responses.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from xpander_capture.responses import summarize_response
from xpander_server.domain.model_calls import Call
from xpander_server.domain.pricing.response_text import decode_response

MAX_REASON_LENGTH = 300
"""Characters of a stored reason."""
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MESSAGE_NAMES = ("error", "message", "Message", "detail", "error_description")
_MAX_DEPTH = 4


@frozen
class Failure:
    """Text that explains a failure, and the part of the report that contains it.

    Attributes:
        text: The whole text.
        source: `error`, `result`, `calls` or `llm_response`.
    """

    text: str
    source: str


def find_failure(
    *, error: str | None, result: str | None, calls: Sequence[Call] | None, llm_response: str | None
) -> Failure | None:
    """Return the text that explains why a run failed; None if the report has none."""
    for source, text in (("error", error), ("result", result)):
        if text and text.strip():
            return Failure(text, source)
    for call in reversed(calls or []):
        if message := call.get("error"):
            return Failure(message, "calls")
    message = _find_in_response(llm_response)
    return None if message is None else Failure(message, "llm_response")


def failure_reason(
    *,
    is_success: bool | None,
    error: str | None,
    result: str | None,
    calls: Sequence[Call] | None,
    llm_response: str | None,
) -> str | None:
    """Return why a run failed, in one line of at most `MAX_REASON_LENGTH` characters; None if it did not fail."""
    if is_success is not False:
        return None
    failure = find_failure(error=error, result=result, calls=calls, llm_response=llm_response)
    if failure is None:
        return None
    start = failure.text[: MAX_REASON_LENGTH * 4]
    line = " ".join(_CONTROL_CHARACTERS.sub(" ", start).split())
    return line if len(line) <= MAX_REASON_LENGTH else line[: MAX_REASON_LENGTH - 1] + "…"


def _find_in_response(llm_response: str | None) -> str | None:
    if not llm_response:
        return None
    try:
        response = decode_response(llm_response)
        message = summarize_response(response).error
    except (msgspec.DecodeError, RecursionError):  # stored by an older version, or nested too deeply
        return None
    return message or _find_message(response, _MAX_DEPTH)


def _find_message(value: Any, depth: int) -> str | None:
    """Return the message of an error whose provider is not known, such as `{"message": "The model is invalid."}`."""
    if depth == 0:
        return None
    if isinstance(value, list):
        return _find_message(value[-1], depth - 1) if value else None
    if isinstance(value, Mapping):
        for name in _MESSAGE_NAMES:
            item = value.get(name)
            if isinstance(item, str) and item.strip():
                return item
            if isinstance(item, Mapping) and (message := _find_message(item, depth - 1)):
                return message
    return None
