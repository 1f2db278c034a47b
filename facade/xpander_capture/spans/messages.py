"""Texts of spans: what the user asked and what the model answered.

The conventions have messages in several forms:

    gen_ai.input.messages       JSON: [{"role": "user", "parts": [{"type": "text", "content": "What is the weather?"}]}]
    llm.input_messages.0.message.content, gen_ai.prompt.0.content          one attribute for each field of a message
    event "gen_ai.user.message" content = "What is the weather?"           the conventions up to version 1.36
    event "gen_ai.choice"       gen_ai.event.content = '{"index": 0, "message": {"role": "assistant", "content": …}}'
    input.value                 a text, or JSON with messages somewhere inside, for example those of LangChain
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xpander_capture.spans.conventions import CONVENTIONS, Names, Path
from xpander_capture.spans.known_names import KnownNames
from xpander_capture.spans.span import Event
from xpander_capture.spans.values import look_up, parse_json

_USER_ROLES = frozenset({"user", "human"})
_MODEL_ROLES = frozenset({"assistant", "model", "ai"})
_ROLES = _USER_ROLES | _MODEL_ROLES | {"system", "developer", "tool", "function"}
_TEXT_KEYS = ("parts", "content", "text", "message")
_TEXT_TYPES = frozenset({"text", "message", "output_text", "input_text", "ChatGeneration", "AIMessageChunk", *_ROLES})
# Keys under which libraries put messages or the text, in order of preference.
_CONTAINERS = ("messages", "generations", "inputs", "outputs", "input", "output", "raw", "choices", "kwargs", "data")
_INPUT_EVENTS = frozenset({"gen_ai.user.message", "gen_ai.content.prompt"})
_OUTPUT_EVENTS = frozenset({"gen_ai.choice", "gen_ai.content.completion"})
# Messages of earlier turns of the conversation. Some instrumentations use the event for the response too.
_ASSISTANT_EVENTS = frozenset({"gen_ai.assistant.message"})
# Attributes that may have the body of an event, in order of preference.
_BODY_ATTRIBUTES = ("gen_ai.event.content", "gen_ai.prompt", "gen_ai.completion", "message", "content", "body")
# Attributes of one event with all messages of a call.
_EVENT_INPUTS, _EVENT_OUTPUTS = ("gen_ai.input.messages",), ("gen_ai.output.messages",)
_LANGCHAIN_ROLES = {"HumanMessage": "human", "AIMessage": "ai", "SystemMessage": "system", "ToolMessage": "tool"}
_MAX_DEPTH = 12
_CONTAINER_TYPES = (list, dict)  # isinstance() would create `list | dict` at each call

_JSON_TEXTS = frozenset(
    name
    for convention in CONVENTIONS
    if convention.has_json_texts
    for name in (*convention.inputs, *convention.outputs)
)
_TEXTS = frozenset(name for convention in CONVENTIONS for name in convention.texts)


def input_text(known: KnownNames, attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """Return the text of the user's last message, or None."""
    return _first_text(known.inputs, attributes, events, _USER_ROLES, _EVENT_INPUTS, (_INPUT_EVENTS,))


def output_text(known: KnownNames, attributes: Mapping[str, Any], events: Iterable[Event]) -> str | None:
    """Return the text of the model's last message, or None."""
    return _first_text(
        known.outputs, attributes, events, _MODEL_ROLES, _EVENT_OUTPUTS, (_OUTPUT_EVENTS, _ASSISTANT_EVENTS)
    )


def output_messages(known: KnownNames, attributes: Mapping[str, Any], events: Iterable[Event]) -> list[Any]:
    """Return the model's messages in the form that the span has them in, without the history of the conversation."""
    for path in known.output_messages:
        value = _attribute(path, attributes)
        if value:
            return value if isinstance(value, list) else [value]
    for event in events:
        value = parse_json(event.attributes.get("gen_ai.output.messages"))
        if value:
            return value if isinstance(value, list) else [value]
    return _event_messages(_OUTPUT_EVENTS, events) or _event_messages(_ASSISTANT_EVENTS, events)


def _first_text(
    paths: tuple[Path, ...],
    attributes: Mapping[str, Any],
    events: Iterable[Event],
    roles: frozenset[str],
    event_attributes: Names,
    event_names: tuple[frozenset[str], ...],
) -> str | None:
    for path in paths:
        value = _attribute(path, attributes)
        if value is None:
            continue
        if text := _value_text(value, roles):
            return text
    for event in events:
        for name in event_attributes:
            if text := _value_text(parse_json(event.attributes.get(name)), roles):
                return text
    for names in event_names:
        if text := _last_text(_event_messages(names, events), roles):
            return text
    return None


def _attribute(path: Path, attributes: Mapping[str, Any]) -> Any:
    if path.is_indexed:
        return _indexed(path.attribute, attributes)
    value = attributes.get(path.attribute)
    if path.attribute in _TEXTS:
        return value
    value = look_up(value, path.keys) if path.keys else value
    return parse_json(value, is_text=path.attribute in _JSON_TEXTS)


