"""Fields of a report: the type of each argument, its default, and its conversion to the value that is sent.

This is the only declaration of the fields. To add a field `x`:

1. Declare it in `ReportFields`. The `submit_external_task` forms and the body of the request then have it.
2. Add the argument to the four documented signatures: `Task.report_external_task`, `Task.areport_external_task`,
   `Backend.report_external_task` and `Backend.areport_external_task`. They spell out their arguments, because editors
   and the official client's users rely on names, order and defaults. A test checks that they are complete.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, SupportsFloat, TypedDict, get_type_hints

from attrs import frozen

from xpander_sdk.reporting import validation
from xpander_sdk.reporting.calls import parse_calls
from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.messages import parse_input, parse_result
from xpander_sdk.reporting.metadata import parse_metadata
from xpander_sdk.reporting.plain_json import is_plain
from xpander_sdk.reporting.run_ids import new_run_id
from xpander_sdk.reporting.tokens import Tokens, TokenUsage
from xpander_sdk.reporting.tool_names import parse_tool_names
from xpander_sdk.reporting.usage import TOKEN_KINDS, unknown_keys
from xpander_sdk.reporting.validation import Scalar

_log = logging.getLogger(__name__)


def _parse_run_id(name: str, value: object) -> str:
    # A missing id is created before the first attempt, so that further attempts cannot record the run twice.
    return new_run_id() if value is None else validation.parse_id(name, value)


def _encode_json(name: str, value: object) -> Any:
    # A value that is JSON already is not copied: `plain_json.encode` writes it as it is.
    return value if is_plain(value) else to_jsonable(value)


def _parse_duration(name: str, value: object) -> float | None:
    seconds = validation.parse_duration(name, value)
    if seconds is not None and seconds < 0:
        _warn_once("negative duration", "Negative duration, which metrics count as zero: was the clock set back?")
    return seconds


def _parse_tokens(name: str, value: Any) -> dict[str, int | None] | None:
    if value is None:
        return None
    if isinstance(value, Mapping) and (unknown := unknown_keys(value)):
        names = ", ".join(repr(key[:_MAX_LOGGED_KEY]) for key in unknown[:_MAX_LOGGED_KEYS])
        _warn_once(names, "Unknown keys of tokens ignored: %s; known keys are %s", names, _KNOWN_TOKEN_KEYS)
    tokens = value if isinstance(value, Tokens) else Tokens.from_dict(value)
    for kind in TOKEN_KINDS:
        count = getattr(tokens, kind)
        if type(count) is int and 0 <= count <= validation.MAX_TOKENS:  # nearly always
            continue
        count = validation.parse_int(kind, count) or 0
        if abs(count) > validation.MAX_TOKENS:
            raise ValueError(f"{kind} must be within ±{validation.MAX_TOKENS}, got {validation.describe(count)}")
        if count < 0:
            _warn_once(kind, "Negative count of %s, which metrics count as zero", kind)
    return tokens.to_dict()


def _parse_run_time(name: str, value: datetime | date | str) -> str | None:
    time = validation.parse_run_time(name, value)
    return None if time is None else time.isoformat()


_KNOWN_TOKEN_KEYS = f"{', '.join(TOKEN_KINDS)} and the names of a provider's usage"
_MAX_LOGGED_KEYS, _MAX_LOGGED_KEY = 10, 40  # keys, characters
_MAX_SUBJECTS = 100
_logged_subjects: set[str] = set()


def _warn_once(subject: str, message: str, *arguments: object) -> None:
    """Log a warning, once in a process for each subject."""
    if subject not in _logged_subjects and len(_logged_subjects) < _MAX_SUBJECTS:
        _logged_subjects.add(subject)
        _log.warning(message, *arguments)


@frozen
class Field:
    """Declaration of one field.

    Attributes:
        parse: Function of the argument's name and value that returns the value to send. It raises `ValueError`.
        default: Value of an argument that is not passed.
        is_always_sent: Send null for None. Fields that the official client does not send (extended fields) are left out
            instead.
    """

    parse: Callable[[str, Any], Any]
    default: Any = None
    is_always_sent: bool = True


class ReportFields(TypedDict, total=False):
    """Arguments that describe a run."""

    id: Annotated[str | uuid.UUID | int | None, Field(_parse_run_id)]
    input: Annotated[Any, Field(parse_input)]
    llm_response: Annotated[Any, Field(_encode_json)]
    tokens: Annotated[Tokens | TokenUsage | None, Field(_parse_tokens)]
    is_success: Annotated[bool | Scalar | None, Field(validation.parse_bool, default=True)]
    result: Annotated[Any, Field(parse_result)]
    duration: Annotated[SupportsFloat | timedelta | None, Field(_parse_duration, default=0)]
    used_tools: Annotated[Iterable[Any] | None, Field(parse_tool_names, default=())]
    error: Annotated[str | BaseException | None, Field(validation.parse_error, is_always_sent=False)]
    calls: Annotated[Iterable[Any] | None, Field(parse_calls, is_always_sent=False)]
    user_id: Annotated[str | uuid.UUID | int | None, Field(validation.parse_id, is_always_sent=False)]
    conversation_id: Annotated[str | uuid.UUID | int | None, Field(validation.parse_id, is_always_sent=False)]
    parent_task_id: Annotated[str | uuid.UUID | int | None, Field(validation.parse_id, is_always_sent=False)]
    metadata: Annotated[Mapping[str, Any] | None, Field(parse_metadata, is_always_sent=False)]


class ReportArguments(ReportFields, total=False):
    """Arguments of one report of `Backend.report_external_tasks`."""

    agent_id: str | None
    agent: Any


class ImportFields(ReportFields, total=False):
    """Further fields that an import can set, but no public form. To make one public, move it to `ReportFields`."""

    triggering_agent_id: Annotated[str | None, Field(validation.parse_id, is_always_sent=False)]
    created_at: Annotated[datetime | date | str | None, Field(_parse_run_time, is_always_sent=False)]
    finished_at: Annotated[datetime | date | str | None, Field(_parse_run_time, is_always_sent=False)]


@cache
def declarations() -> dict[str, Field]:
    """Return the declaration of each field, by name."""
    hints = get_type_hints(ImportFields, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def select(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a function's arguments that are fields of a report."""
    return {name: value for name, value in arguments.items() if name in ReportFields.__annotations__}


