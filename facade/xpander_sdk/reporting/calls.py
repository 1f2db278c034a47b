"""Conversion of the argument `calls`: the model calls of a run."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xpander_capture.responses.usage import read_usage
from xpander_sdk.reporting import validation
from xpander_sdk.reporting.lookup import MISSING, look_up
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.validation import describe, parse_bool, parse_duration, parse_int

MAX_CALLS = 1_000
MAX_COST = 10**9  # dollars
_NAMES = ("provider", "model", "response_id", "tokens", "prompt_includes_cache", "duration", "error", "cost")
# The kinds that `xpander_capture.responses.usage` documents.
_MODALITY = "(?:audio|image|text|video)"
_OWN_KIND = re.compile(
    r"(?:prompt|completion|cache_read|cache_write|cache_write_5m|cache_write_1h|reasoning|tool_prompt|citation|total)"
    rf"_tokens|(?:input|output)_{_MODALITY}_tokens|cache_{_MODALITY}_(?:read|write)_tokens|web_searches"
)


def parse_calls(name: str, value: Any) -> list[dict[str, Any]] | None:
    """Return the calls in the form of the API; None for no calls.

    Args:
        name: Name of the argument, for errors.
        value: Iterable of mappings or objects with the fields of `ModelCall`. Summaries of `xpander_sdk.responses` are
            such objects.

    Raises:
        ValueError: A call is invalid. The text names its position.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a list of model calls, got {describe(value)}")
    calls = []
    for number, entry in enumerate(value):
        if number == MAX_CALLS:
            raise ValueError(f"{name} must contain at most {MAX_CALLS:,} calls, got more")
        calls.append(_parse_call(f"{name}[{number}]", entry))
    return calls or None


def _parse_call(name: str, entry: Any) -> dict[str, Any]:
    to_call = look_up(entry, "to_call")
    if callable(to_call):
        entry = to_call()
    if isinstance(entry, Mapping):
        unknown = [str(key) for key in entry if key not in _NAMES]
        if unknown:
            raise ValueError(
                f"{name} must have keys of {', '.join(_NAMES)}, got {unknown[0][:40]!r}; for the response of a "
                "provider, pass xpander_sdk.responses.summarize_response(response)"
            )
    stated = {key: value for key in _NAMES if (value := look_up(entry, key)) is not MISSING and value is not None}
    if not stated and not isinstance(entry, Mapping):
        raise ValueError(f"{name} must be a mapping or object with the fields of a model call, got {describe(entry)}")
    call: dict[str, Any] = {}
    for key, value in stated.items():
        path = f"{name}.{key}"
        if key == "tokens":
            tokens, includes_cache = _parse_tokens(path, value)
            call["tokens"] = tokens
            if includes_cache is not None and "prompt_includes_cache" not in stated:
                call["prompt_includes_cache"] = includes_cache
        else:
            call[key] = _PARSERS[key](path, value)
    return call


def _parse_tokens(name: str, value: Any) -> tuple[dict[str, int | None], bool | None]:
    """Return the counts by kind, and whether the prompt includes the cached tokens; None if that is not known."""
    if isinstance(value, Tokens):
        value = value.to_dict()
    if isinstance(value, Mapping) and all(isinstance(kind, str) and _OWN_KIND.fullmatch(kind) for kind in value):
        counts: Mapping[str, Any] = {kind: count for kind, count in value.items() if kind != "total_tokens"}
        includes_cache = None
    else:
        usage = read_usage(value)
        if usage is None:
            raise ValueError(f"{name} must be token counts by kind, or the usage of a provider, got {describe(value)}")
        counts, includes_cache = usage
    parsed = {kind: parse_int(f"{name}.{kind}", count) for kind, count in counts.items()}
    for kind, count in parsed.items():
        if count is not None and abs(count) > validation.MAX_TOKENS:
            raise ValueError(f"{name}.{kind} must be within ±{validation.MAX_TOKENS}, got {describe(count)}")
    return parsed, includes_cache


def _parse_cost(name: str, value: Any) -> float:
    try:
        cost = float(value)
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{name} must be a number of dollars, got {describe(value)}") from None
    if not 0 <= cost <= MAX_COST:  # also false for NaN
        raise ValueError(f"{name} must be from 0 to {MAX_COST} dollars, got {describe(value)}")
    return cost


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("provider", "model", "response_id"), validation.parse_name),
    "prompt_includes_cache": parse_bool,
    "duration": parse_duration,
    "error": validation.parse_error,
    "cost": _parse_cost,
}
