"""Reading of a task in a response of status 2xx.

A 2xx response to a report means that the run is recorded. The caller must not get an error for it, whatever the backend
writes into the body:

    response                                    result
    empty body                                  the task, as the report describes it
    a field is missing                          the value of the report
    a field has another type than the API's     the value of the report; the response's value in `extra`
    a field that this version does not know     in `extra`
    JSON that is no object, or no JSON          error: not an answer of a backend
    the id of another run                       error
"""

import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from attrs import field, frozen

from xpander_sdk._records import Deferred
from xpander_sdk.reporting.report import Report
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.usage import TOKEN_KINDS
from xpander_sdk.reporting.validation import parse_datetime

REQUIRED = ("id", "agent_id", "organization_id", "input", "status", "created_at")
"""Fields that every task of the API has."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class TaskRecord:
    """Task in a response.

    Attributes:
        values: Valid fields by name, in the types of `Task`; null fields are None, missing ones absent. The value of
            `llm_response` may be a `Deferred`, which `Task` accepts.
        extra: Unknown and invalid fields of the response, by name.
        unusual: Names of the required fields that are missing, and of the invalid ones.
    """

    values: dict[str, Any]
    extra: dict[str, Any] = field(factory=dict)
    unusual: tuple[str, ...] = ()


def read_reported_task(body: Any, report: Report) -> TaskRecord:
    """Return the task in the response to a report; the report supplies the values that the response lacks.

    Raises:
        TypeError: The body is not a JSON object.
        ValueError: The response is about another run.
    """
    record = _read(body, report.id)
    if not _READERS.keys() <= record.values.keys():
        # A field that the response contains as null keeps this value, unless each task must have it.
        reported = _read_fields(_describe_report(report))[0]
        missing = {name: value for name, value in reported.items() if name not in record.values}
        record.values.update(missing)
    record.values["id"] = report.id
    return record


def read_loaded_task(body: Any, task_id: str) -> TaskRecord:
    """Return the task in the response to a request for one task.

    Raises:
        TypeError: The body is not a JSON object.
        ValueError: The response is about another run, or does not describe a task.
    """
    record = _read(body, task_id)
    for name in ("agent_id", "status"):
        if name not in record.values:
            raise ValueError(f"the response must be a task, got an object without a valid {name}")
    record.values["id"] = task_id
    return record


def _read(body: Any, task_id: str) -> TaskRecord:
    if not isinstance(body, dict):
        raise TypeError(f"the response must be a JSON object, got {type(body).__name__}")
    if not is_same_id(body.get("id"), task_id):
        raise ValueError(f"the response must be about the run {task_id!r}, got id {json.dumps(body['id'])[:100]}")
    values, extra, invalid = _read_fields(body)
    for name in REQUIRED:
        if values.get(name, "") is None:
            del values[name]
    missing = [name for name in REQUIRED if name not in values and name not in invalid]
    return TaskRecord(values, extra, (*missing, *invalid))


def is_same_id(value: object, task_id: str) -> bool:
    """Return whether the id in a response is that of the run, or missing. A number and a UUID may be written anew."""
    if value is None or value == task_id or (type(value) is int and str(value) == task_id):
        return True
    try:
        return uuid.UUID(str(value)) == uuid.UUID(task_id)
    except ValueError:
        return False


def _read_fields(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the valid fields, all other fields, and the names of the invalid ones."""
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    invalid = []
    for name, value in body.items():
        read = _READERS.get(name)
        if read is None:
            extra[name] = value
            continue
        try:
            values[name] = None if value is None else read(value)
        except (ValueError, TypeError, OverflowError):
            extra[name] = value
            invalid.append(name)
    return values, extra, invalid


