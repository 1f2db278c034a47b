"""Token counts of provider usage: one table of the names that OpenAI, Anthropic, Gemini, Bedrock and others use.

Each name is accepted in snake case and camel case, as a key of a mapping and as an attribute of an object.

    names                                        providers                                   cached tokens
    prompt_tokens, completion_tokens             OpenAI chat and compatible APIs, litellm    part of the prompt
    input_tokens, output_tokens                  OpenAI Responses, LangChain, pydantic-ai    part of the input
    the same with cache_read_input_tokens, …     Anthropic, Bedrock Converse (inputTokens)   not part of the input
    prompt_token_count, candidates_token_count   Gemini (promptTokenCount)                   part of the prompt
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from xpander_sdk.reporting.lookup import MISSING, look_up
from xpander_sdk.reporting.validation import parse_int

TOKEN_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")


class Usage(NamedTuple):
    """Token counts of one usage.

    Attributes:
        counts: Count of each kind of `Tokens`. `prompt_tokens` is the provider's own number.
        is_cache_included: Whether the prompt tokens include the cached ones; None if there are none, or if the usage
            does not show it.
    """

    counts: dict[str, int | None]
    is_cache_included: bool | None


class _Shape(NamedTuple):
    """Names of one kind of usage.

    Attributes:
        required: Names that a usage of this kind has, all of them.
        prompt: Names of counts whose sum is the prompt.
        completion: Names of counts whose sum is the completion.
    """

    required: tuple[str, ...]
    prompt: tuple[str, ...]
    completion: tuple[str, ...]


_CHAT = (("prompt_tokens",), ("completion_tokens",))
# The first shape whose required names are present applies.
_SHAPES = (
    _Shape(("prompt_tokens",), *_CHAT),
    _Shape(("completion_tokens",), *_CHAT),
    _Shape(("input_tokens", "output_tokens"), ("input_tokens",), ("output_tokens",)),
    _Shape(
        ("prompt_token_count",),
        ("prompt_token_count", "tool_use_prompt_token_count"),
        ("candidates_token_count", "response_token_count", "thoughts_token_count"),
    ),
    _Shape(("cache_read_tokens",), *_CHAT),
    _Shape(("cache_write_tokens",), *_CHAT),
)
# Names of one count. `Tokens`' own name decides; otherwise the first count that is not zero applies.
_CACHE_READ = (
    "cache_read_tokens",
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "input_token_details.cache_read",
    "cache_read_input_tokens",
    "cached_content_token_count",
    "prompt_cache_hit_tokens",
    "cached_prompt_tokens",
    "num_cached_tokens",
    "cached_tokens",
)
_CACHE_WRITE = (
    "cache_write_tokens",
    "prompt_tokens_details.cache_write_tokens",
    "prompt_tokens_details.cache_creation_tokens",
    "input_token_details.cache_creation",
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
)
# With input_tokens, these names mean that the cached tokens are counted separately.
_SEPARATE_CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_write_input_tokens")
# Names that are known and have no count of their own in `Tokens`.
_IGNORED = ("total_tokens", "total_token_count", "reasoning_tokens", "prompt_cache_miss_tokens", "server_tool_use")
_KNOWN = frozenset(
    path.partition(".")[0]
    for names in (*(name for shape in _SHAPES for name in shape), _CACHE_READ, _CACHE_WRITE, _IGNORED)
    for path in names
)


def read_usage(usage: Any) -> Usage | None:
    """Return the token counts of a usage; None if it has no known names.

    Args:
        usage: Mapping or object with the counts of one call or of one run.

    Raises:
        ValueError: A count is not a whole number.

    Example:
        >>> read_usage({"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 300})
        Usage(counts={'completion_tokens': 5, 'prompt_tokens': 20, 'cache_read_tokens': 300, 'cache_write_tokens': 0}, \
is_cache_included=False)
    """
    for shape in _SHAPES:
        if all(_look_up(usage, name) is not MISSING for name in shape.required):
            break
    else:
        return None
    read, write = _first(usage, _CACHE_READ), _first(usage, _CACHE_WRITE)
    counts = {
        "completion_tokens": _sum(usage, shape.completion),
        "prompt_tokens": _sum(usage, shape.prompt),
        "cache_read_tokens": read,
        "cache_write_tokens": write,
    }
    return Usage(counts, _is_cache_included(usage, shape) if read or write else None)


def unknown_keys(usage: Mapping[Any, Any]) -> list[str]:
    """Return the keys that are probably misspelled counts: unknown names with "token", or all if no name is known."""
    keys = [key for key in usage if isinstance(key, str)]
    unknown = [key for key in keys if _snake_case(key) not in _KNOWN and not key.lower().endswith("details")]
    if len(unknown) < len(keys):
        unknown = [key for key in unknown if "token" in key.lower()]
    return unknown


def _look_up(usage: Any, path: str) -> Any:
    value = look_up(usage, path)
    return look_up(usage, _camel_case(path)) if value is MISSING else value


def _sum(usage: Any, names: tuple[str, ...]) -> int | None:
    """Return the sum of the counts; 0 if the usage has none of them, None if all of them are None."""
    values = [(name, value) for name in names if (value := _look_up(usage, name)) is not MISSING]
    counts = [count for name, value in values if (count := parse_int(name, value)) is not None]
    return sum(counts) if counts or not values else None


def _first(usage: Any, names: tuple[str, ...]) -> int | None:
    own_name, *other_names = names
    value = _look_up(usage, own_name)
    if value is not MISSING:
        return parse_int(own_name, value)
    for name in other_names:
        value = _look_up(usage, name)
        count = None if value is MISSING else parse_int(name, value)
        if count:
            return count
    return 0


def _is_cache_included(usage: Any, shape: _Shape) -> bool | None:
    if shape.prompt == ("prompt_tokens",) and (_has(usage, _CACHE_READ[0]) or _has(usage, _CACHE_WRITE[0])):
        return None  # fields of Tokens, which do not show it
    return shape.prompt != ("input_tokens",) or not any(_has(usage, name) for name in _SEPARATE_CACHE)


def _has(usage: Any, name: str) -> bool:
    value = _look_up(usage, name)
    return value is not MISSING and value is not None


def _camel_case(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(word.capitalize() for word in words)


def _snake_case(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
