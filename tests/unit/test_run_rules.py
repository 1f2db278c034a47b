"""Rules about runs: how they end, which items of a stream are kept, and which argument is the input."""

import asyncio
from typing import Any, cast

import pytest

from xpander_sdk.runs.arguments import input_reader
from xpander_sdk.runs.ends import End, describe_error, end_of
from xpander_sdk.runs.items import Items


class GraphBubbleUp(Exception):
    """Base class of LangGraph's interrupts, by its name."""


class GraphInterrupt(GraphBubbleUp):
    """Interrupt of LangGraph."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [None, GeneratorExit(), SystemExit(), SystemExit(0)])
def test_run_that_ends_as_intended_is_a_success(error):
    assert end_of(error) == End(is_success=True, error=None)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "CancelledError"),
        (SystemExit(1), "SystemExit: 1"),
        (SystemExit(-1), "SystemExit: -1"),
        (SystemExit("no input"), "SystemExit: no input"),
        (Unprintable(), "Unprintable"),
    ],
)
def test_any_other_exception_is_a_failure_with_its_type_and_text(error, text):
    assert end_of(error) == End(is_success=False, error=text)


@pytest.mark.parametrize("error", [GraphBubbleUp(), GraphInterrupt("Which one?")])
def test_interrupt_of_langgraph_leaves_the_run_in_progress(error):
    assert end_of(error) == End(is_success=None, error=None)


def test_type_of_a_nested_class_has_its_full_name():
    class Inner(Exception):
        pass

    assert describe_error(Inner("x")).endswith("<locals>.Inner: x")


class Result:
    """Receiver of the kept items, in place of the tracker of a run."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def take_items(self, run: object, items: Any) -> None:
        self.taken.append(items)


def kept(items: Items) -> list[Any]:
    """Return what becomes the result of the run: nothing, or one value."""
    result = Result()
    items.finish(cast("Any", None), cast("Any", result))
    return result.taken


def filled(*added: Any) -> Items:
    items = Items()
    for item in added:
        items.add(item)
    return items


@pytest.mark.parametrize("texts", [("a", "", "bc"), (b"a", bytearray(b"b"), memoryview(b"c")), ("ab", b"c")])
def test_texts_are_joined(texts):
    assert kept(filled(*texts)) == ["abc"]


def test_bytes_that_are_no_text_have_replacement_characters():
    assert kept(filled(b"a\xff")) == ["a\ufffd"]


@pytest.mark.parametrize("added", [(), ("",), (b"", "")])
def test_stream_without_items_has_no_result(added):
    assert kept(filled(*added)) == []


def test_other_items_are_kept_in_their_order():
    assert kept(filled("a", "b", {"c": 1}, "", None)) == [["a", "b", {"c": 1}, "", None]]


def test_items_are_forgotten_at_the_end():
    items = filled("a")
    kept(items)
    assert kept(items) == []


def test_a_million_characters_of_the_texts_are_kept():
    items = filled("a" * 999_998, "bcd", "e")
    assert kept(items) == ["a" * 999_998 + "bc"]


def test_many_short_texts_are_kept_whole():
    texts = [f"{number} " for number in range(25_000)]
    assert kept(filled(*texts)) == ["".join(texts)]


def test_ten_thousand_texts_before_another_item_are_one_text():
    assert kept(filled(*["a"] * 10_000, 5)) == [["a" * 10_000, 5]]
    assert kept(filled(*["a"] * 9_998, 5)) == [[*["a"] * 9_998, 5]]


def test_first_half_and_latest_of_ten_thousand_items_are_kept():
    fewer = list(range(9_999))
    assert kept(filled(*fewer)) == [fewer]
    assert kept(filled(*range(10_000))) == [[*range(5_000), *range(9_000, 10_000)]]
    # 4,000 further items fill the list again.
    assert kept(filled(*range(13_999))) == [[*range(5_000), *range(9_000, 13_999)]]
    assert kept(filled(*range(14_000))) == [[*range(5_000), *range(13_000, 14_000)]]


def answer(api_key: str, question: Any = None, context: str = "", /, **options: Any) -> None:
    """Take arguments as an agent does."""


def ask(session_id: str, name: str, wish: Any, prompt: Any = None) -> None:
    """Take arguments of which none but the last has a usual name."""


@pytest.mark.parametrize(
    ("positional", "named", "expected"),
    [
        (("key", "2+2?", "math"), {}, "2+2?"),
        (("key", ["2+2?"]), {}, ["2+2?"]),
        (("key", ("2+2?",)), {}, ("2+2?",)),
        (("key", 5, "math"), {}, "math"),
        (("key",), {}, None),
    ],
)
def test_input_is_the_argument_with_a_usual_name(positional, named, expected):
    assert input_reader(answer)(None, positional, named) == expected


def test_input_is_else_the_first_text_that_is_no_credential_id_or_name():
    read = input_reader(ask)
    assert read(None, ("s-1", "agent"), {"wish": "tea"}) == "tea"
    assert read(None, ("s-1", "agent"), {"wish": "tea", "prompt": "coffee"}) == "coffee"
    assert read(None, ("s-1", "agent"), {"wish": 5}) is None


def test_stated_input_takes_precedence_and_may_be_a_function_of_the_arguments():
    read = input_reader(ask)
    assert read("stated", ("s-1", "agent", "tea"), {}) == "stated"
    assert read(lambda session_id, name, wish: wish.upper(), ("s-1", "agent"), {"wish": "tea"}) == "TEA"


def test_arguments_that_do_not_fit_the_function_have_no_input():
    assert input_reader(ask)(None, ("s-1",), {"unknown": "x"}) is None


def test_function_without_a_signature_has_only_a_stated_input():
    read = input_reader(max)  # a function of C that describes no arguments
    assert (read("stated", (), {}), read(None, ("text",), {})) == ("stated", None)
