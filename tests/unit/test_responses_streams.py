"""Assembly of streams: however a response is split into chunks, its summary is that of the whole response."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_sdk.responses import accumulate_stream, summarize_response


class Answer(NamedTuple):
    """Content of a response, independent of any API."""

    texts: list[str]
    """Pieces of the text, as they are streamed."""
    tools: list[tuple[str, list[str]]]
    """Name and pieces of the JSON arguments of each tool call."""
    prompt: int
    completion: int
    cached: int

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def arguments(self, number: int) -> str:
        return "".join(self.tools[number][1])


_COUNTS = st.integers(0, 100_000)
_PIECES = st.lists(st.text(min_size=1, max_size=6), max_size=5)
_ARGUMENTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=3).map(json.dumps)


@st.composite
def _tools(draw: st.DrawFn) -> tuple[str, list[str]]:
    arguments = draw(_ARGUMENTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(arguments)), max_size=4)))
    edges = [0, *cuts, len(arguments)]
    return draw(st.sampled_from(["search", "read", "größe"])), [arguments[start:end] for start, end in pairwise(edges)]


ANSWERS = st.builds(Answer, _PIECES, st.lists(_tools(), max_size=3), _COUNTS, _COUNTS, _COUNTS)


def _chat_usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt + answer.cached,
        "completion_tokens": answer.completion,
        "prompt_tokens_details": {"cached_tokens": answer.cached},
    }


def chat(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": answer.arguments(number)}}
        for number, (name, _) in enumerate(answer.tools)
    ]
    message = {"role": "assistant", "content": answer.text or None, **({"tool_calls": calls} if calls else {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _chat_usage(answer),
    }


def chat_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o"}

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in answer.texts:
        yield chunk({"content": piece})
    for number, (name, pieces) in enumerate(answer.tools):
        first = {"index": number, "id": f"c{number}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield chunk({"tool_calls": [first]})
        for piece in pieces:
            yield chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield chunk({}, "stop")
    yield {**head, "choices": [], "usage": _chat_usage(answer)}


def groq_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    for chunk in chat_chunks(answer):
        usage = chunk.pop("usage", None)
        yield chunk if usage is None else {**chunk, "x_groq": {"id": "req_1", "usage": usage}}


def groq(answer: Answer) -> dict[str, Any]:
    return {**chat(answer), "x_groq": {"id": "req_1"}}


def responses(answer: Answer) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if answer.texts:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        output.append({"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": content})
    for number, (name, _) in enumerate(answer.tools):
        output.append({"type": "function_call", "name": name, "arguments": answer.arguments(number)})
    usage = {
        "input_tokens": answer.prompt + answer.cached,
        "input_tokens_details": {"cached_tokens": answer.cached},
        "output_tokens": answer.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-5-mini",
        "status": "completed",
        "output": output,
        "usage": usage,
    }


def responses_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    whole = responses(answer)
    yield {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}
    for index, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}
        if item["type"] == "message":
            for piece in answer.texts:
                yield {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": whole}


def anthropic(answer: Answer) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.texts else []
    for number, (name, _) in enumerate(answer.tools):
        arguments = json.loads(answer.arguments(number))
        content.append({"type": "tool_use", "id": f"t{number}", "name": name, "input": arguments})
    usage = {
        "input_tokens": answer.prompt,
        "cache_read_input_tokens": answer.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": answer.completion,
    }
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": content,
        "stop_reason": "end_turn",
        "usage": usage,
    }


def anthropic_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    whole = anthropic(answer)
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    index = 0
    if answer.texts:
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        for piece in answer.texts:
            delta = {"type": "text_delta", "text": piece}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        index = 1
    for number, (name, pieces) in enumerate(answer.tools):
        block = {"type": "tool_use", "id": f"t{number}", "name": name, "input": {}}
        yield {"type": "content_block_start", "index": index + number, "content_block": block}
        for piece in pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": index + number, "delta": delta}
        yield {"type": "content_block_stop", "index": index + number}
    usage = {"output_tokens": answer.completion}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def gemini(answer: Answer) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": answer.text}] if answer.texts else []
    parts += [{"functionCall": {"name": name, "args": {}}} for name, _ in answer.tools]
    usage = {
        "promptTokenCount": answer.prompt + answer.cached,
        "cachedContentTokenCount": answer.cached,
        "candidatesTokenCount": answer.completion,
        "totalTokenCount": answer.prompt + answer.cached + answer.completion,
    }
    return {
        "responseId": "g1",
        "modelVersion": "gemini-2.5-pro",
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }


def gemini_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    whole = gemini(answer)
    parts: list[dict[str, Any]] = [{"text": piece} for piece in answer.texts]
    parts += [part for part in whole["candidates"][0]["content"]["parts"] if "functionCall" in part]
    head = {"responseId": "g1", "modelVersion": "gemini-2.5-pro"}
    for number, part in enumerate(parts):
        # The counts of a stream are cumulative.
        usage = {"promptTokenCount": answer.prompt + answer.cached, "candidatesTokenCount": number}
        usage["totalTokenCount"] = usage["promptTokenCount"] + number
        yield {**head, "candidates": [{"content": {"role": "model", "parts": [part]}}], "usageMetadata": usage}
    end = {"content": {"role": "model", "parts": []}, "finishReason": "STOP"}
    yield {**head, "candidates": [end], "usageMetadata": whole["usageMetadata"]}


def converse(answer: Answer) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": answer.text}] if answer.texts else []
    content += [{"toolUse": {"toolUseId": "t", "name": name, "input": {}}} for name, _ in answer.tools]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": answer.prompt,
            "outputTokens": answer.completion,
            "cacheReadInputTokens": answer.cached,
            "cacheWriteInputTokens": 0,
        },
    }


def converse_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"messageStart": {"role": "assistant"}}
    index = 0
    if answer.texts:
        for piece in answer.texts:
            yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
        yield {"contentBlockStop": {"contentBlockIndex": 0}}
        index = 1
    for number, (name, pieces) in enumerate(answer.tools, index):
        tool = {"toolUse": {"toolUseId": "t", "name": name}}
        yield {"contentBlockStart": {"start": tool, "contentBlockIndex": number}}
        for piece in pieces:
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": number}}
        yield {"contentBlockStop": {"contentBlockIndex": number}}
    yield {"messageStop": {"stopReason": "end_turn"}}
    yield {"metadata": {"usage": converse(answer)["usage"], "metrics": {"latencyMs": 3}}}


def cohere(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": answer.arguments(number)}}
        for number, (name, _) in enumerate(answer.tools)
    ]
    content = [{"type": "text", "text": answer.text}] if answer.texts else []
    return {
        "id": "co1",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": content, "tool_calls": calls},
        "usage": {"billed_units": {"input_tokens": answer.prompt, "output_tokens": answer.completion}},
    }


def cohere_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "message-start", "id": "co1", "delta": {"message": {"role": "assistant"}}}
    if answer.texts:
        start = {"message": {"content": {"type": "text", "text": ""}}}
        yield {"type": "content-start", "index": 0, "delta": start}
        for piece in answer.texts:
            yield {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
        yield {"type": "content-end", "index": 0}
    for number, (name, pieces) in enumerate(answer.tools):
        call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"type": "tool-call-start", "index": number, "delta": {"message": {"tool_calls": call}}}
        for piece in pieces:
            part = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield {"type": "tool-call-delta", "index": number, "delta": part}
        yield {"type": "tool-call-end", "index": number}
    end = {"finish_reason": "COMPLETE", "usage": cohere(answer)["usage"]}
    yield {"type": "message-end", "delta": end}


def ollama(answer: Answer) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": {}}} for name, _ in answer.tools]
    return {
        "model": "llama3.2:3b",
        "message": {"role": "assistant", "content": answer.text, **({"tool_calls": calls} if calls else {})},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": answer.prompt,
        "eval_count": answer.completion,
    }


def ollama_chunks(answer: Answer) -> Iterator[dict[str, Any]]:
    head = {"model": "llama3.2:3b", "done": False}
    for piece in answer.texts:
        yield {**head, "message": {"role": "assistant", "content": piece}}
    for name, _ in answer.tools:
        call = {"function": {"name": name, "arguments": {}}}
        yield {**head, "message": {"role": "assistant", "content": "", "tool_calls": [call]}}
    counts = {"prompt_eval_count": answer.prompt, "eval_count": answer.completion}
    end = {"done": True, "done_reason": "stop", **counts}
    yield {"model": "llama3.2:3b", "message": {"role": "assistant", "content": ""}, **end}


Whole = Callable[[Answer], dict[str, Any]]
Chunks = Callable[[Answer], Iterator[dict[str, Any]]]

APIS: dict[str, tuple[Whole, Chunks]] = {
    "chat": (chat, chat_chunks),
    "groq": (groq, groq_chunks),
    "responses": (responses, responses_chunks),
    "anthropic": (anthropic, anthropic_chunks),
    "gemini": (gemini, gemini_chunks),
    "converse": (converse, converse_chunks),
    "cohere": (cohere, cohere_chunks),
    "ollama": (ollama, ollama_chunks),
}
every_api = pytest.mark.parametrize(("whole", "chunks"), APIS.values(), ids=APIS)


@every_api
@settings(max_examples=40)
@given(answer=ANSWERS)
def test_stream_has_the_summary_of_the_whole_response(whole: Whole, chunks: Chunks, answer: Answer) -> None:
    events = list(chunks(answer))
    expected = summarize_response(whole(answer))
    assert summarize_response(accumulate_stream(events)) == expected
    assert summarize_response(events) == expected
    assert expected.tokens is not None
    assert (expected.text or "", len(expected.tool_names)) == (answer.text, len(answer.tools))


@every_api
@settings(max_examples=40)
@given(answer=ANSWERS, cuts=st.lists(st.integers(1, 200), max_size=8))
def test_body_may_be_cut_anywhere(whole: Whole, chunks: Chunks, answer: Answer, cuts: list[int]) -> None:
    lines = (json.dumps(event, ensure_ascii=False) for event in chunks(answer))
    body = ("".join(f"event: x\ndata: {line}\n\n" for line in lines) + "data: [DONE]\n\n").encode()
    pieces = []
    for cut in cuts:
        pieces.append(body[:cut])
        body = body[cut:]
    assert summarize_response(accumulate_stream([*pieces, body])) == summarize_response(whole(answer))


@every_api
@settings(max_examples=40)
@given(answer=ANSWERS)
def test_chunks_may_be_objects(whole: Whole, chunks: Chunks, answer: Answer) -> None:
    events = [_as_object(event) for event in chunks(answer)]
    assert summarize_response(accumulate_stream(iter(events))) == summarize_response(whole(answer))


@every_api
@settings(max_examples=40)
@given(first=ANSWERS, second=ANSWERS)
def test_two_streams_are_two_responses(whole: Whole, chunks: Chunks, first: Answer, second: Answer) -> None:
    renamed = [_rename(event) for event in chunks(second)]
    summary = summarize_response([*chunks(first), *renamed])
    assert [call.tokens for call in summary.calls] == [summarize_response(whole(one)).tokens for one in (first, second)]


@every_api
@settings(max_examples=40)
@given(answer=ANSWERS, length=st.integers(0, 30))
def test_stream_that_was_broken_off_has_a_beginning_of_the_text(
    whole: Whole, chunks: Chunks, answer: Answer, length: int
) -> None:
    events = list(chunks(answer))[:length]
    summary = summarize_response(accumulate_stream(events))
    assert answer.text.startswith(summary.text or "")
    assert set(summary.tool_names) <= {name for name, _ in answer.tools}


def test_lines_of_json_are_a_stream() -> None:
    answer = Answer(["He", "llo"], [], 3, 2, 0)
    body = "\n".join(json.dumps(line) for line in ollama_chunks(answer))
    assert accumulate_stream([body])["message"]["content"] == "Hello"
    array = json.dumps(list(gemini_chunks(answer)))
    assert summarize_response(accumulate_stream([array])) == summarize_response(gemini(answer))


def test_chunks_of_mistral_are_wrapped_in_events() -> None:
    answer = Answer(["He", "llo"], [], 3, 2, 0)
    events = [SimpleNamespace(data=_as_object(chunk)) for chunk in chat_chunks(answer)]
    assert summarize_response(accumulate_stream(events)) == summarize_response(chat(answer))


def test_chunks_of_langchain_add_their_counts() -> None:
    head = {"type": "AIMessageChunk", "response_metadata": {"model_name": "claude-sonnet-4-5"}}
    details = {"cache_read": 40, "cache_creation": 0}
    chunks = [
        {**head, "content": "", "usage_metadata": {"input_tokens": 50, "output_tokens": 1, "total_tokens": 51,
                                                   "input_token_details": details}},
        {**head, "content": [{"type": "text", "text": "Done."}]},
        {**head, "content": "", "tool_call_chunks": [{"name": "search", "args": "", "index": 1}]},
        {**head, "content": "", "tool_call_chunks": [{"name": None, "args": "{}", "index": 1}]},
        {**head, "content": "", "usage_metadata": {"input_tokens": 0, "output_tokens": 19, "total_tokens": 19}},
    ]  # fmt: skip
    summary = summarize_response(accumulate_stream(chunks))
    assert (summary.model, summary.text, summary.tool_names) == ("claude-sonnet-4-5", "Done.", ("search",))
    assert summary.tokens == {
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "cache_read_tokens": 40,
        "cache_write_tokens": 0,
    }


def test_single_event_is_a_stream() -> None:
    event = {"type": "response.completed", "response": responses(Answer(["Hi"], [], 3, 2, 0))}
    assert summarize_response(event) == summarize_response(event["response"])


def test_list_of_whole_gemini_responses_is_no_stream() -> None:
    one, two = gemini(Answer(["a"], [], 3, 2, 0)), {**gemini(Answer(["b"], [], 5, 4, 0)), "responseId": "g2"}
    summary = summarize_response([one, two])
    assert summary.tokens is not None
    assert (summary.tokens["prompt_tokens"], summary.text) == (8, "b")
    without_ids = [{**one, "responseId": None}, {**two, "responseId": None}]
    assert len(summarize_response(without_ids).calls) == 2


def test_gemini_stream_without_ids_is_one_response() -> None:
    answer = Answer(["He", "llo"], [], 3, 2, 0)
    chunks = [{**chunk, "responseId": None} for chunk in gemini_chunks(answer)]
    assert summarize_response(chunks).tokens == summarize_response(gemini(answer)).tokens
    # Some models state a finish reason in each chunk. Chunks that the caller calls a stream are one.
    for chunk in chunks:
        chunk["candidates"] = [{**chunk["candidates"][0], "finishReason": "STOP"}]
    assert summarize_response(accumulate_stream(chunks)).text == "Hello"


def test_values_of_unknown_shape_are_no_stream() -> None:
    assert accumulate_stream([]) is None
    assert accumulate_stream(["nothing", b"\xff", {}, {"a": 1}, None]) is None


def _as_object(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _as_object(inner) for key, inner in value.items()})
    return [_as_object(inner) for inner in value] if isinstance(value, list) else value


def _rename(event: Any) -> Any:
    """Return an event with other response ids."""
    ids = {"chatcmpl-1": "chatcmpl-2", "resp_1": "resp_2", "msg_1": "msg_2", "g1": "g2", "co1": "co2"}
    if isinstance(event, dict):
        return {
            key: ids.get(value, value) if isinstance(value, str) and key in ("id", "responseId") else _rename(value)
            for key, value in event.items()
        }
    return [_rename(inner) for inner in event] if isinstance(event, list) else event
