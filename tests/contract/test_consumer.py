"""Requests of the SDK for arbitrary arguments.

For every argument, either the request matches the contract, or a ValueError names the argument and no request is sent.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import yaml
from attrs import frozen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from xpander_sdk import Backend, Configuration, Task, Tokens, TransportSettings

BASE_URL = "http://127.0.0.1:1"
CONFIGURATION = Configuration(
    base_url=BASE_URL, api_key="k", transport=TransportSettings(http=lambda: httpx.MockTransport(_respond))
)
SPECIFICATION = yaml.safe_load((Path(__file__).parents[2] / "openapi" / "task-report.yaml").read_text(encoding="utf-8"))
CONTRACT = OpenAPI.from_dict({**SPECIFICATION, "servers": [{"url": BASE_URL}]})
RESPONSE = SPECIFICATION["components"]["examples"]["SeedTask"]["value"]
ARGUMENTS = ("agent_id", "id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools")

Report = Callable[..., Task]


def _report_with_task(**arguments: Any) -> Task:
    return Task.report_external_task(configuration=CONFIGURATION, **arguments)


def _report_with_backend(**arguments: Any) -> Task:
    return Backend(CONFIGURATION).report_external_task(**arguments)


# openapi-core would interpret these characters within an id as the structure of the path.
REPLACEMENTS = str.maketrans("/{}", "∕❴❵")


class CapturedRequest:
    """Captured request, with the attributes that openapi-core requires."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request
        self.method = request.method.lower()
        self.host_url = BASE_URL
        segments = request.url.raw_path.decode().partition("?")[0].split("/")
        self.path = "/".join(unquote(segment).translate(REPLACEMENTS) for segment in segments)
        self.content_type = request.headers.get("content-type", "")
        self.body = request.content
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(request.url.params.multi_items()), header=Headers(request.headers.multi_items())
        )


CAPTURED: list[CapturedRequest] = []


def _respond(request: httpx.Request) -> httpx.Response:
    CAPTURED.append(CapturedRequest(request))
    return httpx.Response(200, json={**RESPONSE, "id": json.loads(request.content)["id"]})


@contextmanager
def capture_requests() -> Iterator[list[CapturedRequest]]:
    """Yield a list of the requests that the SDK sends within the block."""
    CAPTURED.clear()
    yield CAPTURED


