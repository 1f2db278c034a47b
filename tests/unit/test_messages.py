"""Texts of `input` and `result`, from whatever an agent's program has."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import anthropic.types
import attrs
import numpy as np
import openai.types.chat
import openai.types.responses
import pandas as pd
import pydantic
import pytest

from xpander_sdk.reporting.messages import parse_input, parse_result

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": [{"type": "text", "text": "2+2?"}, IMAGE]},
]
ANTHROPIC = anthropic.types.Message.model_validate(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "4"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
)
RESPONSES_MESSAGE = openai.types.responses.ResponseOutputMessage.model_validate(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "4", "annotations": []}],
    }
)


@dataclass
class Order:
    number: int
    day: date


@attrs.define
class Question:
    text: str


class Answer(pydantic.BaseModel):
    value: int


@pytest.mark.parametrize("parse", [parse_input, parse_result])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        ("2+2?", "2+2?"),
        (b"2+2?", "2+2?"),
        ({"question": "2+2?", "day": date(2026, 1, 2)}, '{"question": "2+2?", "day": "2026-01-02"}'),
        (["é", 1, None], '["é", 1, null]'),
        ([], "[]"),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        (float("nan"), None),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Order(1, date(2026, 1, 2)), '{"number": 1, "day": "2026-01-02"}'),
        (Question("2+2?"), '{"text": "2+2?"}'),
        (Answer(value=4), '{"value": 4}'),
        (np.array([1, 2]), "[1, 2]"),
        (np.float64(1.5), "1.5"),
        (pd.Series({"a": 1}), '{"a": 1}'),
        ([{"role": "manager", "content": "x"}], '[{"role": "manager", "content": "x"}]'),
        ({"role": "user", "content": ""}, '{"role": "user", "content": ""}'),
        ([IMAGE], json.dumps([IMAGE])),
    ],
)
def test_value_that_is_no_message_is_text_or_json(parse: Callable[[str, object], str | None], value, text):
    assert parse("input", value) == text


@pytest.mark.parametrize(
    "messages",
    [
        CONVERSATION,
        tuple(CONVERSATION),
        [CONVERSATION[-1]],
        CONVERSATION[-1],
        [*CONVERSATION, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "4"}]}],
        [{"role": "user", "parts": [{"text": "2+2?"}]}, {"role": "model", "parts": [{"text": "4"}]}],
        [{"parts": [{"text": "2+2?"}]}],
        [{"role": "user", "content": [{"text": "2+2?"}, {"image": {"format": "png"}}]}],
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2+2?"}]}],
        [("system", "Be brief."), ("human", "2+2?")],
        [SimpleNamespace(type="system", content="Be brief."), SimpleNamespace(type="human", content="2+2?")],
        SimpleNamespace(role="user", parts=[SimpleNamespace(text="2+2?", thought=None)]),
    ],
)
def test_input_is_the_text_of_the_last_message_of_the_user(messages):
    assert parse_input("input", messages) == "2+2?"


@pytest.mark.parametrize(
    "messages",
    [
        [*CONVERSATION, {"role": "assistant", "content": "4"}],
        openai.types.chat.ChatCompletionMessage(role="assistant", content="4"),
        RESPONSES_MESSAGE,
        [{"type": "reasoning", "summary": []}, RESPONSES_MESSAGE, {"type": "function_call", "name": "search"}],
        ANTHROPIC,
        {"role": "model", "parts": [{"text": "thinking", "thought": True}, {"text": "4"}]},
        [SimpleNamespace(type="human", content="2+2?"), SimpleNamespace(type="ai", content="4")],
        [{"role": "assistant", "content": "4"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
    ],
)
def test_result_is_the_text_of_the_last_message_of_the_model(messages):
    assert parse_result("result", messages) == "4"


def test_several_parts_of_text_are_lines():
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}]}
    assert parse_input("input", message) == "a\nb"


def test_messages_without_one_of_the_role_are_json():
    messages = [{"role": "assistant", "content": "4"}]
    assert parse_input("input", messages) == json.dumps(messages)


def test_message_that_contains_itself_is_json():
    message: dict[str, Any] = {"role": "user"}
    message["content"] = [message]
    assert parse_input("input", [message]) == '[{"role": "user", "content": ["<left out: contains itself>"]}]'


async def answer() -> str:
    return "4"


def test_coroutine_is_an_error_that_asks_to_await_it():
    coroutine = answer()
    with pytest.raises(ValueError, match="result must be text or data, got coroutine; await it first"):
        parse_result("result", coroutine)
    assert asyncio.run(coroutine) == "4"


@pytest.mark.parametrize("value", [len, answer, Answer])
def test_function_is_an_error_that_asks_to_call_it(value: Any):
    with pytest.raises(ValueError, match="result must be text or data, got .*; call it first"):
        parse_result("result", value)


def test_iterator_is_an_error_and_keeps_its_items():
    chunks = iter(["4"])
    with pytest.raises(
        ValueError, match=r"result must not be an iterator.*; write ''\.join\(result\) or list\(result\)"
    ):
        parse_result("result", chunks)
    assert list(chunks) == ["4"]


def test_bytes_that_are_not_text_are_an_error():
    with pytest.raises(ValueError, match="input must be UTF-8 if it is bytes; decode it first"):
        parse_input("input", b"\xff")
