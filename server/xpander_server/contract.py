"""Contract: the checked-in OpenAPI description, and validation of requests by it.

No operation is named here. The routes, the parameters and the schemas of bodies are read from the description; JSON
Schema validators are built from it at the first use.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from importlib.resources import files
from itertools import islice
from typing import Any, Literal, NotRequired, Required, TypedDict, cast
from urllib.parse import unquote_to_bytes

import msgspec
from jsonschema_rs import Draft202012Validator

from xpander_server.body_json import MAX_VALUES, decode_json, split_array
from xpander_server.http.errors import HTTPError, Problem
from xpander_server.report_decoder import decode_batch, decode_report
from xpander_server.schema_validation import BodyValidator, create_validator, find_problems, resolve

JSON = "application/json"
_MAX_PROBLEMS = 20
_FAST_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "#/components/schemas/TaskReport": decode_report,
    "#/components/schemas/TaskReports": decode_batch,
}
"""Functions that decode and validate a body of a schema, or return None if the schema must be used."""
_TRACES = "traces"
"""Tag of operations whose requests OTLP defines: they have routes of their own (`api.trace_export`)."""
_BOOLEANS: dict[str, str | bool] = {"true": True, "false": False}
_INTEGER = re.compile(r"-?[0-9]{1,30}", re.ASCII)


class Report(TypedDict, total=False):
    """Validated body of `reportTask`. `llm_response` is JSON text, exactly as the client sent it."""

    id: str | None
    input: str | None
    llm_response: str | None
    tokens: dict[str, int | None] | None
    is_success: bool | None
    result: str | None
    duration: float | None
    used_tools: list[str] | None
    error: str | None
    calls: list[dict[str, Any]] | None
    user_id: str | None
    conversation_id: str | None
    parent_task_id: str | None
    triggering_agent_id: str | None
    metadata: dict[str, str] | None
    created_at: str | None
    finished_at: str | None


class BatchReport(Report):
    """Validated report in the body of `reportTasks`."""

    agent_id: Required[str]
    reported_at: NotRequired[int | None]


class _VerbatimResponse(msgspec.Struct):
    llm_response: msgspec.Raw = msgspec.Raw(b"null")


@cache
def document(suffix: Literal["yaml", "json"]) -> bytes:
    """Return the text of the checked-in OpenAPI description."""
    return files("xpander_api").joinpath(f"contract.{suffix}").read_bytes()


@cache
def operations() -> dict[str, "Operation"]:
    """Return the operations of the contract by operationId, in the order of the description, without those of OTLP."""
    description = json.loads(document("json"))
    return {
        operation["operationId"]: Operation(description, path, method, path_item, operation)
        for path, path_item in description["paths"].items()
        for method, operation in path_item.items()
        if method != "parameters" and _TRACES not in operation["tags"]
    }


DOCUMENTED_FIELDS = (
    "id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools",
)  # fmt: skip
"""Fields of a report that every backend supports."""


@cache
def extended_report_fields() -> list[str]:
    """Return the fields of a report that not every backend supports."""
    fields = json.loads(document("json"))["components"]["schemas"]["TaskReport"]["properties"]
    return [name for name in fields if name not in DOCUMENTED_FIELDS]


class Operation:
    """One operation of the contract: its route, its required scope, and the validators of its requests.

    Args:
        description: Whole OpenAPI description, to resolve references.
        path: Path template.
        method: HTTP method in lower case.
        path_item: Description of the path.
        operation: Description of the operation.

    Attributes:
        path: Path template.
        method: HTTP method in upper case.
        name: operationId.
        scope: Scope that a key must have; None for operations without authentication.
    """

    def __init__(
        self, description: dict[str, Any], path: str, method: str, path_item: dict[str, Any], operation: dict[str, Any]
    ) -> None:
        self.path = path
        self.method = method.upper()
        self.name: str = operation["operationId"]
        # The contract requires one API key with one scope, or nothing.
        security = operation.get("security", description["security"])
        self.scope: str | None = security[0]["apiKey"][0] if security else None
        declarations = [*path_item.get("parameters", []), *operation.get("parameters", [])]
        self._parameters = [_Parameter(description, resolve(description, item)) for item in declarations]
        self._header_names = {
            parameter.name.lower().encode() for parameter in self._parameters if parameter.location == "header"
        }
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        self._description = description
        self._body_schema: dict[str, Any] | None = body["schema"] if body else None
        self._decode_fast = _FAST_DECODERS.get(body["schema"].get("$ref", "")) if body else None
        self._items_name: str | None = operation.get("x-independent-items")

    @property
    def has_body(self) -> bool:
        """True for operations whose requests have a body."""
        return self._body_schema is not None

    # The validators are built at the first use: building all of them takes a tenth of the start of a program with an
    # embedded store, which uses one operation, and mostly its fast decoder.

    @cached_property
    def _body_validator(self) -> BodyValidator:
        if self._body_schema is None:
            raise TypeError(f"the operation {self.name} has no body")
        return BodyValidator(self._description, self._body_schema)

    @cached_property
    def _items(self) -> "_IndependentItems | None":
        if self._items_name is None or self._body_schema is None:
            return None
        return _IndependentItems(self._description, self._body_schema, self._items_name)

    def read_parameters(
        self,
        path: Mapping[str, str],
        query: Iterable[tuple[str, str]],
        headers: Iterable[tuple[bytes, bytes]],
    ) -> dict[str, Any]:
        """Return the parameters of a request by name, converted and validated. Absent parameters are left out.

        Args:
            path: Segments of the path by name, still percent-encoded.
            query: Names and decoded values of the query.
            headers: Names in lower case, and values, of the headers.

        Raises:
            HTTPError: 422 with the problems of all invalid parameters.
        """
        problems: list[Problem] = []
        given: dict[str, dict[str, list[str]]] = {"path": {}, "query": {}, "header": {}}
        for name, segment in path.items():
            try:
                given["path"][name] = [decode_segment(segment)]
            except UnicodeDecodeError:
                problems.append({"loc": ["path", name], "msg": "is not UTF-8", "type": "encoding"})
        for name, value in query:
            given["query"].setdefault(name, []).append(value)
        for raw_name, raw_value in headers:
            if raw_name in self._header_names:
                given["header"].setdefault(raw_name.decode("ascii"), []).append(raw_value.decode("latin-1"))
        parameters: dict[str, Any] = {}
        for parameter in self._parameters:
            values = given[parameter.location].get(parameter.name)
            if values is None:
                continue
            if len(values) > 1 and not parameter.is_array:
                problems.append({"loc": parameter.loc, "msg": "is given more than once", "type": "repeated"})
            converted = parameter.convert(values)
            if not parameter.validator.is_valid(converted):
                problems += find_problems(parameter.validator, converted, parameter.loc)
            parameters[parameter.name] = converted
        if problems:
            raise HTTPError(422, problems[:_MAX_PROBLEMS])
        return parameters

    def read_body(self, body: bytes, max_values: int = MAX_VALUES) -> Any:
        """Return the decoded and validated body of a request.

        Args:
            body: JSON text.
            max_values: Number of values that a large body may contain.

        Returns:
            The body, such as a `Report`. For an operation with independent items, the list of its items, such as
            `BatchReport`; in place of each invalid item the error that describes it.

        Raises:
            HTTPError: 400 if the body is not JSON or exceeds a limit; 413 if it has too many items; 422 with the
                problems if it violates the schema.
        """
        body = body.removeprefix(codecs.BOM_UTF8)  # RFC 8259 permits to ignore it; programs on Windows send it
        if self._decode_fast is not None and (value := self._decode_fast(body)) is not None:
            return value
        return self._read_by_schema(body, max_values)

    def _read_by_schema(self, body: bytes, max_values: int = MAX_VALUES) -> Any:
        if self._items is None:
            return _read_report(body, self._body_validator, ["body"], max_values)
        return self._items.read(body, self._body_validator, max_values)


def decode_segment(segment: str) -> str:
    """Return a percent-encoded path segment as text.

    Raises:
        UnicodeDecodeError: The segment is not UTF-8.
    """
    return unquote_to_bytes(segment.encode("latin-1")).decode("utf-8")


def _read_report(body: bytes, validator: BodyValidator, loc: list[str | int], max_values: int = MAX_VALUES) -> Report:
    value = decode_json(body, max_values)
    if not validator.is_valid(value):
        raise HTTPError(422, list(islice(validator.problems(value, loc), _MAX_PROBLEMS)))
    report = cast(Report, value)
    if report.get("llm_response") is not None:
        # Encoding the decoded value again would change it: 1.10 would become 1.1.
        verbatim = msgspec.json.decode(body, type=_VerbatimResponse).llm_response
        report["llm_response"] = bytes(verbatim).decode("utf-8")
    return report


class _IndependentItems:
    """Reader of a body that is an object with one array, whose elements are decoded and validated one by one.

    An element has the same limits, and the same problems, as if it were the body.
    """

    def __init__(self, description: dict[str, Any], schema: dict[str, Any], name: str) -> None:
        array = resolve(description, schema)["properties"][name]
        self._name = name
        self._validator = BodyValidator(description, array["items"])
        self._max_items: int = array["maxItems"]

    def read(self, body: bytes, envelope: BodyValidator, max_values: int) -> list[Report | HTTPError]:
        items = split_array(body, self._name, self._max_items, max_values)
        if not items:
            problems = list(islice(envelope.envelope_problems(decode_json(body)), _MAX_PROBLEMS))
            # Without a problem, the body states the array twice, first with another type.
            raise HTTPError(422, problems) if problems else HTTPError(400, "The body states a member twice.")
        return [self._read_item(item, ["body", self._name, index]) for index, item in enumerate(items)]

    def _read_item(self, item: bytes, loc: list[str | int]) -> Report | HTTPError:
        try:
            return _read_report(item, self._validator, loc)
        except HTTPError as error:
            return error


class _Parameter:
    def __init__(self, description: dict[str, Any], parameter: dict[str, Any]) -> None:
        self.name: str = parameter["name"]
        self.location: str = parameter["in"]
        self.loc: list[str | int] = [self.location, self.name]
        self._description = description
        self._schema: dict[str, Any] = parameter["schema"]
        self._type = resolve(description, parameter["schema"]).get("type")

    @cached_property
    def validator(self) -> Draft202012Validator:
        return create_validator(self._description, self._schema)

    @property
    def is_array(self) -> bool:
        """True if the parameter may be repeated (`explode`)."""
        return self._type == "array"

    def convert(self, texts: list[str]) -> list[str] | str | int | bool:
        if self.is_array:
            return texts
        if self._type == "boolean":
            return _BOOLEANS.get(texts[0], texts[0])
        # Only ASCII digits: int() would accept "１", "1_0" and " 1" as well.
        return int(texts[0]) if self._type == "integer" and _INTEGER.fullmatch(texts[0]) else texts[0]
