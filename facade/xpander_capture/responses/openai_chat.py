"""Chat completions, embeddings and legacy completions: OpenAI, and everyone who copies this API.

Groq, Mistral, DeepSeek, Together, OpenRouter, xAI, Cerebras, Fireworks, Perplexity, vLLM, LM Studio, Azure, Ollama's
compatible endpoint, and litellm's own objects have this shape.

Sources:
    - https://platform.openai.com/docs/api-reference/chat/object
    - https://platform.openai.com/docs/api-reference/chat-streaming
    - https://docs.mistral.ai/api/#tag/chat (content may be a list of parts)
    - https://console.groq.com/docs/api-reference#chat-create (`x_groq.usage` in streams)
"""

from collections.abc import Sequence
from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, count, items, join, text, texts

API = "chat"


def read(response: Any) -> Draft | None:
    """Return the parts of a chat completion, an embedding or a legacy completion; None for another shape."""
    if is_chunk(response):
        return None
    choices = items(child(response, "choices"))
    kind = text(child(response, "object")) or ""
    if not choices and not kind.startswith(("chat.completion", "text_completion", "embedding", "list")):
        return None
    if kind == "list" and child(response, "usage") is None:
        return None
    first = child(choices[0], "message") if choices else None
    answer = join(list(texts(child(first, "content")))) or text(child(first, "refusal"))
    draft = Draft(
        api=API,
        model=text(child(response, "model")),
        response_id=text(child(response, "id")),
        usage=_usage(response),
        text=answer or (text(child(choices[0], "text")) if choices else None),
        status=text(child(choices[0], "finish_reason")) if choices else None,
    )
    if child(response, "x_groq") is not None:
        draft.provider = "groq"
    elif draft.response_id is not None and draft.response_id.startswith("gen-") and text(child(response, "provider")):
        draft.provider = "openrouter"
    for choice in choices:
        message = child(choice, "message")
        for call in items(child(message, "tool_calls")):
            if name := text(at(call, "function.name")) or text(at(call, "custom.name")):
                draft.tool_names.append(name)
        if name := text(at(message, "function_call.name")):
            draft.tool_names.append(name)
    return draft


def is_chunk(chunk: Any) -> bool:
    """Return whether a value is a chunk of a stream of this API."""
    if text(child(chunk, "object")) == "chat.completion.chunk":
        return True
    choices = child(chunk, "choices")
    return any(child(choice, "delta") is not None for choice in items(choices))


def starts_new(chunk: Any, stream: Sequence[Any]) -> bool:
    """Return whether a chunk belongs to another stream than the chunks before it."""
    own, other = text(child(chunk, "id")), text(child(stream[0], "id"))
    return own is not None and other is not None and own != other


def fold(chunks: Sequence[Any]) -> dict[str, Any]:
    """Return the chat completion that the chunks of a stream make up."""
    whole: dict[str, Any] = {"object": "chat.completion"}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for name in ("id", "created", "model", "service_tier", "system_fingerprint", "provider", "x_groq", "error"):
            value = child(chunk, name)
            if value not in (None, "") and (name != "x_groq" or name not in whole):
                whole[name] = value
        if (usage := _usage(chunk)) is not None:
            whole["usage"] = usage
        for delta in items(child(chunk, "choices")):
            index = count(child(delta, "index")) or 0
            _add_delta(choices.setdefault(index, {"index": index, "message": {"role": "assistant"}}), delta)
    whole["choices"] = [_finish(choices[index]) for index in sorted(choices)]
    return whole


def _usage(response: Any) -> Any:
    usage = child(response, "usage")
    return at(response, "x_groq.usage") if usage is None else usage


def _add_delta(choice: dict[str, Any], delta: Any) -> None:
    message, change = choice["message"], child(delta, "delta")
    for name in ("content", "refusal", "reasoning", "reasoning_content"):
        parts = list(texts(child(change, name)))
        if parts:
            message[name] = message.get(name, "") + "".join(parts)
    if (legacy := text(child(delta, "text"))) is not None:
        choice["text"] = choice.get("text", "") + legacy
    if (role := text(child(change, "role"))) is not None:
        message["role"] = role
    if (reason := child(delta, "finish_reason")) is not None:
        choice["finish_reason"] = text(reason) or reason
    if (function := child(change, "function_call")) is not None:
        _add_function(message.setdefault("function_call", {"name": "", "arguments": ""}), function)
    calls = message.setdefault("tool_calls", {})
    for position, part in enumerate(items(child(change, "tool_calls"))):
        index = count(child(part, "index"))
        call = calls.setdefault(position if index is None else index, {"type": "function", "function": {}})
        for name in ("id", "type"):
            if (value := text(child(part, name))) is not None:
                call[name] = value
        kind = "custom" if child(part, "custom") is not None else "function"
        _add_function(call.setdefault(kind, {}), child(part, kind))


def _add_function(function: dict[str, Any], part: Any) -> None:
    if (name := text(child(part, "name"))) is not None:
        # Compatible servers repeat the name in each part; OpenAI states it once.
        function["name"] = name
    for key in ("arguments", "input"):
        value = child(part, key)
        if isinstance(value, str):
            function[key] = function.get(key, "") + value
        elif value is not None:
            function[key] = value  # a compatible server that sends parsed arguments


def _finish(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = message.pop("tool_calls", {})
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    message.setdefault("content", None)
    return choice
