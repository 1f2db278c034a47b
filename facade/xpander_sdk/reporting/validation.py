"""What a caller may write for an argument, and what it stands for.

The official client takes more than the documented types ("1.5" for a duration, "yes" for a flag). What it takes, we
take, so that no program has to change; all else is a ValueError that names the argument, before anything is sent.
"""

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from enum import Enum
from itertools import islice
from numbers import Number
from typing import Any

from xpander_sdk.settings.configuration import Configuration

MAX_ID = 255  # characters, as the contract says
MAX_TOKENS = 10**12
MAX_DURATION = 1e9
MIN_YEAR, MAX_YEAR = 1971, 2999
MAX_TOOLS, MAX_TOOL_NAME = 10_000, 255

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


def parse_str(name: str, value: object) -> str | None:
    """A text, or None. Takes str, UTF-8 bytes and enums of str; a lone surrogate becomes U+FFFD."""
    if type(value) is str:  # as most are
        return replace_surrogates(value)
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str | bytes) else str(value.value)
    if isinstance(value, bytes | bytearray):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not UTF-8") from None
    if value is None:
        return None
    if not isinstance(value, str):
        how = "json.dumps" if isinstance(value, dict | list) else "str"
        raise ValueError(f"{name} must be a str or None, not {type(value).__name__}; write {how}({name})")
    return replace_surrogates(str.__str__(value))


def replace_surrogates(value: str) -> str:
    """The text with U+FFFD in place of each lone surrogate, which UTF-8 cannot carry."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parse_id(name: str, value: object) -> str:
    """An id as it may stand in a path: 1 to 255 characters, no control characters, not `.` or `..`."""
    checked = parse_str(name, value)
    if checked is None or checked == "":
        raise ValueError(f"{name} must not be empty")
    if checked in (".", ".."):
        raise ValueError(f"{name} must not be {checked!r}, which would change the path of the request")
    if len(checked) > MAX_ID:
        raise ValueError(f"{name} has {len(checked)} characters; at most {MAX_ID} are allowed")
    if not checked.isprintable() and any(character < " " or character == "\x7f" for character in checked):
        raise ValueError(f"{name} must not have control characters")
    return checked


def resolve_agent_id(configuration: Configuration, *, agent_id: object = None, agent: Any = None) -> str:
    """The agent that a call means: `agent.id`, else `agent_id`, else the configuration's, else XPANDER_AGENT_ID.

    Raises:
        ValueError: none of them names one, or what names it cannot be the id of an agent.
    """
    if agent:
        if not hasattr(agent, "id"):
            raise ValueError(f"agent must be an object with an id, not {type(agent).__name__}; or pass agent_id=")
        if agent.id is not None:
            return parse_id("agent.id", agent.id)
    if agent_id is None:
        agent_id = configuration.agent_id or os.environ.get("XPANDER_AGENT_ID") or None
    if agent_id is None:
        raise ValueError(
            "no agent is named: pass agent_id= (or, to a Backend, agent= with an object that has an id), "
            "or set XPANDER_AGENT_ID in the environment"
        )
    return parse_id("agent_id", agent_id)


def parse_bool(name: str, value: object) -> bool | None:
    """A bool or None, or what the official client takes for one: 0, 1, "yes", "no" and their like."""
    if value is None or isinstance(value, bool):
        return value
    word = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if isinstance(word, str) and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    number: Any = value if isinstance(value, Number) else None
    with suppress(ArithmeticError):  # of a signalling NaN
        if number in (0, 1):
            return bool(number)
    raise ValueError(f"{name} must be True, False, or None while the run goes on, not {_shown(value)}")


def parse_duration(name: str, value: object) -> float | None:
    """Seconds, or None; NaN and infinity stand for unknown, which is None."""
    if value is None:
        return None
    try:
        if isinstance(value, bytes | bytearray):
            value = value.decode("ascii")
        number = float(value)  # type: ignore[arg-type]  # whatever has __float__
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{name} must be a number of seconds, not {_shown(value)}") from None
    if not math.isfinite(number):
        return None
    if abs(number) > MAX_DURATION:
        raise ValueError(f"{name} must be within {MAX_DURATION:.0f} seconds either way")
    return number


def parse_int(name: str, value: object) -> int | None:
    """An int, or None. Takes "5" and 5.0, and refuses 5.5."""
    if value is None or type(value) is int:
        return value
    try:
        written = float(value) if isinstance(value, str | bytes) and not value.strip().isdigit() else value
        number = int(written)  # type: ignore[call-overload]  # whatever has __int__
        if not isinstance(written, str | bytes) and number != written:
            raise ValueError
    except (TypeError, ValueError, ArithmeticError):
        raise ValueError(f"{name} must be a whole number or None, not {_shown(value)}") from None
    return int(number)


def parse_tool_names(name: str, value: object) -> list[str] | None:
    """Names in the order given, repeated ones kept; any iterable of str but a str or a mapping."""
    if value is None:
        return None
    if type(value) is not list and (isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)):
        raise ValueError(f"{name} must be a list of tool names, not {_shown(value)}")
    try:
        given = list(islice(value, MAX_TOOLS + 1))
    except Exception as error:
        raise ValueError(f"{name} cannot be read to its end: {type(error).__name__}") from error
    if len(given) > MAX_TOOLS:
        raise ValueError(f"{name} has over {MAX_TOOLS} entries, the most that are allowed")
    return [_tool_name(f"{name}[{index}]", item) for index, item in enumerate(given)]


def _tool_name(name: str, value: object) -> str:
    if value is None or isinstance(value, int | float):
        raise ValueError(f"{name} must be the name of a tool, not {value!r}")
    checked = parse_str(name, value) or ""
    if len(checked) > MAX_TOOL_NAME:
        raise ValueError(f"{name} has {len(checked)} characters; at most {MAX_TOOL_NAME} are allowed")
    return checked


def parse_datetime(name: str, value: datetime | date | str | None) -> datetime | None:
    """A time in UTC from a datetime, a date or ISO 8601; one without an offset is taken as UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        from dateutil.parser import isoparse  # on first use: it takes milliseconds to import

        try:
            value = isoparse(value.strip())
        except (ValueError, OverflowError):
            raise ValueError(f"{name} must be a time such as 2026-01-31T09:30:00Z, not {_shown(value)}") from None
    elif not isinstance(value, datetime):
        if not isinstance(value, date):
            raise ValueError(f"{name} must be a datetime or an ISO 8601 text, not {_shown(value)}")
        value = datetime(value.year, value.month, value.day)
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} must be within the years 1 to 9999 in UTC") from None


def parse_run_time(name: str, value: datetime | date | str) -> datetime | None:
    """A time of a run, as the contract takes it: `moment`, within its years."""
    told = parse_datetime(name, value)
    if told is not None and not MIN_YEAR <= told.year <= MAX_YEAR:
        raise ValueError(f"{name} must be within the years {MIN_YEAR} to {MAX_YEAR}, not {told.year}")
    return told


def _shown(value: Any) -> str:
    """The value for an error text: short, and only where it is a plain scalar."""
    is_short = isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**40)
    if is_short or (isinstance(value, str) and len(value) <= 40):
        return repr(value)
    return type(value).__name__
