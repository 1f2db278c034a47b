"""Validation of requests by the checked-in description itself.

Nothing here knows an operation by name: what a parameter or a body may be is read from the contract.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypedDict, cast
from urllib.parse import unquote_to_bytes

import msgspec
from jsonschema_rs import Draft202012Validator, ValidationError

from xpander_server.http.errors import HTTPError, Problem

JSON = "application/json"
MAX_LEVELS = 512  # of nesting in a body, as the contract says
_MAX_PROBLEMS = 20
_INTEGER = re.compile(r"-?[0-9]{1,30}", re.ASCII)


class Report(TypedDict, total=False):
    """A validated body of `reportTask`. `llm_response` is the JSON text as it came."""

    id: str | None
    input: str | None
    llm_response: str | None
    tokens: dict[str, int | None] | None
    is_success: bool | None
    result: str | None
    duration: float | None
    used_tools: list[str] | None
    user_id: str | None
    parent_task_id: str | None
    triggering_agent_id: str | None
    created_at: str | None
    finished_at: str | None


class _Verbatim(msgspec.Struct):
    llm_response: msgspec.Raw = msgspec.Raw(b"null")


@cache
def document(suffix: Literal["yaml", "json"]) -> bytes:
    """The description as it is checked in, to be served verbatim."""
    return files("xpander_api").joinpath(f"contract.{suffix}").read_bytes()


@cache
def operations() -> dict[str, "Operation"]:
    """Each operation of the contract, by its operationId."""
    description = json.loads(document("json"))
    return {
        method["operationId"]: Operation(description, path, name, item, method)
        for path, item in description["paths"].items()
        for name, method in item.items()
        if name != "parameters"
    }


class Operation:
    """One operation: its route, and what a request of it may carry."""

    def __init__(
        self, description: dict[str, Any], path: str, method: str, item: dict[str, Any], operation: dict[str, Any]
    ) -> None:
        self.path = path
        self.method = method.upper()
        self.name: str = operation["operationId"]
        # The contract asks for one key, with one role, or for none.
        security = operation.get("security", description["security"])
        self.scope: str | None = security[0]["apiKey"][0] if security else None
        declared = [*item.get("parameters", []), *operation.get("parameters", [])]
        self._parameters = [_Parameter(description, _resolve(description, parameter)) for parameter in declared]
        self._header_names = {
            parameter.name.lower().encode() for parameter in self._parameters if parameter.where == "header"
        }
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        self._body = _validator(description, body["schema"]) if body else None

    @property
    def has_body(self) -> bool:
        return self._body is not None

    def read_parameters(
        self,
        path: Mapping[str, str],
        query: Iterable[tuple[str, str]],
        headers: Iterable[tuple[bytes, bytes]],
    ) -> dict[str, Any]:
        """The request's parameters by name, converted and checked; those absent are left out.

        `path` holds the segments as they came, still percent-encoded; the names of `headers` are in lower case.

        Raises:
            HTTPError: 422 with one problem for each parameter that is not as the contract says.
        """
        found: dict[str, dict[str, list[str]]] = {"path": {}, "query": {}, "header": {}}
        problems: list[Problem] = []
        for name, segment in path.items():
            try:
                found["path"][name] = [decode_segment(segment)]
            except UnicodeDecodeError:
                problems.append({"loc": ["path", name], "msg": "is not UTF-8", "type": "encoding"})
        for name, value in query:
            found["query"].setdefault(name, []).append(value)
        for raw_name, raw_value in headers:
            if raw_name in self._header_names:
                found["header"].setdefault(raw_name.decode("ascii"), []).append(raw_value.decode("latin-1"))
        values: dict[str, Any] = {}
        for parameter in self._parameters:
            given = found[parameter.where].get(parameter.name)
            if given is None:
                continue
            if len(given) > 1:
                problems.append({"loc": parameter.loc, "msg": "is given more than once", "type": "repeated"})
            converted = parameter.convert(given[0])
            if not parameter.validator.is_valid(converted):
                problems += _problems(parameter.validator, converted, parameter.loc)
            values[parameter.name] = converted
        if problems:
            raise HTTPError(422, problems[:_MAX_PROBLEMS])
        return values

    def read_body(self, body: bytes) -> Report:
        """The request's body, checked.

        Raises:
            HTTPError: 400 when it is no JSON within the bounds, 422 when it is not as the contract says.
        """
        if self._body is None:
            raise TypeError("the operation has no body")
        value = _decode(body)
        if not self._body.is_valid(value):
            raise HTTPError(422, list(_problems(self._body, value, ["body"]))[:_MAX_PROBLEMS])
        report = cast(Report, value)
        if report.get("llm_response") is not None:
            report["llm_response"] = bytes(msgspec.json.decode(body, type=_Verbatim).llm_response).decode("utf-8")
        return report


def decode_segment(segment: str) -> str:
    """A path segment as it came → what it stands for. Raises UnicodeDecodeError."""
    return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")


class _Parameter:
    def __init__(self, description: dict[str, Any], parameter: dict[str, Any]) -> None:
        self.name: str = parameter["name"]
        self.where: str = parameter["in"]
        self.loc: list[str | int] = [self.where, self.name]
        self.validator = _validator(description, parameter["schema"])
        self._is_integer = _resolve(description, parameter["schema"]).get("type") == "integer"

    def convert(self, raw: str) -> str | int:
        # Only plain ASCII digits: int() would also take "１", "1_0" and " 1".
        return int(raw) if self._is_integer and _INTEGER.fullmatch(raw) else raw


def _resolve(description: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while reference := node.get("$ref"):
        node = description
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]
    return node


def _validator(description: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    # The mask keeps what the caller sent out of the error texts.
    return Draft202012Validator(
        {**schema, "components": description["components"]}, validate_formats=True, mask="the value"
    )


def _problems(validator: Draft202012Validator, value: object, loc: list[str | int]) -> Iterator[Problem]:
    for error in validator.iter_errors(value):
        for cause in _causes(error):
            unexpected = getattr(cause.kind, "unexpected", [])
            yield {
                "loc": [*loc, *cause.instance_path, *unexpected[:1]],
                "msg": cause.message[:300],
                "type": cause.kind.name,
            }


def _causes(error: ValidationError) -> list[ValidationError]:
    """Of an `anyOf`, the errors of the branch that came nearest; else the error itself."""
    branches = [branch for branch in getattr(error.kind, "context", []) if branch]
    return max(branches, key=lambda branch: max(len(e.instance_path) for e in branch)) if branches else [error]


def _decode(body: bytes) -> object:
    try:
        value: object = msgspec.json.decode(body)
    except RecursionError:
        raise HTTPError(400, _TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise HTTPError(400, _why_not_json(body, error)) from None
    # Counting brackets is far quicker than walking, and nearly always enough.
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS and _levels(value) > MAX_LEVELS:
        raise HTTPError(400, _TOO_DEEP)
    return value


_TOO_DEEP = f"The body is nested deeper than {MAX_LEVELS} levels."


def _why_not_json(body: bytes, error: Exception) -> str:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return f"The body is not valid JSON: {error}."
    return "The body has something that JSON cannot carry: NaN, Infinity, a number out of range, or a lone surrogate."


def _levels(value: object) -> int:
    levels, row = 0, [value]
    while row := [item for item in row if isinstance(item, dict | list)]:
        levels += 1
        row = [child for item in row for child in (item.values() if isinstance(item, dict) else item)]
    return levels