def _indexed(pattern: str, attributes: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the messages of attributes such as `gen_ai.prompt.0.content`.

    Contents in parts, `message.contents.0.message_content.text`, are put into a list of parts.
    """
    prefix, _, suffix = pattern.partition("*")
    messages: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        number, _, key = name[len(prefix) :].partition(suffix + "." if suffix else ".")
        if not number.isdecimal() or len(number) > 5 or not key:
            continue
        message = messages.setdefault(int(number), {})
        if key.startswith("contents.") and key.endswith(".message_content.text"):
            message.setdefault("parts", []).append({"type": "text", "content": value})
        elif "." not in key:
            message[key] = value
    return [message for _, message in sorted(messages.items())] or None


def _event_messages(names: frozenset[str], events: Iterable[Event]) -> list[Any]:
    messages: list[Any] = []
    for event in events:
        if event.name in names:
            text = next((event.attributes[name] for name in _BODY_ATTRIBUTES if name in event.attributes), None)
            body = parse_json(text)
            if not _is_message(body):
                body = text  # a plain text that happens to be JSON
            messages += body if isinstance(body, list) and all("role" in item for item in body) else [body]
    return messages


def _is_message(value: Any) -> bool:
    """Return whether the value is a message, or a list of messages or parts."""
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return isinstance(value, dict) and any(name in value for name in ("role", *_TEXT_KEYS))


def _last_text(messages: list[Any], roles: frozenset[str]) -> str | None:
    for message in reversed(messages):
        role = _role(message) if isinstance(message, dict) else None
        if role is None or role in roles:
            text = _read_text(message)
            if text:
                return text
    return None


def _value_text(value: Any, roles: frozenset[str]) -> str | None:
    """Return the text of a value: itself, the last message in it, or what a library put into a container."""
    if value is None or value == [] or value == {}:
        return None
    if isinstance(value, str):
        return value or None
    messages = list(_find_messages(value, _MAX_DEPTH))
    if messages:
        for role, message in reversed(messages):
            if role in roles and (text := _read_text(message)):
                return text
        return None
    if isinstance(value, dict) and isinstance(raw := value.get("raw"), str):
        return raw or None
    return _json_text(value)


def _find_messages(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield role and content of the messages in a value, in their order."""
    if depth == 0:
        return
    if isinstance(value, list):
        # LangChain's short form: ["user", "What is the weather?"]
        if len(value) == 2 and isinstance(value[0], str) and value[0] in _ROLES and isinstance(value[1], str):
            yield value[0], value[1]
            return
        for item in value:
            if isinstance(item, _CONTAINER_TYPES):
                yield from _find_messages(item, depth - 1)
    elif isinstance(value, dict):
        role = _role(value)
        if role is not None:
            yield role, value
            return
        event_name = value.get("event.name")  # pydantic-ai, version 1
        if event_name == "gen_ai.choice":
            yield "assistant", value
            return
        for key in _CONTAINERS:
            if isinstance(value.get(key), _CONTAINER_TYPES):
                yield from _find_messages(value[key], depth - 1)
                return
        message = value.get("message")
        if isinstance(message, dict):
            yield from _find_messages(message, depth - 1)


def _role(message: dict[str, Any]) -> str | None:
    role = message.get("role")
    if isinstance(role, str):
        return role
    kind = message.get("type")
    if isinstance(kind, str) and kind in _ROLES:  # LangChain: {"type": "human", "content": …}
        return kind
    if kind == "constructor" and isinstance(path := message.get("id"), list) and path:
        return _LANGCHAIN_ROLES.get(str(path[-1]).removesuffix("Chunk"))
    return None


def _read_text(value: Any, depth: int = _MAX_DEPTH) -> str:
    """Return the text of a message, of a list of parts or of a part, without parts of other types."""
    if isinstance(value, str):
        return value
    if value is None or depth == 0:
        return ""
    if isinstance(value, list):
        return "\n".join([text for item in value if (text := _read_text(item, depth - 1))])
    if not isinstance(value, dict):
        return ""
    kind = value.get("type")
    if kind == "constructor":  # LangChain's serialized objects
        return _read_text(value.get("kwargs"), depth - 1)
    if (isinstance(kind, str) and kind not in _TEXT_TYPES) or value.get("thought") is True:
        return ""
    if isinstance(kind, str) and kind in _ROLES and isinstance(value.get("data"), dict):
        return _read_text(value["data"], depth - 1)
    content = None
    for key in _TEXT_KEYS:
        content = value.get(key)
        if content is not None:
            break
    if isinstance(content, str):
        if not content.startswith('[{"'):
            return content
        content = parse_json(content)
    return _read_text(content, depth - 1)


def _json_text(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
