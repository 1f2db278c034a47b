"""Texts of a run: the conversion of `input` and `result`.

    value                                                  text
    None, str, UTF-8 bytes, enum                           itself
    list of messages                                       text of the last message of the user (`input`) or of the
                                                           model (`result`)
    one message                                            its text
    list of messages without such a text, any other value  JSON

Messages are dicts and objects as in the SDKs of OpenAI, Anthropic, Gemini, Bedrock and LangChain:

    {"role": "user", "content": "2+2?"}
    {"role": "user", "content": [{"type": "text", "text": "2+2?"}, {"type": "image", ...}]}
    {"role": "model", "parts": [{"text": "4"}]}
    HumanMessage("2+2?")
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.lookup import MISSING, look_up
from xpander_sdk.reporting.validation import parse_str

_USER_ROLES = frozenset({"user", "human", "HumanMessageChunk"})
_MODEL_ROLES = frozenset({"assistant", "model", "ai", "AIMessageChunk"})
_ROLES = _USER_ROLES | _MODEL_ROLES | {"system", "developer", "tool", "function"}
TEXT_KEYS = ("parts", "content", "text", "message")
"""Keys that may have the text of a message or of a part, in order of preference."""
_TEXT_TYPES = ("text", "message", "output_text", "input_text")
_MAX_DEPTH = 8


def parse_input(name: str, value: object) -> str | None:
    """Return the text of the request to the agent."""
    return _parse(name, value, _USER_ROLES)


def parse_result(name: str, value: object) -> str | None:
    """Return the text of the final answer."""
    return _parse(name, value, _MODEL_ROLES)


def read_text(value: Any, depth: int = _MAX_DEPTH) -> str:
    """Return the text of a message, of a list of parts or of a part, without parts of other types."""
    if isinstance(value, str):
        return value
    if value is None or value is MISSING or depth == 0:
        return ""
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, (read_text(item, depth - 1) for item in value)))
    kind = look_up(value, "type")
    if (isinstance(kind, str) and kind not in _TEXT_TYPES) or look_up(value, "thought") is True:
        return ""
    return _read_content(value, depth)


def _read_content(value: Any, depth: int) -> str:
    contents = (look_up(value, key) for key in TEXT_KEYS)
    content = next((content for content in contents if content is not MISSING and content is not None), None)
    return read_text(content, depth - 1)


def _parse(name: str, value: Any, roles: frozenset[str]) -> str | None:
    if type(value) is str or value is None or isinstance(value, str | bytes | bytearray | Enum):
        return parse_str(name, value)
    if inspect.isawaitable(value):
        raise ValueError(f"{name} must be text or data, got {type(value).__name__}; await it first")
    if inspect.isroutine(value) or isinstance(value, type):
        raise ValueError(f"{name} must be text or data, got {type(value).__name__}; call it first")
    if isinstance(value, Iterator):
        raise ValueError(
            f"{name} must not be an iterator, which the report would use up, got {type(value).__name__}; "
            f"write ''.join({name}) or list({name})"
        )
    text = _read_messages(value, roles)
    return parse_str(name, text) if text else _json_text(value)


def _read_messages(value: Any, roles: frozenset[str]) -> str:
    """Return the text of a message, or of the last message of a list that has one of the roles and a text."""
    if not isinstance(value, list | tuple):
        return _read_message(value) if _role(value) in _ROLES else ""
    texts = (_read_message(message) for message in reversed(value) if _role(message) in roles)
    return next(filter(None, texts), "")


def _role(message: Any) -> str | None:
    if isinstance(message, str) or (isinstance(message, Mapping) and not message):
        return None
    if isinstance(message, tuple):  # LangChain's short form: ("user", "2+2?")
        is_pair = len(message) == 2 and isinstance(message[0], str) and isinstance(message[1], str | list)
        return message[0] if is_pair else None
    role = look_up(message, "role")
    if role is None or role is MISSING:
        is_gemini = look_up(message, "parts") is not MISSING
        role = "user" if is_gemini else look_up(message, "type")  # LangChain: HumanMessage.type is "human"
    if isinstance(role, Enum):
        role = role.value
    return role if isinstance(role, str) else None


def _read_message(message: Any) -> str:
    return read_text(message[1]) if isinstance(message, tuple) else _read_content(message, _MAX_DEPTH)


def _json_text(value: Any) -> str | None:
    encoded = to_jsonable(value)
    if encoded is None or isinstance(encoded, str):
        return encoded
    return json.dumps(encoded, ensure_ascii=False)
