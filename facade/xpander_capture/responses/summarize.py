"""Summary of any response: finds the provider's response in what the caller has, and reads it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xpander_capture.responses import (
    anthropic,
    bedrock,
    cohere,
    frameworks,
    gemini,
    ollama,
    openai_chat,
    openai_responses,
    streams,
)
from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, is_record, items, join, text, texts
from xpander_capture.responses.summary import ResponseSummary
from xpander_capture.responses.usage import Usage, read_usage, sum_tokens

MAX_DEPTH = 8
"""Number of wrappers that are opened around a response."""

# The first reader that knows the shape is used; the most frequent shapes come first.
_READERS = (
    openai_chat.read,
    anthropic.read,
    openai_responses.read,
    gemini.read,
    bedrock.read,
    cohere.read,
    ollama.read,
    frameworks.read,
)

# Names under which programs and frameworks keep a provider's response, most specific first.
_WRAPPERS = (
    "response.body",  # a line of OpenAI's batch output
    "result.message",  # a line of Anthropic's batch results
    "response",  # events, Gemini's batch output, many programs
    "body",
    "result",  # Cloudflare
    "raw",  # LlamaIndex
    "raw_response",
    "_raw_response",  # Instructor
    "original_response",
    "responses",
    "raw_responses",  # OpenAI Agents
    "messages",  # LangGraph
    "message",
    "replies",  # Haystack
    "events",
    "chunks",
    "data",  # LangChain's message_to_dict, Mistral's events
    "kwargs",  # LangChain's dumpd
    "output",
)

# Packages whose objects come from one provider only. The classes of openai serve every compatible provider.
_PACKAGES = {
    "groq": "groq", "mistralai": "mistral", "cohere": "cohere", "ollama": "ollama", "together": "together",
    "cerebras": "cerebras", "xai_sdk": "x-ai", "fireworks": "fireworks", "perplexity": "perplexity",
}  # fmt: skip


def summarize_response(response: Any, provider: str | None = None, model: str | None = None) -> ResponseSummary:
    """Return what a provider's response states: tokens, model, tools, text, error.

    Known are OpenAI's chat completions and Responses with all compatible providers, Anthropic, Gemini, Bedrock
    Converse, Mistral, Groq, Cohere, Ollama and litellm, as dicts, as JSON text and as the objects of their SDKs; events
    of a stream; lists of responses; lines of batch files; messages of LangChain, LlamaIndex, pydantic-ai, Haystack and
    Vercel's AI SDK. The function never raises an exception: of an unknown response it returns what is known.

    Args:
        response: Response, list of responses, or list of a stream's events. It is not changed, and an iterator is not
            read.
        provider: Provider that was called, for example "openai", "bedrock" or "azure". Several providers serve the same
            model at different prices, and most responses do not name the provider.
        model: Model that was called, for example the deployment's model on Azure or the `modelId` on Bedrock, for
            responses that do not name their model.

    Returns:
        The summary. For a list of responses, its counts are the sums, and `calls` has the summary of each one.

    Example:
        >>> usage = {"prompt_tokens": 9, "completion_tokens": 2}
        >>> summarize_response({"object": "chat.completion", "model": "gpt-5-mini", "usage": usage}).tokens
        {'prompt_tokens': 9, 'completion_tokens': 2}
    """
    provider, model = _name(provider), _name(model)
    try:
        summaries = _deduplicate(_summarize(_parse(response), provider, model, MAX_DEPTH))
        return _combine(summaries, provider, model)
    except Exception:  # the caller's objects may do anything; a summary must not end the caller's program
        return ResponseSummary(provider=provider, model=model)


def accumulate_stream(chunks: Any) -> Any:
    """Return the whole response that the chunks of a stream make up, as the provider would have returned it.

    Args:
        chunks: Chunks in order, as a list or another iterable: dicts, objects of an SDK, or pieces of the HTTP body
            (text or bytes of server-sent events or lines of JSON). An iterator is read to its end.

    Returns:
        The response as a dict, in the shape of the provider's API; a list of responses if the chunks belong to several
        streams; None if the chunks have no known shape.

    Example:
        >>> hello = {"message": {"content": "He"}, "done": False}, {"message": {"content": "llo"}, "done": True}
        >>> accumulate_stream(hello)["message"]["content"]
        'Hello'
    """
    chunks = list(chunks)
    try:
        responses = streams.accumulate(chunks)
    except Exception:  # see summarize_response
        return None
    if not responses:
        return None
    return responses[0] if len(responses) == 1 else responses


def _name(value: Any) -> str | None:
    name = text(value)
    return name.strip() or None if name is not None else None


def _parse(response: Any) -> Any:
    """Return the value of a JSON text; anything else as it is."""
    if isinstance(response, bytes | bytearray):
        response = bytes(response).decode("utf-8", "replace")
    if not isinstance(response, str):
        return response
    content = response.strip()
    if content.startswith(("{", "[")):
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return list(streams.parse_events([content]))
    if content.startswith(("data:", "event:")):
        return list(streams.parse_events([content]))
    return response


def _summarize(response: Any, provider: str | None, model: str | None, depth: int) -> list[ResponseSummary]:
    """Return the summary of each response in a value; empty if there is none."""
    if depth == 0:
        return []
    if isinstance(response, list | tuple):
        return _summarize_list(items(response), provider, model, depth)
    if not is_record(response):
        return []
    if _is_flat(response):
        generic = ollama.read(response) or _read_generic(response)
        return [_to_summary(generic, response, provider, model)] if generic is not None else []
    if summaries := _summarize_one(response, provider, model, response):
        return summaries
    if streams.is_stream([response]) and (folded := streams.accumulate([response])):
        return [summary for whole in folded for summary in _summarize_one(whole, provider, model, response)]
    inner = _open(response, provider, model, depth)
    generic = _read_generic(response)
    if inner:
        return _fill(inner, generic)
    return [_to_summary(generic, response, provider, model)] if generic is not None else []


def _is_flat(response: Any) -> bool:
    """Return whether a dict has only numbers and texts that are not JSON, such as the model that a caller states."""
    return type(response) is dict and all(map(_is_plain, response.values()))


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return not value.startswith(("{", "["))
    return value is None or isinstance(value, int | float)


def _summarize_list(
    values: Sequence[Any], provider: str | None, model: str | None, depth: int
) -> list[ResponseSummary]:
    if streams.is_stream(values):
        whole = streams.accumulate(values)
        return [summary for response in whole for summary in _summarize(response, provider, model, depth - 1)]
    return [summary for value in values for summary in _summarize(value, provider, model, depth - 1)]


def _summarize_one(response: Any, provider: str | None, model: str | None, source: Any) -> list[ResponseSummary]:
    for read in _READERS:
        draft = read(response)
        if draft is not None:
            return [_to_summary(draft, source if source is not None else response, provider, model)]
    return []


def _open(response: Any, provider: str | None, model: str | None, depth: int) -> list[ResponseSummary]:
    """Return the summaries of the responses in the first wrapper that has any."""
    for path in _WRAPPERS:
        inner = at(response, path)
        if inner is None or inner is response:
            continue
        if isinstance(inner, str) and path in ("message", "output", "result", "data"):
            continue
        summaries = _summarize(_parse(inner), provider, model, depth - 1)
        if summaries:
            return summaries
    return []


def _fill(summaries: list[ResponseSummary], wrapper: Draft | None) -> list[ResponseSummary]:
    """Return the summaries with the model, the counts and the error that only their wrapper states."""
    if wrapper is None or len(summaries) != 1:
        return summaries
    [summary] = summaries
    usage = None if summary.tokens is not None else read_usage(wrapper.usage, summary.provider)
    return [
        replace(
            summary,
            model=summary.model or wrapper.model,
            tokens=summary.tokens if usage is None else usage.tokens,
            is_cache_included=summary.is_cache_included if usage is None else usage.is_cache_included,
            error=summary.error or wrapper.error,
        )
    ]


def _read_generic(response: Any) -> Draft | None:
    """Return what a record of an unknown shape states under common names; None if it states nothing."""
    usage = child(response, "usage") or child(response, "usage_metadata") or child(response, "token_usage")
    if not is_record(usage) or read_usage(usage) is None:
        own = read_usage(response)
        # A count of input alone is the answer to a question about a text, which costs nothing; except Titan's.
        is_usage = own is not None and ("completion_tokens" in own.tokens or child(response, "input_text_token_count"))
        usage = response if is_usage else None
    draft = Draft(
        api="unknown",
        model=_read_model(response),
        usage=usage,
        error=_read_error(response),
    )
    if draft.model is None and draft.usage is None and draft.error is None:
        return None
    draft.response_id = text(child(response, "id"))
    draft.text = text(child(response, "text")) or text(child(response, "output_text"))
    draft.text = draft.text or join(list(texts(child(response, "content"))))
    return draft


def _read_model(response: Any) -> str | None:
    for name in ("model", "model_version", "model_name", "model_id"):
        if (value := text(child(response, name))) is not None:
            return value
    return None


def _read_error(response: Any) -> str | None:
    error = child(response, "error")
    if (message := text(error)) is not None:
        return message
    for path in ("message", "error.message", "type", "code"):
        if (message := text(at(error, path))) is not None:
            return message
    if text(at(response, "result.type")) in ("errored", "canceled", "expired"):  # a line of Anthropic's batch results
        return text(at(response, "result.error.error.message")) or text(at(response, "result.type"))
    return None


def _to_summary(draft: Draft, source: Any, provider: str | None, model: str | None) -> ResponseSummary:
    provider = provider or _provider_of_object(source) or draft.provider
    usage = read_usage(draft.usage, provider)
    return ResponseSummary(
        provider=provider,
        model=draft.model or _read_model(source) or model,
        response_id=draft.response_id,
        tokens=None if usage is None else usage.tokens,
        is_cache_included=None if usage is None else usage.is_cache_included,
        tool_names=tuple(draft.tool_names),
        text=draft.text,
        error=draft.error or _read_error(source),
        status=draft.status,
        service_tier=text(child(source, "service_tier")) or text(at(draft.usage, "service_tier")),
    )


def _provider_of_object(response: Any) -> str | None:
    """Return the provider that litellm states, or the only one whose SDK has the object's class."""
    stated = text(at(response, "_hidden_params.custom_llm_provider"))
    if stated is not None or isinstance(response, dict):
        return stated
    return _PACKAGES.get(type(response).__module__.partition(".")[0])


