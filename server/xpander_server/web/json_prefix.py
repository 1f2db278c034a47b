"""Reader of the first values of a JSON text.

`json.loads` would hold the interpreter for most of a second on a response with a million numbers. This reader stops
after a given number of values, so its time depends on what is shown, not on the length of the text.
"""

import re
from json import JSONDecoder
from typing import Union

from attrs import define, field

_SPACE = frozenset(" \t\n\r")
_NUMBER = re.compile(r"-?[0-9][0-9.eE+-]*")
_LITERALS = {"null": None, "true": True, "false": False}

_decode = JSONDecoder().raw_decode

Value = Union["Container", str, bool, None]
"""A JSON value whose containers may be incomplete."""


class Number(str):
    """A number with the digits of the JSON text."""


@define
class Container:
    """An object or an array.

    Attributes:
        is_object: Whether it is an object.
        items: The values that were read, each with its key or its index.
        is_complete: Whether these are all values.
    """

    is_object: bool
    items: list[tuple[str, Value]] = field(factory=list)
    is_complete: bool = False


def read_prefix(text: str, max_values: int) -> Value:
    """Return a JSON text with at most `max_values` values, in the order of the text.

    What follows the last of them is not checked.

    Args:
        text: The JSON text.
        max_values: Number of values at which the reader stops; at least 1.

    Raises:
        ValueError: The text that was read is not JSON.
    """
    return _Reader(text, max_values).read()


class _Reader:
    def __init__(self, text: str, max_values: int) -> None:
        self._text = text
        self._position = 0
        self._remaining = max_values
        self._open: list[Container] = []  # from the outermost to the innermost one

    def read(self) -> Value:
        value = self._read_value()
        while self._open:
            container = self._open[-1]
            if self._take("}" if container.is_object else "]"):
                container.is_complete = True
                self._open.pop()
            elif self._remaining > 0:
                self._read_item(container)
            else:
                return value
        self._skip_space()
        if self._position < len(self._text):
            raise ValueError(f"the text continues after the value, at position {self._position}")
        return value

    def _read_item(self, container: Container) -> None:
        if container.items:
            self._expect(",")
        key = str(len(container.items))
        if container.is_object:
            if not self._is_at('"'):
                raise ValueError(f"no key at position {self._position}")
            key = self._read_string()
            self._expect(":")
        container.items.append((key, self._read_value()))

    def _read_value(self) -> Value:
        self._remaining -= 1
        for start in ("{", "["):
            if self._take(start):
                self._open.append(Container(is_object=start == "{"))
                return self._open[-1]
        if self._is_at('"'):
            return self._read_string()
        for word, value in _LITERALS.items():
            if self._take(word):
                return value
        number = _NUMBER.match(self._text, self._position)
        if number is None:
            raise ValueError(f"no value at position {self._position}")
        self._position = number.end()
        return Number(number[0])

    def _read_string(self) -> str:
        value, self._position = _decode(self._text, self._position)
        return str(value)

    def _skip_space(self) -> None:
        while self._text[self._position : self._position + 1] in _SPACE:
            self._position += 1

    def _is_at(self, word: str) -> bool:
        self._skip_space()
        return self._text.startswith(word, self._position)

    def _take(self, word: str) -> bool:
        is_next = self._is_at(word)
        self._position += is_next * len(word)
        return is_next

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise ValueError(f"no {word!r} at position {self._position}")
