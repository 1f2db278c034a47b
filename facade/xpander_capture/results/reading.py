"""Functions that the readers of results share."""

from typing import Any

from xpander_capture.responses import ResponseSummary
from xpander_capture.responses.reading import child
from xpander_capture.responses.usage import read_usage

MAX_TOOLS = 10_000

# Names of providers as frameworks write them, by their beginning in lower case. The first match applies.
_PROVIDERS = (
    ("azure", "azure"),
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("aws", "bedrock"),
    ("bedrock", "bedrock"),
    ("google", "google"),
    ("gemini", "google"),
    ("vertex", "google"),
)
_COUNT_CACHE_APART = ("anthropic", "bedrock")


def has(value: Any, *names: str) -> bool:
    """Return whether a value has all names, whatever their values are."""
    if isinstance(value, dict):
        return all(name in value for name in names)
    return all(_declares(value, name) for name in names)


def provider_name(value: str | None) -> str | None:
    """Return the name of a provider as the API's `calls` have it: "OpenAI Chat" is "openai"."""
    if value is None:
        return None
    name = value.strip().lower()
    return next((provider for start, provider in _PROVIDERS if name.startswith(start)), name) or None


def summary_of(
    usage: Any, *, provider: str | None = None, model: str | None = None, response_id: str | None = None
) -> ResponseSummary | None:
    """Return the summary of one call; None if its usage has no known counts.

    Args:
        usage: Mapping or object with the counts.
        provider: Name of the provider, as the framework writes it.
        model: Name of the model.
        response_id: Id of the response.
    """
    provider = provider_name(provider)
    counts = read_usage(usage, provider)
    if counts is None or not any(counts.tokens.values()):
        return None
    is_cache_included = counts.is_cache_included
    if is_cache_included and provider in _COUNT_CACHE_APART:
        # Frameworks that give all providers the same names pass the provider's own counts on.
        is_cache_included = False
    return ResponseSummary(
        provider=provider,
        model=model,
        response_id=response_id,
        tokens=counts.tokens,
        is_cache_included=is_cache_included,
    )


def total(summaries: list[ResponseSummary], kind: str) -> int:
    """Return the sum of one kind of tokens."""
    return sum((summary.tokens or {}).get(kind, 0) for summary in summaries)


def call_method(value: Any, name: str, package: str) -> Any:
    """Return the result of a method without arguments of an object that a package has defined; None for others."""
    method = getattr(type(value), name, None)
    if type(value).__module__.partition(".")[0] != package or not callable(method):
        return None
    return method(value)


def _declares(value: Any, name: str) -> bool:
    if child(value, name) is not None:
        return True
    return name in getattr(value, "__dict__", ()) or any(name in vars(kind) for kind in type(value).__mro__)
