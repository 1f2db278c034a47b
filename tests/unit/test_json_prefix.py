"""The first values of a JSON text: the same as those of `json.loads`, and no more than were asked for."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.web.json_prefix import Container, Number, Value, read_prefix

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=30,
)


def plain(value: Value) -> Any:
    """Return a value as `json.loads` would."""
    if isinstance(value, Container):
        items = [(key, plain(item)) for key, item in value.items]
        return dict(items) if value.is_object else [item for _, item in items]
    return json.loads(value) if isinstance(value, Number) else value


def count(value: Value) -> int:
    return 1 + (sum(count(item) for _, item in value.items) if isinstance(value, Container) else 0)


def is_complete(value: Value) -> bool:
    return not isinstance(value, Container) or (value.is_complete and all(is_complete(item) for _, item in value.items))


@given(DOCUMENTS, st.sampled_from([None, 2]))
def test_whole_document_equals_that_of_json_loads(document: Any, indent: int | None) -> None:
    value = read_prefix(json.dumps(document, indent=indent), 1_000)
    assert plain(value) == document
    assert is_complete(value)


@given(DOCUMENTS, st.integers(1, 40))
def test_prefix_has_the_first_values_and_states_where_it_ends(document: Any, max_values: int) -> None:
    text = json.dumps(document)
    value = read_prefix(text, max_values)
    values = count(read_prefix(text, 1_000))
    assert count(value) == min(values, max_values)
    assert is_complete(value) == (values <= max_values)


@pytest.mark.parametrize(
    "text",
    ["", " ", "[1", "[1,]", "{1: 2}", '{"a" 1}', '{"a": }', "[1] 2", "nul", "-", "[1 2]", '"a', "]", "[,1]", "NaN"],
)
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"position|after the value|Unterminated|char"):
        read_prefix(text, 10)


def test_rest_of_a_large_document_is_not_read() -> None:
    value = read_prefix("[1, 2, 3" + ", nonsense" * 1_000, 3)
    assert value == Container(is_object=False, items=[("0", "1"), ("1", "2")])
