"""Names of called tools, from whatever an agent's program has."""

from types import SimpleNamespace
from typing import Any

import anthropic.types
import numpy as np
import openai.types.chat.chat_completion_message_tool_call as chat_tool_call
import openai.types.responses as openai_responses
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import Backend, Configuration, Task
from xpander_sdk.reporting.tool_names import parse_tool_names


class Uncertain:
    """Iterable without a truth value."""

    def __iter__(self):
        return iter(["search"])

    def __bool__(self) -> bool:
        raise TypeError


def search(query: str) -> str:
    return query


@pytest.mark.parametrize("value", [["b", "a", "b"], ("b", "a", "b"), iter(["b", "a", "b"]), np.array(["b", "a", "b"])])
def test_names_keep_their_order_and_their_number(value):
    assert parse_tool_names("used_tools", value) == ["b", "a", "b"]


@pytest.mark.parametrize(
    "call",
    [
        "search",
        b"search",
        np.str_("search"),
        search,
        {"name": "search"},
        {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}},
        {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {}},
        {"function_call": {"name": "search", "args": {}}},
        {"functionCall": {"name": "search", "args": {}}},
        {"toolUse": {"toolUseId": "1", "name": "search", "input": {}}},
        {"name": "search", "args": {}, "id": "1", "type": "tool_call"},
        {"method": "tools/call", "params": {"name": "search", "arguments": {}}},
        {"type": "search_call", "id": "ws_1"},
        chat_tool_call.ChatCompletionMessageToolCall(
            id="call_1", type="function", function=chat_tool_call.Function(name="search", arguments="{}")
        ),
        openai_responses.ResponseFunctionToolCall(
            type="function_call", call_id="call_1", name="search", arguments="{}"
        ),
        anthropic.types.ToolUseBlock(type="tool_use", id="toolu_1", name="search", input={}),
        SimpleNamespace(text=None, function_call=SimpleNamespace(name="search", args={})),  # a part of google-genai
        SimpleNamespace(tool_name="search", args={}),  # pydantic-ai, agno
        SimpleNamespace(raw_item=SimpleNamespace(name="search")),  # OpenAI Agents
        SimpleNamespace(tool="search", tool_input="x", log=""),  # LangChain's AgentAction
    ],
)
def test_call_of_each_sdk_has_its_name(call):
    assert parse_tool_names("used_tools", [call]) == ["search"]


@pytest.mark.parametrize(
    "value",
    [
        np.array(["search"]),
        pd.Series(["search"]),
        pd.DataFrame({"tool": ["search"]})["tool"],
        pd.Index(["search"]),
        {"search": 1}.keys(),
        Uncertain(),
    ],
)
def test_all_forms_take_any_iterable(value, tmp_path):
    configuration = Configuration(base_url=f"sqlite:///{tmp_path}/runs.db")
    backend = Backend(configuration)
    assert Task.report_external_task(configuration, "agent", used_tools=value).used_tools == ["search"]
    assert backend.report_external_task("agent", used_tools=value).used_tools == ["search"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("abc", r"must be a list of tool names or tool calls, got 'abc'; write \['abc'\]$"),
        ({"search": 1}, "must be a list of tool names or tool calls, got dict$"),
        ({"name": "search"}, r"got dict; put it into a list$"),
        (5, "must be a list of tool names or tool calls, got 5"),
        (["a", 1], r"used_tools\[1\] must be the name of a tool, or a tool call that has a name, got 1"),
        ([None], r"used_tools\[0\] must be .* got None"),
        ([{"args": {}}], r"used_tools\[0\] must be .* got dict"),
        ([float("nan")], r"used_tools\[0\] must be .* got nan"),
        (["x" * 256], "at most 255 characters, got 256"),
        (["x"] * 10_001, "at most 10,000 entries"),
        (pd.DataFrame({"tool": ["search"]}), "must have one dimension, got DataFrame with 2; pass a column"),
        (np.array("search"), "must have one dimension, got ndarray with 0"),
    ],
)
def test_other_values_are_an_error_that_names_the_entry(value: Any, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_tool_names("used_tools", value)


@given(st.lists(st.text(max_size=3) | st.sampled_from(["\ud800", "a" * 255, "a" * 256, b"b"]) | st.just({"name": "c"})))
def test_lists_of_plain_names_are_converted_like_all_others(names: list[Any]) -> None:
    def outcome(value: Any) -> Any:
        try:
            return parse_tool_names("used_tools", value)
        except ValueError as error:
            return str(error)

    converted = outcome(names)
    assert converted == outcome(iter(names))  # an iterator never takes the shorter way
    assert converted is not names
