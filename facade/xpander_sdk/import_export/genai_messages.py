"""Input and output texts of spans, after the GenAI semantic conventions of OpenTelemetry.

The present conventions have lists of messages, structured or as JSON text, as an attribute of a span or of its event:

    gen_ai.input.messages = [
      {"role": "user", "parts": [{"type": "text", "content": "What is the weather in Paris?"}]}
    ]
    gen_ai.output.messages = [
      {"role": "assistant", "parts": [{"type": "text", "content": "Rainy, 14 °C."}], "finish_reason": "stop"}
    ]

The conventions up to version 1.36 have an event for each message. Instrumentations put its body into different
attributes:

    event "gen_ai.user.message":  content = "What is the weather in Paris?"
    event "gen_ai.choice":        gen_ai.event.content = '{"index": 0, "message": {"role": "assistant", "content": …}}'
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from xpander_sdk.reporting.messages import TEXT_KEYS, read_text

_INPUT_ATTRIBUTES = ("gen_ai.input.messages", "pydantic_ai.all_messages")
_OUTPUT_ATTRIBUTES = ("gen_ai.output.messages",)
_INPUT_EVENTS = frozenset({"gen_ai.user.message", "gen_ai.content.prompt"})
_OUTPUT_EVENTS = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
# Messages of earlier turns of the conversation. Some instrumentations use the event for the response too.
_ASSISTANT_EVENTS = frozenset({"gen_ai.assistant.message"})
# Attributes that may have the body of an event, in order of preference.
_BODY_ATTRIBUTES = ("gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion", "message", "content", "body")


@frozen
class Event:
    """Event of a span."""

    name: str
    attributes: Mapping[str, Any]


def input_text(attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """Return the text of the user's last message, or None."""
    messages = _attribute_messages(_INPUT_ATTRIBUTES, attributes, events) or _event_messages(_INPUT_EVENTS, events)
    return _last_text(messages, "user")


def output_text(attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """Return the text of the model's last message, or None."""
    return _last_text(output_messages(attributes, events), "assistant")


def output_messages(attributes: Mapping[str, Any], events: Iterable[Event]) -> list[Any]:
    """Return the model's messages in the form that the span has them in."""
    return (
        _attribute_messages(_OUTPUT_ATTRIBUTES, attributes, events)
        or _event_messages(_OUTPUT_EVENTS, events)
        or _event_messages(_ASSISTANT_EVENTS, events)
    )


def _parse_if_json(value: Any) -> Any:
    """Return the value of a JSON text of a list or an object; return any other value unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _attribute_messages(names: tuple[str, ...], attributes: Mapping[str, Any], events: Iterable[Event]) -> list[Any]:
    for candidate in (attributes, *(event.attributes for event in events)):
        for name in names:
            value = _parse_if_json(candidate.get(name))
            if value is not None and value != []:
                return value if isinstance(value, list) else [value]
    return []


def _event_messages(names: frozenset[str], events: Iterable[Event]) -> list[Any]:
    messages: list[Any] = []
    for event in events:
        if event.name in names:
            text = next((event.attributes[name] for name in _BODY_ATTRIBUTES if name in event.attributes), None)
            body = _parse_if_json(text)
            if not _is_message(body):
                body = text  # a plain text that happens to be JSON
            messages += body if isinstance(body, list) and all("role" in item for item in body) else [body]
    return messages


def _is_message(value: Any) -> bool:
    """Return whether the value is a message, or a list of messages or parts."""
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and any(name in value for name in ("role", *TEXT_KEYS))


def _last_text(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role", role) == role:
            text = read_text(message)
            if text:
                return text
    return None
