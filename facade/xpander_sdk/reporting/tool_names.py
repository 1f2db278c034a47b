"""Names of called tools: the conversion of `used_tools`."""

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from typing import Any

from xpander_sdk.reporting.lookup import first_text, look_up
from xpander_sdk.reporting.validation import describe, parse_str

MAX_TOOLS, MAX_TOOL_NAME = 10_000, 255  # entries, characters

# Where the SDKs keep the name of a called tool, in order of preference.
_NAME_PATHS = (
    "name",  # Anthropic, OpenAI Responses, LangChain, MCP
    "function.name",  # OpenAI chat, Mistral, Ollama, litellm
    "function_call.name",  # Gemini
    "functionCall.name",  # Gemini, as JSON
    "toolUse.name",  # Bedrock Converse
    "tool_name",  # pydantic-ai, agno, LlamaIndex
    "toolName",  # Vercel's AI SDK
    "raw_item.name",  # OpenAI Agents
    "params.name",  # a request of MCP
    "tool",  # an action of a LangChain agent
    "__name__",  # the function itself
)


def parse_tool_names(name: str, value: object) -> list[str] | None:
    """Return names in their order, duplicates included.

    Accepts any iterable of names and tool calls, except str, bytes and mappings. A tool call is a dict or an object
    that has the name of the tool in one of `_NAME_PATHS`. The truth value of the iterable is not used.
    """
    if value is None:
        return None
    if type(value) is list and _are_plain_names(value):
        return value.copy()
    if type(value) is not list and (isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)):
        advice = ""
        if isinstance(value, str):
            advice = f"; write [{describe(value)}]"
        elif isinstance(value, bytes) or _read_name(value) is not None:
            advice = "; put it into a list"
        raise ValueError(f"{name} must be a list of tool names or tool calls, got {describe(value)}{advice}")
    dimensions = look_up(value, "ndim")
    if isinstance(dimensions, int) and dimensions != 1:
        raise ValueError(f"{name} must have one dimension, got {type(value).__name__} with {dimensions}; pass a column")
    try:
        items = list(islice(value, MAX_TOOLS + 1))
    except Exception as error:
        raise ValueError(f"{name} must be iterable to its end, got {type(error).__name__}") from error
    if len(items) > MAX_TOOLS:
        raise ValueError(f"{name} must have at most {MAX_TOOLS:,} entries")
    return [_parse_tool(f"{name}[{index}]", item) for index, item in enumerate(items)]


def _are_plain_names(values: list[Any]) -> bool:
    """Return whether all values are valid names that need no conversion, as in most reports."""
    if len(values) > MAX_TOOLS:
        return False
    for value in values:  # noqa: SIM110 - a generator takes twice as long
        if type(value) is not str or not value.isascii() or len(value) > MAX_TOOL_NAME:
            return False
    return True


def _parse_tool(name: str, value: Any) -> str:
    text = value if isinstance(value, str | bytes | bytearray | Enum) else _read_name(value)
    if text is None:
        raise ValueError(f"{name} must be the name of a tool, or a tool call that has a name, got {describe(value)}")
    text = parse_str(name, text) or ""
    if len(text) > MAX_TOOL_NAME:
        raise ValueError(f"{name} must have at most {MAX_TOOL_NAME} characters, got {len(text)}")
    return text


def _read_name(value: Any) -> str | None:
    text = first_text(value, _NAME_PATHS)
    if text is None:
        # Calls of tools that the provider executes have only a type: {"type": "web_search_call"}.
        kind = look_up(value, "type")
        if isinstance(kind, str) and kind.endswith("_call"):
            return kind.removesuffix("_call")
    return text