def assert_sent_or_rejected(report: Report, arguments: dict[str, Any], names: tuple[str, ...]) -> None:
    """Assert that a valid request is sent, or that an error names one of the arguments `names` and none is sent."""
    rejection = None
    with capture_requests() as requests:
        try:
            report(**arguments)
        except ValueError as error:
            rejection = error
    if rejection is not None:
        assert type(rejection) is ValueError, f"an invalid argument raised {type(rejection).__name__}: {rejection}"
        assert not requests, "a rejected report must not be sent"
        assert re.search("|".join(names), str(rejection)), f"the error names none of {names}: {rejection}"
        assert len(str(rejection)) < 500
        return
    (request,) = requests
    CONTRACT.validate_request(request)
    if isinstance(agent_id := arguments["agent_id"], str):
        assert unquote(request.request.url.raw_path.split(b"/")[2].decode()) == _as_utf8(agent_id)
    body = json.loads(request.body.decode("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert body.keys() == set(ARGUMENTS) - {"agent_id"}, "the body must have the eight keys of the official client"
    assert body["id"], "the SDK must choose the id before the first attempt"


def _as_utf8(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass
class Message:
    role: str
    parts: list[Any]


@frozen
class Usage:
    prompt: int


class Color(Enum):
    RED = "red"
    BLUE = 2


class Failing:
    """Object whose methods and attributes raise an exception."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Misleading:
    """Object that converts to numbers outside of every limit."""

    def __int__(self) -> int:
        return -(10**30)

    def __float__(self) -> float:
        return math.inf


def circular_list() -> list[Any]:
    items: list[Any] = [1]
    items.append({"again": items})
    return items


def one_of_these(*values: Any) -> st.SearchStrategy[Any]:
    """Return a strategy like sampled_from, but for values without a working repr."""
    return st.integers(0, len(values) - 1).map(lambda index: values[index])


def nested_list(levels: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(levels):
        items = [items]
    return items


# Strategies for documented arguments

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.none() | st.text(CHARACTERS)
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255).filter(
    lambda i: i not in (".", "..")
)
COUNTS = st.none() | st.integers(0, 10**12)
KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
USAGES = st.fixed_dictionaries({}, optional=dict.fromkeys((*KINDS, "total_tokens"), COUNTS))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(CHARACTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
    max_leaves=10,
)
DOCUMENTED: dict[str, st.SearchStrategy[Any]] = {
    "agent_id": IDS,
    "id": st.none() | IDS,
    "input": TEXTS,
    "llm_response": JSON,
    "tokens": st.none() | USAGES | st.builds(lambda usage: Tokens(**usage), USAGES),
    "is_success": st.none() | st.booleans(),
    "result": TEXTS,
    "duration": st.none() | st.integers(0, 10**9) | st.floats(0, 1e9),
    "used_tools": st.lists(st.text(CHARACTERS, max_size=255), max_size=5),
}

# Strategies for unusual and invalid arguments

UNUSUAL_IDS = (
    "", ".", "..", "...", "/", "//", "a/b", "../a", "%2F", "%2e%2e", "%", "?", "#", "a?b#c", ";", "\\", " ", " a ",
    "\0", "a\nb", "\r\n", "\x7f", "\x85", "\u2028", "ü", "🙂" * 255, "🙂" * 256, "x" * 255, "x" * 256, "x" * 10_000,
    "None", "\ud800", "a\udfffb", "\ud83d\ude00", "\ufeff", "e\u0301", "{agent_id}", "report_task",
)  # fmt: skip
UNUSUAL_VALUES = (
    math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324, 2**63, -(2**63), 10**30, 10**4_299, 10**4_300, -(10**5_000),
    Decimal("1.10"), Decimal("NaN"), Decimal("1e999999"), Fraction(1, 3), 1j, ..., NotImplemented, object(), int, len,
    "\ud800", "x\udfff", "\ud83d\ude00", "\0", "nan", "inf", "1e999", "-1", "1_0", "１", " 5 ", "yes", "TRUE", "",
    b"\xff", b"5", b"nan", bytearray(b"a"), memoryview(b"a"), range(3), Path("a"), ValueError("x"), Color.RED,
    Color.BLUE, datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2), time(1), timedelta(1), Message("a", [1]), Usage(1),
    Message, Failing(), Misleading(), circular_list(), nested_list(399), nested_list(400), nested_list(600),
    nested_list(50_000), frozenset({1, "a"}), -1, -0.5, 0.5, 1e9, 1.0000001e9, 10**12, 10**12 + 1, 5.0, 5.5,
    "x" * 1_000_000, "x" * 1_000_001,
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    one_of_these(*UNUSUAL_VALUES),
)
KEYS = st.text() | st.integers() | st.none() | st.tuples(st.integers(), st.text()) | st.binary() | st.floats()
ANYTHING = st.recursive(
    SCALARS | one_of_these(*UNUSUAL_IDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.lists(inner, max_size=3).map(iter),
        st.sets(st.integers() | st.text(), max_size=3),
    ),
    max_leaves=6,
)
UNUSUAL: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(ARGUMENTS, ANYTHING),
    "agent_id": one_of_these(*UNUSUAL_IDS)
    | st.text(st.characters(), max_size=300)
    | ANYTHING.filter(lambda value: value is not None),
    "id": one_of_these(*UNUSUAL_IDS) | st.text(st.characters(), max_size=300) | ANYTHING,
    "tokens": st.fixed_dictionaries({}, optional=dict.fromkeys((*KINDS, "other"), ANYTHING)) | ANYTHING,
    "used_tools": st.lists(ANYTHING, max_size=3) | one_of_these(["x"] * 10_001, ["x" * 256]) | ANYTHING,
}


def argument_sets(strategies: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {name: values for name, values in strategies.items() if name != "agent_id"}
    return st.fixed_dictionaries({"agent_id": strategies["agent_id"]}, optional=optional)


each_function = pytest.mark.parametrize("report", [_report_with_task, _report_with_backend])
# The function-scoped fixture is the one of conftest.py that clears the environment: once for all examples is enough.
without_deadline = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@each_function
@given(arguments=argument_sets(DOCUMENTED))
@settings(without_deadline, max_examples=200)
def test_documented_arguments_are_sent_unchanged(report: Report, arguments: dict[str, Any]) -> None:
    with capture_requests() as requests:
        report(**arguments)
    (request,) = requests
    CONTRACT.validate_request(request)
    body = json.loads(request.body)
    for name in ("input", "llm_response", "result", "duration", "used_tools", "is_success"):
        if name in arguments:
            assert body[name] == arguments[name], name
    if arguments.get("id") is not None:
        assert body["id"] == arguments["id"]
    if (tokens := arguments.get("tokens")) is not None:
        counts = tokens.to_dict() if isinstance(tokens, Tokens) else tokens
        assert {kind: body["tokens"][kind] for kind in KINDS} == {kind: counts.get(kind, 0) for kind in KINDS}
    assert unquote(request.request.url.raw_path.decode()) == f"/agent-execution/{arguments['agent_id']}/report_task"


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_unusual_value_is_sent_or_rejected(name: str) -> None:
    for index, value in enumerate((*UNUSUAL_IDS, *UNUSUAL_VALUES)):
        try:
            assert_sent_or_rejected(_report_with_task, {"agent_id": "agent", name: value}, (name,))
        except BaseException as error:
            error.add_note(f"with value {index}")  # some values have no working repr
            raise


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data())
@settings(without_deadline, max_examples=200)
def test_one_unusual_argument_is_sent_or_rejected(name: str, data: st.DataObject) -> None:
    arguments = {"agent_id": "agent", name: data.draw(UNUSUAL[name])}
    assert_sent_or_rejected(_report_with_task, arguments, (name, "_tokens") if name == "tokens" else (name,))


@each_function
@given(arguments=argument_sets(UNUSUAL))
@example(arguments={"agent_id": "..", "id": "."})
@settings(without_deadline, max_examples=200)
def test_unusual_arguments_are_sent_or_rejected(report: Report, arguments: dict[str, Any]) -> None:
    assert_sent_or_rejected(report, arguments, (*arguments, "_tokens"))
