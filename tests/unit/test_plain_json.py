"""The fast encoding of plain values, with orjson and without: its result equals that of the reference."""

import json
import math
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpander_api.models import TaskReport
from xpander_sdk.reporting import plain_json
from xpander_sdk.reporting.json_encoder import MAX_BITS, MAX_VALUES, to_jsonable
from xpander_sdk.reporting.report import new_report


@pytest.fixture(autouse=True, params=["orjson", "standard library"])
def _encoder(request: pytest.FixtureRequest) -> Iterator[None]:
    # Not the fixture of pytest, which hypothesis does not allow.
    patch = pytest.MonkeyPatch()
    if request.param == "standard library":
        patch.setattr(plain_json, "orjson", None)
        patch.setattr(plain_json, "_encode_natively", plain_json._encode_with_standard_library)
    yield
    patch.undo()


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int


@attrs.frozen
class Credentials:
    user: str
    password: str = attrs.field(repr=False)


SECRET = "hunter2-secret"
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([63, 64, MAX_BITS - 1, MAX_BITS, MAX_BITS + 4, 20_000]).map(lambda bits: 2**bits)
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes()
    | st.uuids()
    | st.sampled_from([Color.RED, Level.HIGH, Text("text"), Point(1), object(), orjson.Fragment(b'{"raw":1}')])
    | st.just(Credentials("user", SECRET))
)
keys = st.text(st.characters()) | st.integers() | st.none() | st.booleans() | st.just(Text("key")) | st.just(Color.RED)
anything = st.recursive(
    leaves,
    lambda children: (
        st.lists(children)
        | st.dictionaries(st.text(), children)
        | st.dictionaries(keys, children)
        | st.tuples(children, children)
        | st.builds(OrderedDict, st.dictionaries(st.text(), children))
        | st.builds(lambda child: [child, child], children)
    ),
    max_leaves=30,
)


def encoded(value: Any) -> Any:
    """Return the value as a backend reads it from a report."""
    return json.loads(new_report("agent", id="run", llm_response=value).content)["llm_response"]


def reference(value: Any) -> Any:
    return json.loads(json.dumps(to_jsonable(value)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
def test_values_equal_those_of_the_reference(value: Any):
    assert repr(encoded(value)) == repr(reference(value))
    assert SECRET not in json.dumps(encoded(value))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
def test_plain_values_consist_of_json_types(value: Any):
    if plain_json.is_plain(value):
        assert _has_only_json_types(value)


def _has_only_json_types(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _has_only_json_types(item) for key, item in value.items())
    if type(value) in (list, tuple):
        return all(map(_has_only_json_types, value))
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "text", None, True, ({},)]},
        [],
        {},
        "text",
        [{"index": index, "message": {"content": "x"}} for index in range(1_000)],
    ],
)
def test_json_is_plain(value: Any):
    assert plain_json.is_plain(value)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"}, {None: 1}, {Text("a"): 1}, [Text("a")], [Level.HIGH], [Point(1)], [OrderedDict(a=1)], [UUID(int=1)],
        [datetime(2026, 1, 1, tzinfo=UTC)], [{1, 2}], [b"bytes"], [orjson.Fragment(b"1")], object(), 10**30,
        {"credentials": Credentials("user", SECRET)},
    ],
)  # fmt: skip
def test_objects_and_other_keys_are_not_plain(value: Any):
    assert not plain_json.is_plain(value)


def test_dict_that_had_another_key_once_is_encoded():
    value: dict[Any, Any] = {1: "a", "b": 2}
    del value[1]
    assert encoded(value) == {"b": 2}


def test_not_a_number_becomes_null():
    assert encoded([math.nan, math.inf, 1.0]) == [None, None, 1.0]


def test_deep_nesting_is_kept_as_by_the_reference():
    for levels in (239, 240, 241, 254, 255, 399, 400, 401, 5_000):
        value: Any = "inside"
        for _ in range(levels):
            value = [value]
        assert repr(encoded(value)) == repr(reference(value)), levels


def test_cycle_is_described():
    value: dict[str, Any] = {}
    value["self"] = value
    assert not plain_json.is_plain(value)
    assert encoded(value) == reference(value)


def test_list_with_exponentially_many_values_is_not_plain():
    value: list[Any] = ["x"]
    for _ in range(100):
        value = [value, value]
    assert not plain_json.is_plain(value), "the reference limits the number of values"


def test_too_many_values_are_left_out():
    assert plain_json.is_plain([0] * (MAX_VALUES - 1))
    assert not plain_json.is_plain([0] * (MAX_VALUES + 1))


def test_value_that_another_thread_changes_after_the_check_is_encoded():
    assert json.loads(plain_json.encode({"a": [{1: {2}}]})) == {"a": [{"1": [2]}]}


def test_body_has_the_order_of_the_contract():
    report = new_report("agent", id="run", user_id="u", finished_at="2026-01-01", created_at="2025-12-31T00:00:00Z")
    body = json.loads(report.content)
    assert body == TaskReport.from_dict(body).to_dict()
    assert list(body) == list(TaskReport.from_dict(body).to_dict())