def _deduplicate(summaries: list[ResponseSummary]) -> list[ResponseSummary]:
    """Return the summaries with the latest one of each response id; one without counts replaces none that has them."""
    kept: dict[Any, ResponseSummary] = {}
    for number, summary in enumerate(summaries):
        key = number if summary.response_id is None else summary.response_id
        if key not in kept or summary.tokens is not None or kept[key].tokens is None:
            kept[key] = summary
    return list(kept.values())


def _combine(summaries: list[ResponseSummary], provider: str | None, model: str | None) -> ResponseSummary:
    if not summaries:
        return ResponseSummary(provider=provider, model=model)
    if len(summaries) == 1:
        return summaries[0]
    usage = sum_tokens([Usage(dict(one.tokens), one.is_cache_included) for one in summaries if one.tokens is not None])
    last = summaries[-1]
    return ResponseSummary(
        provider=_only({one.provider for one in summaries}),
        model=_only({one.model for one in summaries if one.model is not None}),
        tokens=None if usage is None else usage.tokens,
        is_cache_included=None if usage is None else usage.is_cache_included,
        tool_names=tuple(name for one in summaries for name in one.tool_names),
        text=last.text,
        error=last.error,
        status=last.status,
        service_tier=_only({one.service_tier for one in summaries}),
        calls=tuple(summaries),
    )


def _only(values: set[str | None]) -> str | None:
    """Return the only value; None if there are several."""
    return next(iter(values)) if len(values) == 1 else None
