import json
import math
import re
import subprocess
import sys
import threading
import warnings
from collections import OrderedDict, UserString, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import Configuration, Task, Tokens
from xpander_sdk.reporting.json_encoder import CYCLE, MAX_LEVELS, TOO_DEEP, TOO_MANY, to_jsonable

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(plain)
def test_plain_json_is_not_changed(value):
    assert json.dumps(to_jsonable(value)) == json.dumps(value)


anything = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.builds(object)
    | st.builds(ValueError, st.text(st.characters())),
    lambda children: (
        st.lists(children)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none() | st.tuples(st.integers()), children)
        | st.tuples(children)
        | st.builds(lambda child: attrs.make_class("Made", ["field"])(child), children)
    ),
)


@given(anything)
def test_any_object_becomes_strict_utf_8_json(value):
    json.dumps(to_jsonable(value), allow_nan=False, ensure_ascii=False).encode("utf-8")


class Color(Enum):
    RED = "red"


@dataclass
class Data:
    at: Any = datetime(2026, 1, 2, tzinfo=UTC)
    _private: int = 1


@attrs.define
class Attrs:
    x: Any
    hidden: str = attrs.field(default="secret", repr=False)


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(default="n", alias="theName")
    key: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    left_out: int = pydantic.Field(default=1, exclude=True)


@pydantic.dataclasses.dataclass
class PydanticData:
    x: int = 1


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value
        self._private = 1


class Slots:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class WithToDict:
    def to_dict(self) -> dict[str, int]:
        return {"from": 1}


class Broken:
    def __str__(self) -> str:
        raise RuntimeError

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        raise RuntimeError


