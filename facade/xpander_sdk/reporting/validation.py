"""Validation and conversion of arguments.

Each function takes the name of the argument, for the error text, and its value. It accepts the same values as the
official client, which are more than the documented types ("1.5" for a duration, "yes" for a bool), so that programs
need no change. It also accepts UUIDs, timedeltas, and the scalars of numpy, pandas and torch. Any other value raises
`ValueError` before a request is sent.
"""

import math
from contextlib import suppress
from datetime import UTC, date, datetime
from enum import Enum
from numbers import Integral, Number
from typing import Any, Protocol
from uuid import UUID

from xpander_sdk._fork import import_lock
from xpander_sdk.reporting.lookup import MISSING, look_up
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.validators import environment_variable

# Limits of the API.
MAX_ID = 255  # characters
MAX_TOKENS = 10**12
MAX_DURATION = 1e9  # seconds
MAX_NAME = 255  # characters
MAX_ERROR = 16_384  # characters
MIN_YEAR, MAX_YEAR = 1971, 2999

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


class Scalar(Protocol):
    """Scalar of an array library, for example numpy.bool."""

    def item(self) -> Any:
        """Return the value as an object of Python."""


def parse_str(name: str, value: object) -> str | None:
    """Return text, or None. Accepts str, UTF-8 bytes and enums; a lone surrogate becomes U+FFFD."""
    if type(value) is str:  # the most frequent type
        return value if value.isascii() else replace_surrogates(value)
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str | bytes) else str(value.value)
    if isinstance(value, bytes | bytearray):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{name} must be UTF-8 if it is bytes; decode it first") from None
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str or None, got {describe(value)}")
    return replace_surrogates(str.__str__(value))


