"""Token counts of one call: one table of the usage of each provider's API.

Kinds of tokens, and what each of them counts:

    prompt_tokens            input as the provider counts it: with or without the cache (`Usage.is_cache_included`)
    completion_tokens        output, reasoning included
    cache_read_tokens        input that was read from a cache
    cache_write_tokens       input that was written to a cache, of every lifetime
    cache_write_5m_tokens    part of cache_write_tokens: written for five minutes
    cache_write_1h_tokens    part of cache_write_tokens: written for one hour
    reasoning_tokens         part of completion_tokens
    tool_prompt_tokens       part of prompt_tokens: results of the provider's own tools
    citation_tokens          part of completion_tokens
    input_audio_tokens, …    part of prompt_tokens, by modality: audio, image, text, video
    output_audio_tokens, …   part of completion_tokens, by modality
    cache_audio_read_tokens  part of cache_read_tokens, by modality
    web_searches             searches that the usage states, which providers bill by the piece

Only counts that the usage states are read; nothing is derived from the texts.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from xpander_capture.responses.reading import at, child, count, items, text


class Usage(NamedTuple):
    """Counts of one call.

    Attributes:
        tokens: Count by kind. Kinds that the usage does not state are absent.
        is_cache_included: Whether `prompt_tokens` include the cached tokens; None if the usage has no cached tokens or
            does not show it.
    """

    tokens: dict[str, int]
    is_cache_included: bool | None


class Shape(NamedTuple):
    """Usage of one API.

    Attributes:
        name: Name of the API.
        source: Address of the provider's documentation.
        required: Names of which the usage has at least one.
        sums: Kinds and the paths whose counts are added.
        firsts: Kinds and the paths of which the first count that is not zero applies.
        is_cache_included: Whether the prompt includes the cached tokens; None if the names do not show it.
        markers: Names of which the usage must have at least one; empty if there is no such condition.
    """

    name: str
    source: str
    required: tuple[str, ...]
    sums: Mapping[str, tuple[str, ...]]
    firsts: Mapping[str, tuple[str, ...]] = {}
    is_cache_included: bool | None = True
    markers: tuple[str, ...] = ()


# Mistral's `num_cached_tokens` is not read: it is billed at the full price, as opposed to `prompt_tokens_details`
# (https://docs.mistral.ai/studio-api/conversations/advanced/prompt-caching).
_CHAT_FIRSTS = {
    "cache_read_tokens": (
        "prompt_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",  # DeepSeek
        "cached_tokens",  # Together, Moonshot
        "cache_read_input_tokens",  # litellm, Databricks
        "cached_prompt_tokens",  # CrewAI
        "cached_prompt_text_tokens",  # xAI
    ),
    "cache_write_tokens": (
        "prompt_tokens_details.cache_write_tokens",  # OpenAI, OpenRouter
        "prompt_tokens_details.cache_creation_tokens",  # litellm
        "cache_creation_input_tokens",
    ),
    "reasoning_tokens": ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    "input_audio_tokens": ("prompt_tokens_details.audio_tokens",),
    "output_audio_tokens": ("completion_tokens_details.audio_tokens",),
    "web_searches": ("num_search_queries", "server_tool_use.web_search_requests"),  # Perplexity; litellm
}
_INPUT_OUTPUT = {"prompt_tokens": ("input_tokens",), "completion_tokens": ("output_tokens",)}

# The first shape that applies is used.
SHAPES = (
    Shape(
        "fields of xpander_sdk.Tokens",
        "docs/sdk.md",
        ("prompt_tokens", "completion_tokens"),
        {"prompt_tokens": ("prompt_tokens",), "completion_tokens": ("completion_tokens",)},
        {"cache_read_tokens": ("cache_read_tokens",), "cache_write_tokens": ("cache_write_tokens",)},
        is_cache_included=None,
        markers=("cache_read_tokens", "cache_write_tokens"),
    ),
    Shape(
        "OpenAI chat completions and compatible APIs, embeddings, litellm",
        "https://platform.openai.com/docs/api-reference/chat/object",
        ("prompt_tokens", "completion_tokens"),
        {"prompt_tokens": ("prompt_tokens",), "completion_tokens": ("completion_tokens",)},
        _CHAT_FIRSTS,
    ),
    Shape(
        "Anthropic Messages, Bedrock Converse",
        "https://docs.anthropic.com/en/api/messages#response-usage, "
        "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html",
        ("input_tokens", "output_tokens"),
        _INPUT_OUTPUT,
        {
            "cache_read_tokens": ("cache_read_input_tokens",),
            "cache_write_tokens": ("cache_creation_input_tokens", "cache_write_input_tokens"),
            "cache_write_5m_tokens": ("cache_creation.ephemeral_5m_input_tokens",),
            "cache_write_1h_tokens": ("cache_creation.ephemeral_1h_input_tokens",),
            "reasoning_tokens": ("output_tokens_details.thinking_tokens",),
            "web_searches": ("server_tool_use.web_search_requests",),
        },
        is_cache_included=False,
        markers=("cache_read_input_tokens", "cache_creation_input_tokens", "cache_write_input_tokens"),
    ),
    Shape(
        "OpenAI Responses, Realtime and images, LangChain, pydantic-ai, Vercel AI SDK",
        "https://platform.openai.com/docs/api-reference/responses/object, "
        "https://python.langchain.com/api_reference/core/messages/langchain_core.messages.ai.UsageMetadata.html",
        ("input_tokens", "output_tokens"),
        _INPUT_OUTPUT,
        {
            "cache_read_tokens": (
                "input_tokens_details.cached_tokens",
                "input_token_details.cached_tokens",  # Realtime
                "input_token_details.cache_read",  # LangChain
                "input_tokens_details.cache_read_input_tokens",  # Perplexity
                "cache_read_tokens",  # pydantic-ai
                "cached_input_tokens",  # Vercel, OpenAI Agents
            ),
            "cache_write_tokens": (
                "input_tokens_details.cache_write_tokens",
                "input_token_details.cache_creation",
                "cache_write_tokens",
                "cache_write_input_tokens",
            ),
            "reasoning_tokens": (
                "output_tokens_details.reasoning_tokens",
                "output_token_details.reasoning",
                "output_tokens_details.thinking_tokens",
                "reasoning_tokens",
            ),
            "input_text_tokens": ("input_tokens_details.text_tokens", "input_token_details.text_tokens"),
            "input_audio_tokens": (
                "input_token_details.audio_tokens",
                "input_token_details.audio",
                "input_audio_tokens",
            ),
            "input_image_tokens": ("input_tokens_details.image_tokens", "input_token_details.image_tokens"),
            "output_text_tokens": ("output_tokens_details.text_tokens", "output_token_details.text_tokens"),
            "output_audio_tokens": (
                "output_token_details.audio_tokens",
                "output_token_details.audio",
                "output_audio_tokens",
            ),
            "output_image_tokens": ("output_tokens_details.image_tokens",),
            "cache_text_read_tokens": ("input_token_details.cached_tokens_details.text_tokens",),
            "cache_audio_read_tokens": (
                "input_token_details.cached_tokens_details.audio_tokens",
                "cache_audio_read_tokens",
            ),
            "cache_image_read_tokens": ("input_token_details.cached_tokens_details.image_tokens",),
            "web_searches": (
                "server_tool_use.web_search_requests",
                "tool_calls_details.search_web.invocation",  # Perplexity
            ),
        },
    ),
    Shape(
        "Llama on Bedrock InvokeModel",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html",
        ("prompt_token_count", "generation_token_count"),
        {"prompt_tokens": ("prompt_token_count",), "completion_tokens": ("generation_token_count",)},
        markers=("generation_token_count",),
    ),
    Shape(
        "Gemini",
        "https://ai.google.dev/api/generate-content#UsageMetadata",
        ("prompt_token_count", "candidates_token_count", "total_token_count", "thoughts_token_count"),
        {
            "prompt_tokens": ("prompt_token_count", "tool_use_prompt_token_count"),
            # The Live API calls the candidates a response.
            "completion_tokens": ("candidates_token_count", "response_token_count", "thoughts_token_count"),
        },
        {
            "cache_read_tokens": ("cached_content_token_count",),
            "reasoning_tokens": ("thoughts_token_count",),
            "tool_prompt_tokens": ("tool_use_prompt_token_count",),
        },
    ),
    Shape(
        "Cohere",
        "https://docs.cohere.com/reference/chat#response.body.usage",
        ("billed_units", "tokens"),
        # Cohere bills `billed_units`, which exclude the tokens that its own prompts add.
        {"prompt_tokens": ("billed_units.input_tokens",), "completion_tokens": ("billed_units.output_tokens",)},
    ),
    Shape(
        "Cohere without billed units",
        "https://docs.cohere.com/reference/chat#response.body.usage",
        ("tokens",),
        {"prompt_tokens": ("tokens.input_tokens",), "completion_tokens": ("tokens.output_tokens",)},
        {"cache_read_tokens": ("cached_tokens",)},
    ),
    Shape(
        "Ollama",
        "https://github.com/ollama/ollama/blob/main/docs/api.md#response",
        ("prompt_eval_count", "eval_count"),
        {"prompt_tokens": ("prompt_eval_count",), "completion_tokens": ("eval_count",)},
    ),
    Shape(
        "Amazon Titan",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html",
        ("input_text_token_count",),
        {"prompt_tokens": ("input_text_token_count",)},
    ),
)

_MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "DOCUMENT": "image", "TEXT": "text", "VIDEO": "video"}


def read_usage(usage: Any, provider: str | None = None) -> Usage | None:
    """Return the counts of a usage; None if it has no known names.

    Args:
        usage: Mapping or object with the counts of one call.
        provider: Name of the provider, where it is known. Some APIs use the names of another one differently.

    Example:
        >>> read_usage({"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 300})
        Usage(tokens={'prompt_tokens': 20, 'completion_tokens': 5, 'cache_read_tokens': 300}, is_cache_included=False)
    """
    for shape in SHAPES:
        if shape.markers and not any(count(at(usage, name)) is not None for name in shape.markers):
            continue
        if not any(child(usage, name) is not None for name in shape.required):
            continue
        tokens = _read_shape(usage, shape)
        if not tokens:
            continue
        if (adjust := _ADJUSTMENTS.get(shape.name)) is not None:
            adjust(usage, tokens, provider)
        is_cached = tokens.get("cache_read_tokens") or tokens.get("cache_write_tokens")
        return Usage(tokens, shape.is_cache_included if is_cached else None)
    return None


def _read_shape(usage: Any, shape: Shape) -> dict[str, int]:
    tokens: dict[str, int] = {}
    for kind, paths in shape.sums.items():
        counts = [number for path in paths if (number := count(at(usage, path))) is not None]
        if counts:
            tokens[kind] = sum(counts)
    for kind, paths in shape.firsts.items():
        for path in paths:
            number = count(at(usage, path))
            if number is not None:
                tokens[kind] = number
                if number:
                    break
    return tokens


def _add_uncounted_output(usage: Any, tokens: dict[str, int], provider: str | None) -> None:
    """Add the output that xAI and Perplexity count beside `completion_tokens`.

    Sources: https://docs.x.ai/docs/guides/reasoning, https://docs.perplexity.ai/guides/pricing
    """
    completion, reasoning = tokens.get("completion_tokens"), tokens.get("reasoning_tokens", 0)
    if completion is None:
        return
    citations = count(child(usage, "citation_tokens")) or 0
    if citations:
        tokens["citation_tokens"] = citations
    total = count(child(usage, "total_tokens"))
    # Without the provider's name, the sum shows it: a reasoning that is part of the completion is not added to it.
    is_beside = total is not None and total == tokens.get("prompt_tokens", 0) + completion + reasoning
    if provider in ("x-ai", "perplexity") or (provider is None and is_beside):
        tokens["completion_tokens"] = completion + reasoning + citations


def _read_cache_lifetimes(usage: Any, tokens: dict[str, int], provider: str | None) -> None:
    """Read Bedrock's list of cache writes by lifetime."""
    for detail in items(child(usage, "cache_details")):
        lifetime, number = text(child(detail, "ttl")), count(child(detail, "input_tokens"))
        if lifetime in ("5m", "1h") and number is not None:
            kind = f"cache_write_{lifetime}_tokens"
            tokens[kind] = tokens.get(kind, 0) + number


def _read_modalities(usage: Any, tokens: dict[str, int], provider: str | None) -> None:
    """Read Gemini's lists of counts by modality. Documents are billed as images."""
    for name, kind in (
        ("prompt_tokens_details", "input_{}_tokens"),
        ("tool_use_prompt_tokens_details", "input_{}_tokens"),
        ("candidates_tokens_details", "output_{}_tokens"),
        ("response_tokens_details", "output_{}_tokens"),
        ("cache_tokens_details", "cache_{}_read_tokens"),
    ):
        for detail in items(child(usage, name)):
            modality, number = (
                _MODALITIES.get(text(child(detail, "modality")) or ""),
                count(child(detail, "token_count")),
            )
            if modality is not None and number is not None:
                key = kind.format(modality)
                tokens[key] = tokens.get(key, 0) + number


_ADJUSTMENTS: dict[str, Callable[[Any, dict[str, int], str | None], None]] = {
    "OpenAI chat completions and compatible APIs, embeddings, litellm": _add_uncounted_output,
    "Anthropic Messages, Bedrock Converse": _read_cache_lifetimes,
    "Gemini": _read_modalities,
}


def sum_tokens(usages: list[Usage]) -> Usage | None:
    """Return the sum of several calls; None if none of them states its tokens.

    Where the calls differ in what their prompts include, the prompts of the sum include the cached tokens.
    """
    if not usages:
        return None
    statements = {usage.is_cache_included for usage in usages} - {None}
    is_mixed = len(statements) > 1
    total: dict[str, int] = {}
    for usage in usages:
        tokens = include_cache(usage.tokens) if is_mixed and usage.is_cache_included is False else usage.tokens
        for kind, number in tokens.items():
            total[kind] = total.get(kind, 0) + number
    return Usage(total, True if is_mixed else next(iter(statements), None))


def include_cache(tokens: Mapping[str, int]) -> dict[str, int]:
    """Return counts whose prompt excludes the cached tokens with a prompt that includes them."""
    cached = tokens.get("cache_read_tokens", 0) + tokens.get("cache_write_tokens", 0)
    return {**tokens, "prompt_tokens": tokens.get("prompt_tokens", 0) + cached}