def numbers() -> Iterator[int]:
    yield 1
    yield 2


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (math.nan, None),
        ([math.inf, -math.inf], [None, None]),
        ({7: 1, None: 2, True: 3, 1.5: 4, (1, 2): 5}, {"7": 1, "None": 2, "true": 3, "1.5": 4, "1,2": 5}),
        ((1, 2), [1, 2]),
        (numbers(), [1, 2]),
        ({3}, [3]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006Z"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(days=1, seconds=2.5), "P1DT2.5S"),
        (timedelta(seconds=-5), "-PT5S"),
        (timedelta(), "PT0S"),
        (-timedelta(days=400, hours=1), "-P1Y35DT1H"),
        (b"text", "text"),
        (b"\xff\x00", "/wA="),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (re.compile("a+"), "a+"),
        (-1.5j, "-1.5j"),
        (PydanticData(), {"x": 1}),
        (PurePosixPath("/a/b"), "/a/b"),
        (Color.RED, "red"),
        (Data(), {"at": "2026-01-02T00:00:00Z", "_private": 1}),
        (Attrs({1}), {"x": [1]}),
        (Model(), {"name": "n", "key": "**********"}),
        (Plain([Color.RED]), {"value": ["red"]}),
        (Slots(), {"a": 1}),
        (WithToDict(), {"from": 1}),
        (Tokens(prompt_tokens=1), {**dict.fromkeys(Tokens().to_dict(), 0), "prompt_tokens": 1, "total_tokens": 1}),
        (ValueError("no", 5), {"type": "ValueError", "message": "('no', 5)", "arguments": ["no", 5]}),
        ("a\ud800", "a�"),
        ({"\udc00": 1}, {"�": 1}),
        (2**80, 2**80),
        (int, "<class 'int'>"),
        (Broken(), "<Broken>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_become_readable_json(value, encoded):
    assert to_jsonable(value) == encoded


def test_keys_keep_their_order():
    assert list(to_jsonable({"z": 1, "a": 2, "m": {1: 2}})) == ["z", "a", "m"]


def test_huge_integer_becomes_hexadecimal():
    assert to_jsonable(10**5000) == hex(10**5000)
    assert to_jsonable(10**4298) == 10**4298


def test_cycle_is_replaced():
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)
    assert to_jsonable(value) == {"a": [CYCLE]}
    node = Plain(None)
    node.value = [node]
    assert to_jsonable(node) == {"value": [CYCLE]}


def test_repeated_object_is_not_a_cycle():
    shared = {"x": 1}
    assert to_jsonable([shared, shared]) == [shared, shared]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_beyond_limit_is_replaced():
    assert to_jsonable(nested(MAX_LEVELS)) == nested(MAX_LEVELS)
    assert TOO_DEEP in json.dumps(to_jsonable(nested(MAX_LEVELS + 1)))
    assert TOO_DEEP in json.dumps(to_jsonable(nested(100_000)))


def test_infinite_iterator_is_cut_at_limit(monkeypatch):
    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.MAX_VALUES", 1_000)

    def endless() -> Iterator[int]:
        while True:
            yield 1

    encoded = to_jsonable(endless())
    assert len(encoded) == 1_001
    assert encoded[-1] == TOO_MANY


def test_nearly_exhausted_stack_reduces_nesting_without_error():
    def deep(frames: int) -> Any:
        return to_jsonable({"kept": nested(300)}) if frames == 0 else deep(frames - 1)

    encoded = deep(sys.getrecursionlimit() - 350)
    assert list(encoded) == ["kept"]


def test_infinitely_nested_iterators_are_cut_at_limit(monkeypatch):
    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.MAX_VALUES", 10_000)

    class Endless:
        def __iter__(self) -> Iterator[Any]:
            while True:
                yield Endless()

    assert TOO_MANY in json.dumps(to_jsonable(Endless()))


def test_failing_iterator_keeps_earlier_items():
    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError

    assert to_jsonable(broken()) == [1, "<left out: RuntimeError>"]


def test_text_like_objects_become_text():
    assert to_jsonable(UserString("hello")) == "hello"
    assert isinstance(to_jsonable(Mock(spec=str)), dict | list | str)


def test_dict_that_another_thread_changes_is_encoded():
    growing: dict[int, int] = {}
    is_finished = threading.Event()

    def fill() -> None:
        number = 0
        while not is_finished.is_set():
            growing[number] = number
            number = (number + 1) % 5_000
            if not number:
                growing.clear()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        for _ in range(200):
            to_jsonable(growing)
    finally:
        is_finished.set()
        thread.join()


def test_mock_is_encoded():
    assert isinstance(json.dumps(to_jsonable(Mock())), str)


def test_configuration_is_encoded_without_key():
    configuration = Configuration(api_key="hunter2")
    assert "hunter2" not in json.dumps(to_jsonable({"configuration": configuration}))
    assert "configuration" not in {field.name for field in attrs.fields(Task) if field.repr}
    assert to_jsonable(Attrs(1)) == {"x": 1}


def test_arrays_with_tolist_become_lists():
    class Array:
        def tolist(self) -> list[int]:
            return [1, 2]

    assert to_jsonable(Array()) == [1, 2]


def test_longest_integer_has_4299_digits_of_any_sign():
    longest = 2**14_280 - 1
    assert [to_jsonable(number) for number in (longest, -longest)] == [longest, -longest]
    assert [to_jsonable(number) for number in (longest + 1, -longest - 1)] == [hex(longest + 1), hex(-longest - 1)]
    assert len(str(longest)) == 4_299


def nest(value: Any, levels: int, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


def in_list(value: Any) -> list[Any]:
    return [value]


def in_dict(value: Any) -> dict[str, Any]:
    return {"value": value}


def in_iterator(value: Any) -> Iterator[Any]:
    return iter([value])


@pytest.mark.parametrize("wrap", [in_list, in_dict])
def test_400_levels_are_kept(wrap):
    assert to_jsonable(nest(1, 400, wrap)) == nest(1, 400, wrap)
    assert to_jsonable(nest(1, 401, wrap)) == nest(TOO_DEEP, 400, wrap)


@pytest.mark.parametrize(("wrap", "encoded"), [(in_iterator, in_list), (Plain, in_dict), (in_dict, in_dict)])
def test_levels_are_counted_in_all_containers(wrap, encoded, monkeypatch):
    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.MAX_LEVELS", 10)
    assert to_jsonable(nest(1, 10, wrap)) == nest(1, 10, encoded)
    assert to_jsonable(nest(1, 11, wrap)) == nest(TOO_DEEP, 10, encoded)


@pytest.mark.parametrize(("possible", "kept"), [(400, 300), (299, 100), (100, 100), (99, 25), (25, 25)])
def test_nesting_is_reduced_to_what_json_can_write_on_the_rest_of_the_stack(possible, kept, monkeypatch):
    real_dumps = json.dumps

    def dumps(value: Any) -> str:
        text = real_dumps(value)
        if text.count("[") > possible:
            raise RecursionError
        return text

    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.json.dumps", dumps)
    for value in ([nested(299)], [nested(299), 1], [nested(299), in_dict(1)]):
        text = real_dumps(to_jsonable(value))
        assert (text.count("["), TOO_DEEP in text) == (kept, kept != 300)


def test_nesting_that_json_cannot_write_at_all_is_left_out(monkeypatch):
    def dumps(value: Any) -> str:
        raise RecursionError

    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.json.dumps", dumps)
    assert to_jsonable(nested(25)) == nested(25)
    assert to_jsonable(nested(26)) == nest(TOO_DEEP, 25, in_list)


def test_a_million_values_are_kept():
    assert len(to_jsonable([None] * 1_000_000)) == 1_000_000
    assert to_jsonable([None] * 1_000_001) == TOO_MANY


def items(count: int) -> Iterator[int]:
    yield from range(count)


class Pairs(Mapping[int, int]):
    """Mapping of numbers to themselves."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, key: int) -> int:
        return key

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def __len__(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 2, 3], TOO_MANY),
        ([[0], [1]], [[0], TOO_MANY]),
        ({"a": 0, "b": 1, "c": 2, "d": 3}, TOO_MANY),
        (items(3), [0, 1, 2]),
        (items(4), [0, 1, 2, TOO_MANY]),
        (Pairs(3), {"0": 0, "1": 1, "2": 2}),
        (Pairs(4), TOO_MANY),
        ([items(1), items(1)], [[0], [TOO_MANY]]),
    ],
)
def test_values_are_counted_over_all_levels(value, encoded, monkeypatch):
    monkeypatch.setattr("xpander_sdk.reporting.json_encoder.MAX_VALUES", 3)
    assert to_jsonable(value) == encoded


def test_value_beside_a_cycle_is_kept():
    parent: list[Any] = []
    parent += [parent, [1], parent]
    assert to_jsonable(parent) == [CYCLE, [1], CYCLE]


def test_text_of_an_object_has_a_thousand_characters():
    class Text:
        __slots__ = ()

        def __str__(self) -> str:
            return "x" * 999 + "yz"

    assert to_jsonable(Text()) == "x" * 999 + "y"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (timedelta(hours=2, minutes=3), "PT2H3M"),
        (timedelta(days=364), "P364D"),
        (timedelta(days=730), "P2Y"),
        (timedelta(minutes=1, seconds=1, microseconds=10), "PT1M1.00001S"),
        (timedelta(microseconds=-1), "-PT0.000001S"),
        (time(1, 2, tzinfo=UTC), "01:02:00Z"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))), "2026-01-02T00:00:00+01:00"),
        (complex(math.nan, 1), "NaN+1j"),
        pytest.param(memoryview(b"view"), "view", id="memoryview"),  # its repr has its address
        (-(2**64), -(2**64)),
        ({Color.RED: 1, (Color.RED, None): 2, b"k": 3}, {"red": 1, "red,None": 2, "k": 3}),
    ],
    ids=repr,
)
def test_further_values_become_readable_json(value, encoded):
    assert to_jsonable(value) == encoded


def test_key_that_is_an_object_is_its_text():
    key = Plain(1)
    assert to_jsonable({key: 2}) == {str(key): 2}


def test_model_whose_serializer_fails_keeps_its_fields():
    class Faulty(pydantic.BaseModel):
        name: str = "n"
        at: Any = None

    assert to_jsonable(Faulty(at=Slots())) == {"name": "n", "at": {"a": 1}}


class Text(pydantic.BaseModel):
    text: str
    at: Any = None


@pytest.mark.parametrize("at", [None, Slots()], ids=["JSON mode", "Python mode"])
def test_model_with_a_field_of_another_type_is_encoded_without_a_warning(at):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoded = to_jsonable(Text.model_construct(text=5, at=at))
    assert (encoded["text"], caught) == (5, [])


def test_object_that_can_be_called_is_text():
    class Tool:
        def __init__(self) -> None:
            self.key = "hunter2"

        def __call__(self) -> None:
            pass

        def __str__(self) -> str:
            return "tool"

    assert to_jsonable(Tool()) == "tool"


def test_module_is_text():
    assert to_jsonable(json).startswith("<module 'json'")


def test_class_is_text_even_if_its_objects_have_a_structure():
    assert [to_jsonable(kind)[:7] for kind in (Data, Attrs, WithToDict, Pairs)] == ["<class "] * 4


def test_private_attributes_are_left_out():
    class Part:
        __slots__ = ("_hidden", "shown", "unset")

        def __init__(self) -> None:
            self._hidden = self.shown = 1

    assert to_jsonable(Part()) == {"shown": 1}


def test_import_of_sdk_does_not_import_httpx_server_or_generated_client():
    check = (
        "import sys, xpander_sdk; "
        "deferred = {'httpx', 'httpcore', 'xpander_server', 'xpander_api', 'sqlalchemy', 'click', "
        "'xpander_sdk.client.client'}; "
        "loaded = deferred & set(sys.modules); "
        "sys.exit(str(loaded) if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