def replace_surrogates(value: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, which UTF-8 cannot encode."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parse_id(name: str, value: object) -> str:
    """Return an id that can be part of a path: 1 to 255 characters, no control characters, not `.` or `..`.

    Accepts str, UUID, int and what `parse_str` accepts. A lone surrogate is refused: with a replacement character, two
    ids would become one.
    """
    # The most frequent kind of id, of which no rule below can be violated.
    if type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID and value[0] != ".":
        return value
    if isinstance(value, UUID) or (isinstance(value, Integral) and not isinstance(value, bool | Enum)):
        try:
            value = str(value)
        except ValueError:  # Python's limit for the conversion of long integers
            raise ValueError(f"{name} must have at most {MAX_ID} characters, got a longer integer") from None
    if not isinstance(value, str | bytes | bytearray | Enum):
        raise ValueError(f"{name} must be a str, UUID or int, got {describe(value)}")
    text = parse_str(name, value)
    if text is None or text == "":
        raise ValueError(f"{name} must not be empty")
    if isinstance(value, str) and text != value:
        raise ValueError(f"{name} must not contain lone surrogates, got {ascii(str(value))[:80]}")
    if text in (".", ".."):
        raise ValueError(f"{name} must not be {text!r}, which would change the path of the request")
    if len(text) > MAX_ID:
        raise ValueError(f"{name} must have at most {MAX_ID} characters, got {len(text)}")
    if has_control_characters(text):
        raise ValueError(f"{name} must not contain control characters")
    return text


def has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters of ASCII."""
    return not text.isprintable() and any(character < " " or character == "\x7f" for character in text)


def parse_name(name: str, value: object) -> str:
    """Return a name, such as that of a model: 1 to 255 characters, no control characters."""
    text = parse_str(name, value)
    if not text or len(text) > MAX_NAME:
        raise ValueError(f"{name} must have 1 to {MAX_NAME} characters, got {describe(value)}")
    if has_control_characters(text):
        raise ValueError(f"{name} must not contain control characters")
    return text


def parse_error(name: str, value: object) -> str | None:
    """Return the text of an error: a text, or an exception as `TypeName: message`.

    The middle of a text of more than `MAX_ERROR` characters is left out: a traceback begins with the first call and
    ends with the cause.
    """
    if isinstance(value, BaseException):
        kind = type(value).__name__
        try:
            message = str(value)
        except Exception:  # a faulty exception of the caller
            message = ""
        value = f"{kind}: {message}" if message else kind
    text = parse_str(name, value)
    if text is None or len(text) <= MAX_ERROR:
        return text
    half = (MAX_ERROR - len(_GAP)) // 2
    return f"{text[:half]}{_GAP}{text[-half:]}"


_GAP = "\n…\n"


def resolve_agent_id(configuration: Configuration, *, agent_id: object = None, agent: Any = None) -> str:
    """Return the agent of a call: `agent.id`, else `agent_id`, else the configuration's, else XPANDER_AGENT_ID.

    Raises:
        ValueError: No agent is specified, or its id is invalid.
    """
    # An agent may be an empty container, or an object without a truth value.
    if agent is not None and not is_empty_builtin(agent):
        own_id: object = MISSING
        with suppress(Exception):  # a property of the caller's object failed
            own_id = getattr(agent, "id", MISSING)
        if own_id is MISSING:
            raise ValueError(f"agent must be an object with an id, got {type(agent).__name__}; or pass agent_id=")
        if own_id is not None:
            return parse_id("agent.id", own_id)
    if agent_id is None:
        agent_id = configuration.agent_id or environment_variable("XPANDER_AGENT_ID")
    if agent_id is None:
        raise ValueError(
            "an agent must be specified; pass agent_id= (or, to a Backend, agent= with an object that has an id), "
            "or set XPANDER_AGENT_ID"
        )
    return parse_id("agent_id", agent_id)


def is_empty_builtin(value: object) -> bool:
    """Return whether the value is None or another false value of a built-in type, without using its truth value."""
    return value is None or (type(value).__module__ == "builtins" and not value)


def parse_bool(name: str, value: object) -> bool | None:
    """Return a bool, or None. Accepts 0, 1, "yes", "no" and the other words that the official client accepts.

    Also accepts scalars whose `item()` is such a value, for example of numpy and torch.
    """
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, Number) and callable(item := look_up(value, "item")):
        with suppress(Exception):  # an array of several values
            value = item()
    if isinstance(value, bool):
        return value
    word = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if isinstance(word, str) and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    number: Any = value if isinstance(value, Number) else None
    with suppress(ArithmeticError):  # comparison with a signaling NaN
        if number in (0, 1):
            return bool(number)
    raise ValueError(f"{name} must be True, False, or None for a run in progress, got {describe(value)}")


def parse_duration(name: str, value: object) -> float | None:
    """Return seconds, or None. NaN and infinity become None: the duration is unknown.

    Accepts numbers and timedeltas, also those of numpy and pandas.
    """
    if value is None:
        return None
    if type(value) is float and -MAX_DURATION <= value <= MAX_DURATION:  # the most frequent type
        return value
    try:
        if type(value).__name__ == "timedelta64":  # numpy: float() would ignore its unit
            value = value.astype("timedelta64[us]").item()  # type: ignore[attr-defined]  # of numpy
            if value is None:
                return None
        if callable(total_seconds := look_up(value, "total_seconds")):
            value = total_seconds()
        if isinstance(value, bytes | bytearray):
            value = value.decode("ascii")
        number = float(value)  # type: ignore[arg-type]  # anything with __float__
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{name} must be a number of seconds or a timedelta, got {describe(value)}") from None
    if not math.isfinite(number):
        return None
    if abs(number) > MAX_DURATION:
        raise ValueError(f"{name} must be within ±{MAX_DURATION:.0f} seconds, got {describe(value)}")
    return number


def parse_int(name: str, value: object) -> int | None:
    """Return a whole number, or None. Accepts "5" and 5.0, but not 5.5."""
    if value is None or type(value) is int:
        return value
    try:
        plain = float(value) if isinstance(value, str | bytes) and not value.strip().isdigit() else value
        number = int(plain)  # type: ignore[call-overload]  # anything with __int__
        if not isinstance(plain, str | bytes) and number != plain:
            raise ValueError
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{name} must be a whole number or None, got {describe(value)}") from None
    return int(number)


def parse_datetime(name: str, value: datetime | date | str | None) -> datetime | None:
    """Return a time in UTC, or None. Accepts datetime, date and ISO 8601; without an offset, UTC is assumed."""
    if value is None:
        return None
    if isinstance(value, str):
        with import_lock:  # a fork during the import would leave an import lock held in the child
            from dateutil.parser import isoparse  # imported here because it takes milliseconds

        try:
            value = isoparse(value.strip())
        except (ValueError, OverflowError):
            raise ValueError(f"{name} must be a time such as 2026-01-31T09:30:00Z, got {describe(value)}") from None
    elif not isinstance(value, datetime):
        if not isinstance(value, date):
            raise ValueError(f"{name} must be a datetime or ISO 8601 text, got {describe(value)}")
        value = datetime(value.year, value.month, value.day)
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} must be within the years 1 to 9999 in UTC") from None


def parse_run_time(name: str, value: datetime | date | str) -> datetime | None:
    """Return a time of a run, in UTC: the result of `parse_datetime`, within the years that the API accepts."""
    time = parse_datetime(name, value)
    if time is not None and not MIN_YEAR <= time.year <= MAX_YEAR:
        raise ValueError(f"{name} must be within the years {MIN_YEAR} to {MAX_YEAR}, got {time.year}")
    return time


def describe(value: Any) -> str:
    """Return the value for an error text if it is short and scalar, else its type."""
    if value is None:
        return "None"
    is_short_number = isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**40)
    if is_short_number or (isinstance(value, str) and len(value) <= 40):
        return repr(value)
    return type(value).__name__