def _describe_report(report: Report) -> dict[str, Any]:
    """Return the report as a body of the type that a backend returns; `llm_response` may be a `Deferred`."""
    content = _decode(report)
    is_success = content.get("is_success")
    reported_at = _EPOCH + timedelta(microseconds=report.reported_at)
    return {
        **{name: value for name, value in content.items() if name in _READERS and value is not None},
        "agent_id": report.agent_id,
        "input": {"text": content.get("input")},
        "status": "executing" if is_success is None else "completed" if is_success else "failed",
        "created_at": content.get("created_at") or reported_at.isoformat(),
    }


def _decode(report: Report) -> dict[str, Any]:
    if report.values is None:
        content: dict[str, Any] = json.loads(report.content)
        return content
    content = {name: _copied(value) for name, value in report.values.items() if name != "llm_response"}
    # Decoding takes longer than all the rest of a call if the response of the provider is large, and few programs read
    # it from the task that a report returns.
    if report.values["llm_response"] is not None:
        content["llm_response"] = Deferred(partial(_response_in, report.content))
    return content


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value


def _response_in(content: bytes) -> Any:
    return json.loads(content)["llm_response"]


def _reader(kind: type | tuple[type, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError
        return value

    return read


def _read_any(value: Any) -> Any:
    return value


def _read_time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError
    time: datetime | str = value
    with suppress(ValueError):
        time = datetime.fromisoformat(value)  # ten times as fast as the parser below, which accepts more forms
    utc_time = parse_datetime("time", time)
    assert utc_time is not None
    return utc_time


def _read_texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError
    return value


def _read_tokens(value: Any) -> Tokens:
    """Return the counts; one that the response lacks is 0."""
    counts = (
        {kind: value[kind] for kind in TOKEN_KINDS if value.get(kind) is not None} if isinstance(value, dict) else None
    )
    if counts is None or any(type(count) is not int for count in counts.values()):
        raise TypeError
    return Tokens(**counts)


def _read_calls(value: Any) -> list[dict[str, Any]]:
    """Return the arguments of each `ModelCall`. Unknown fields are left out."""
    if not isinstance(value, list):
        raise TypeError
    return [_read_call(call) for call in value]


def _read_call(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    call = {name: read(value[name]) for name, read in _CALL_READERS.items() if value.get(name) is not None}
    if "tokens" in call:
        counts = {kind: count for kind, count in call["tokens"].items() if count is not None}
        if any(type(count) is not int for count in counts.values()):
            raise TypeError
        call["tokens"] = counts
    return call


def _read_metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError
    return value


def _read_input(value: Any) -> dict[str, Any]:
    """Return the arguments of `TaskInput`."""
    if not isinstance(value, dict):
        raise TypeError
    text, files, user = (value.get(name) for name in ("text", "files", "user"))
    if not (isinstance(text, str | None) and isinstance(user, dict | None)):
        raise TypeError
    return {"text": text, "files": [] if files is None else _read_texts(files), "user": user}


_read_text = _reader(str)
_CALL_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("provider", "model", "response_id", "error"), _read_text),
    "tokens": _reader(dict),
    "prompt_includes_cache": _reader(bool),
    **dict.fromkeys(("duration", "cost"), _reader((int, float))),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("id", "agent_id", "organization_id", "status", "internal_status", "agent_version", "result", "error", "source",
         "title",
         "user_id", "parent_task_id", "triggering_agent_id", "parent_execution", "conversation_id", "execution_kind",
         "output_format", "model"),
        _read_text,
    ),
    **dict.fromkeys(("created_at", "started_at", "paused_at", "finished_at", "updated_at"), _read_time),
    **dict.fromkeys(("llm_response", "output_schema", "payload_extension"), _read_any),
    **dict.fromkeys(("used_tools", "sub_executions"), _read_texts),
    "input": _read_input,
    "tokens": _read_tokens,
    "calls": _read_calls,
    "metadata": _read_metadata,
    **dict.fromkeys(("duration", "cost"), _reader((int, float))),
    **dict.fromkeys(("is_stale", "is_manually_stopped"), _reader(bool)),
    "execution_attempts": _reader(int),
}  # fmt: skip