def parse(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values to send, by field.

    Raises:
        ValueError: An argument is invalid. The text names it.
        TypeError: An argument is unknown.
    """
    documented, extended = _parsers()
    has_extended = not arguments.keys() <= documented.keys()
    if has_extended and not arguments.keys() <= declarations().keys():
        unknown = next(name for name in arguments if name not in declarations())
        raise TypeError(f"got an unexpected keyword argument {unknown!r}")
    values = {name: parse(name, arguments.get(name, default)) for name, (parse, default) in documented.items()}
    if has_extended:
        for name, (parse, default) in extended.items():
            value = arguments.get(name, default)
            if value is not None and (parsed := parse(name, value)) is not None:
                values[name] = parsed
    return values


_Parsers = dict[str, tuple[Callable[[str, Any], Any], Any]]


@cache
def _parsers() -> tuple[_Parsers, _Parsers]:
    """Return `Field.parse` and `Field.default` by name: of the documented fields, and of the extended ones."""
    documented, extended = (
        {name: (declared.parse, declared.default) for name, declared in declarations().items() if name in names}
        for names in (documented_names(), extended_names())
    )
    return documented, extended


@cache
def documented_names() -> tuple[str, ...]:
    """Return the names of the fields that every backend supports. All others are extended fields."""
    return tuple(name for name, declared in declarations().items() if declared.is_always_sent)


@cache
def extended_names() -> frozenset[str]:
    """Return the names of the extended fields."""
    return frozenset(declarations()).difference(documented_names())
