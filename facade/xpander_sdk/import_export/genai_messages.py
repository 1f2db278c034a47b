"""What was asked and answered, in the words of the GenAI semantic conventions of OpenTelemetry.

The newer ones have `gen_ai.input.messages` and `gen_ai.output.messages`, lists of messages with parts, structured or as
JSON text, on a span or on an event of it. The older ones, up to 1.36, have an event for each message.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

_INPUT = ("gen_ai.input.messages", "pydantic_ai.all_messages")
_OUTPUT = ("gen_ai.output.messages",)
_ASKED = frozenset({"gen_ai.user.message", "gen_ai.content.prompt"})
_ANSWERED = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
_EARLIER = frozenset({"gen_ai.assistant.message"})  # which some use for an answer as well
# Where instrumentations put the body of such an event.
_BODIES = ("gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion", "message", "content", "body")
# Where a message, or a part of one, has its text.
_HOLDERS = ("parts", "content", "text", "message")


@frozen
class Event:
    """An event of a span."""

    name: str
    attributes: Mapping[str, Any]


def input_text(attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """The text of the user's last message; None where none is told."""
    return _last(_messages(_INPUT, attributes, events) or _told(events, _ASKED), "user")


def output_text(attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """The text of the model's last message; None where none is told."""
    return _last(output(attributes, events), "assistant")


def output(attributes: Mapping[str, Any], events: Iterable[Event]) -> list[Any]:
    """The model's messages, as they are told."""
    return _messages(_OUTPUT, attributes, events) or _told(events, _ANSWERED) or _told(events, _EARLIER)


def decoded(value: Any) -> Any:
    """The value that a text of JSON stands for; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _messages(names: tuple[str, ...], attributes: Mapping[str, Any], events: Iterable[Event]) -> list[Any]:
    for holder in (attributes, *(event.attributes for event in events)):
        for name in names:
            value = decoded(holder.get(name))
            if value is not None and value != []:
                return value if isinstance(value, list) else [value]
    return []


def _told(events: Iterable[Event], names: frozenset[str]) -> list[Any]:
    found = []
    for event in events:
        if event.name in names:
            told = next((event.attributes[name] for name in _BODIES if name in event.attributes), None)
            body = decoded(told)
            if not _is_message(body):
                body = told  # a text that is JSON by chance
            found += body if isinstance(body, list) and all("role" in item for item in body) else [body]
    return found


def _is_message(value: Any) -> bool:
    """Whether it is a message, or a list of messages or parts."""
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and any(name in value for name in ("role", *_HOLDERS))


def _last(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role", role) == role:
            text = _text(message)
            if text:
                return text
    return None


def _text(value: Any, levels: int = 8) -> str:
    """The text of a message, of its parts, or of a part; what is no text is left out."""
    if isinstance(value, str):
        return value
    if levels == 0:
        return ""
    if isinstance(value, list):
        return "\n".join(filter(None, (_text(item, levels - 1) for item in value)))
    if not isinstance(value, dict) or value.get("type", "text") not in ("text", "message", "output_text", "input_text"):
        return ""
    held = next((value[name] for name in _HOLDERS if value.get(name) is not None), None)
    return _text(held, levels - 1)
