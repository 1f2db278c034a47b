"""Assembly of a stream's chunks into the whole response, in the shape that the API returns without streaming.

Where each API states its counts and its model in a stream:

    chat                 usage in the last chunk, if `stream_options.include_usage` was set; model in every chunk
    responses            both in the response of the last event
    anthropic            input counts and model in message_start, cumulative output counts in message_delta
    gemini               both in every chunk; the counts are cumulative, so the last ones apply
    converse             usage in the last event (metadata); the model nowhere
    cohere               usage in message-end; the model nowhere
    ollama               both in the last line (`done: true`)
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from xpander_capture.responses import anthropic, bedrock, cohere, gemini, ollama, openai_chat, openai_responses
from xpander_capture.responses.reading import at, child, count, is_record, items, text, texts


class _Api(Protocol):
    """Functions that read the streams of one API: those of its module."""

    def is_chunk(self, chunk: Any, /) -> bool: ...
    def starts_new(self, chunk: Any, stream: Sequence[Any], /) -> bool: ...
    def fold(self, chunks: Sequence[Any], /) -> dict[str, Any]: ...


# The first API with a chunk among the events is used. Gemini's chunks have the shape of whole responses; see
# `is_stream`.
_APIS: tuple[_Api, ...] = (openai_responses, anthropic, cohere, openai_chat, ollama, bedrock)
_ALL_APIS: tuple[_Api, ...] = (*_APIS, gemini)


def accumulate(chunks: Iterable[Any]) -> list[Any]:
    """Return the whole response of each stream in a list of chunks.

    Args:
        chunks: Dicts, objects of an SDK, or pieces of the body as text or bytes, in order.

    Returns:
        One response for each stream. Empty if the chunks have no known shape.
    """
    events = list(parse_events(chunks))
    for api in _ALL_APIS:
        if any(api.is_chunk(event) for event in events):
            return [api.fold(stream) for stream in _split(events, api)]
    if folded := _fold_langchain(events):
        return [folded]
    return []


def is_stream(values: Sequence[Any]) -> bool:
    """Return whether a list holds chunks of streams rather than whole responses.

    A whole response of Gemini has the shape of a chunk: a list of them is a stream if its items share a response id, or
    if one that is not the last has no finish reason.
    """
    events = [_unwrap_event(value) for value in values if is_record(value)]
    if any(api.is_chunk(event) for event in events for api in _APIS):
        return True
    if len(events) < 2 or not all(gemini.is_chunk(event) for event in events):
        return False
    ids = [text(child(event, "response_id")) for event in events]
    if None not in ids:
        return len(set(ids)) < len(ids)
    return any(_finish_reason(event) is None for event in events[:-1])


def parse_events(chunks: Iterable[Any]) -> Iterator[Any]:
    """Yield the records of a stream: chunks as they are, and those that its text holds as events or lines of JSON."""
    pieces: list[str | bytes] = []
    for chunk in chunks:
        if isinstance(chunk, str | bytes | bytearray):
            pieces.append(chunk if isinstance(chunk, str) else bytes(chunk))
            continue
        yield from _parse_text(pieces)
        pieces = []
        if is_record(chunk):
            yield _unwrap_event(chunk)
    yield from _parse_text(pieces)


def _unwrap_event(event: Any) -> Any:
    """Return the chunk in Mistral's CompletionEvent and in the events of other SDKs that wrap it in `data`."""
    data = child(event, "data")
    if is_record(data) and (child(data, "choices") is not None or child(data, "type") is not None):
        return data
    return event


def _parse_text(pieces: list[str | bytes]) -> Iterator[Any]:
    if not pieces:
        return
    # A character may be split over two pieces, so the bytes are joined before they are decoded.
    body = b"".join(piece.encode("utf-8", "replace") if isinstance(piece, str) else piece for piece in pieces)
    content = body.decode("utf-8", "replace").strip()
    if content.startswith(("[", "{")):
        whole = _parse_json(content)
        if whole is not None:
            yield from (record for record in (items(whole) or [whole]) if is_record(record))
            return
    # Only \n and \r end a line of an event stream; str.splitlines would also split at U+0085 and U+2028 in a text.
    for line in content.replace("\r", "\n").split("\n"):
        record = _parse_json(line.removeprefix("data:").strip())
        if is_record(record):
            yield _unwrap_event(record)


def _parse_json(content: str) -> Any:
    if not content.startswith(("[", "{")):
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _split(events: Sequence[Any], api: _Api) -> Iterator[list[Any]]:
    """Yield the events of each stream."""
    stream: list[Any] = []
    for event in events:
        if not (api.is_chunk(event) or child(event, "usage") is not None or child(event, "error") is not None):
            continue
        if stream and api.starts_new(event, stream):
            yield stream
            stream = []
        stream.append(event)
    if stream:
        yield stream


def _finish_reason(event: Any) -> Any:
    candidates = items(child(event, "candidates"))
    return child(candidates[0], "finish_reason") if candidates else None


def _fold_langchain(events: Sequence[Any]) -> dict[str, Any] | None:
    """Return the message that LangChain's chunks make up: their counts are added, as LangChain adds them."""
    content = ""
    usage: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    names: dict[int | None, str] = {}
    is_chunk = False
    for event in events:
        event = child(event, "kwargs") or event
        if child(event, "tool_call_chunks") is None and text(child(event, "type")) != "AIMessageChunk":
            continue
        is_chunk = True
        content += "".join(texts(child(event, "content")))
        _add_counts(usage, child(event, "usage_metadata"))
        for name in ("model_name", "model", "model_provider", "id", "finish_reason", "stop_reason"):
            if (value := text(at(event, f"response_metadata.{name}"))) is not None:
                metadata[name] = value
        for part in items(child(event, "tool_call_chunks")):
            if (tool := text(child(part, "name"))) is not None:
                names[count(child(part, "index"))] = tool
    if not is_chunk:
        return None
    calls = [{"name": name} for name in names.values()]
    return {"type": "ai", "content": content, "usage_metadata": usage or None, "response_metadata": metadata,
            "tool_calls": calls}  # fmt: skip


def _add_counts(total: dict[str, Any], usage: Any) -> None:
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        if isinstance(number := child(usage, name), int):
            total[name] = total.get(name, 0) + number
    for name in ("input_token_details", "output_token_details"):
        for detail in ("cache_read", "cache_creation", "audio", "reasoning"):
            if isinstance(number := at(usage, f"{name}.{detail}"), int):
                details = total.setdefault(name, {})
                details[detail] = details.get(detail, 0) + number
