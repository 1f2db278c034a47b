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
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, TypedDict, get_type_hints

from attrs import frozen

from xpander_sdk.reporting import validation
from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.tokens import TOKEN_KINDS, Tokens

_log = logging.getLogger(__name__)


def _parse_run_id(name: str, value: object) -> str:
    # A missing id is created before the first attempt, so that further attempts cannot record the run twice.
    return str(uuid.uuid4()) if value is None else validation.parse_id(name, value)


def _encode_json(name: str, value: object) -> Any:
    return to_jsonable(value)


def _parse_tokens(name: str, value: Any) -> dict[str, int | None] | None:
    if isinstance(value, Mapping):
        if value and not any(kind in value for kind in TOKEN_KINDS):
            _log.warning("tokens count as zero: the dict has no key %s", " or ".join(TOKEN_KINDS))
        value = Tokens.from_dict(value)
    if value is None:
        return None
    if not isinstance(value, Tokens):
        raise ValueError(
            "tokens must be Tokens(prompt_tokens=…, completion_tokens=…), a dict of its fields or None, "
            f"got {type(value).__name__}"
        )
    for kind in TOKEN_KINDS:
        count = validation.parse_int(kind, getattr(value, kind))
        if abs(count or 0) > validation.MAX_TOKENS:
            raise ValueError(f"{kind} must be within ±{validation.MAX_TOKENS}")
    return value.to_dict()


@frozen
class Field:
    """Declaration of one field.

    Attributes:
        parse: Function of the argument's name and value that returns the value to send. It raises `ValueError`.
        default: Value of an argument that is not passed.
        is_always_sent: Send null for None. Fields that the official client does not send are left out instead.
    """

    parse: Callable[[str, Any], Any]
    default: Any = None
    is_always_sent: bool = True


class ReportFields(TypedDict, total=False):
    """Arguments that describe a run."""

    id: Annotated[str | None, Field(_parse_run_id)]
    input: Annotated[str | None, Field(validation.parse_str)]
    llm_response: Annotated[Any, Field(_encode_json)]
    tokens: Annotated[Tokens | Mapping[str, Any] | None, Field(_parse_tokens)]
    is_success: Annotated[bool | None, Field(validation.parse_bool, default=True)]
    result: Annotated[str | None, Field(validation.parse_str)]
    duration: Annotated[float | None, Field(validation.parse_duration, default=0)]
    used_tools: Annotated[Iterable[str] | None, Field(validation.parse_tool_names, default=())]


class ImportFields(ReportFields, total=False):
    """Further fields that an import can set, but no public form. To make one public, move it to `ReportFields`."""

    user_id: Annotated[str | None, Field(validation.parse_id, is_always_sent=False)]
    parent_task_id: Annotated[str | None, Field(validation.parse_id, is_always_sent=False)]
    triggering_agent_id: Annotated[str | None, Field(validation.parse_id, is_always_sent=False)]
    created_at: Annotated[datetime | date | str | None, Field(validation.parse_run_time, is_always_sent=False)]
    finished_at: Annotated[datetime | date | str | None, Field(validation.parse_run_time, is_always_sent=False)]


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
    for name in arguments:
        if name not in declarations():
            raise TypeError(f"got an unexpected keyword argument {name!r}")
    values = {}
    for name, declared in declarations().items():
        value = arguments.get(name, declared.default)
        if value is not None or declared.is_always_sent:
            values[name] = declared.parse(name, value)
    return values
