"""Types and values that the expressions of `arguments.py` use, and the functions that evaluate and call.

This module runs in both environments: that of this project and that of the official SDK. It needs pydantic, dateutil,
and the `xpander_sdk` that is installed in the environment.
"""

# ruff: noqa: F401 - the expressions use the imports

import array
import collections
import dataclasses
import enum
import ipaddress
import pathlib
import re
import types
import typing
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import dateutil.tz
import pydantic

from xpander_sdk import AgentExecutionStatus, Backend, Configuration, Task, Tokens

AGENT = "agent-1"
NAN, INF = float("nan"), float("inf")
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
NAIVE = datetime(2026, 1, 2, 3, 4, 5, 678900)
AWARE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EASTERN = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))


class Color(enum.Enum):
    RED = "red"


class TextColor(str, enum.Enum):  # noqa: UP042 - not StrEnum, which encodes differently
    RED = "red"


class Level(enum.IntEnum):
    ONE = 1


class Pair(enum.Enum):
    BOTH = (1, 2)


class Usage(pydantic.BaseModel):
    model: str = pydantic.Field(default="m", alias="modelName")
    cost: int | None = None


class Step(pydantic.BaseModel):
    at: datetime = AWARE


class Run(pydantic.BaseModel):
    first: Step = Step()
    steps: list[Step] = [Step()]


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr = pydantic.SecretStr("x")


class Open(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    a: int = 1


class Rich(pydantic.BaseModel):
    """Model with a serializer, a computed field, an excluded field, and values that JSON does not have."""

    price: Decimal = Decimal("1.10")
    seen: set[int] = {1}
    lasted: timedelta = timedelta(seconds=90)
    raw: bytes = b"x"
    ratio: float = NAN
    inner: typing.Any = None
    hidden: int = pydantic.Field(default=1, exclude=True)
    shout: str = "a"

    @pydantic.field_serializer("shout")
    def _to_upper(self, value: str) -> str:
        return value.upper()

    @pydantic.computed_field
    def twice(self) -> int:
        return 2


@dataclasses.dataclass
class Point:
    x: int = 1
    at: typing.Any = None


@dataclasses.dataclass
class Private:
    x: int = 1
    _y: int = 2


@dataclasses.dataclass
class Path3:
    points: list[Point] = dataclasses.field(default_factory=lambda: [Point(), Point(2, NAIVE)])
    usage: Usage = dataclasses.field(default_factory=Usage)


@pydantic.dataclasses.dataclass
class Checked:
    x: int = 1
    at: datetime = AWARE


class Named(typing.NamedTuple):
    x: int = 1
    y: str = "z"


class Typed(typing.TypedDict):
    a: int


class Plain:
    def __init__(self) -> None:
        self.a = 1


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class Dumpable:
    def model_dump(self, **_: object) -> dict[str, int]:
        return {"a": 1}


class Floating:
    def __float__(self) -> float:
        return 1.0


class Str(str):
    __slots__ = ()


class Int(int):
    pass


class Float(float):
    pass


class Dict(dict):
    pass


class List(list):
    pass


def generator() -> typing.Iterator[object]:
    yield 1
    yield "b"


def cycle() -> list[object]:
    inner: list[object] = []
    inner.append(inner)
    return inner


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def evaluate(expression: str) -> dict[str, typing.Any]:
    """Return the keyword arguments of an expression; evaluate again for each use, because iterators are used up."""
    arguments: dict[str, typing.Any] = eval(expression)
    return arguments


CALLS: dict[str, typing.Callable[..., Task]] = {
    "Task": Task.report_external_task,
    "Backend": lambda **arguments: Backend().report_external_task(**arguments),
}
