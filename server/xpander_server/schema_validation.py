"""Validation by the JSON Schemas of the OpenAPI description, whose cost is bounded for any value."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError

from xpander_server.http.errors import Problem

_MAX_MESSAGE_LENGTH = 300

# jsonschema-rs initializes itself during the first validation. A child that is forked in the meantime would wait
# forever, so the initialization must be over before the threads of this process validate.
Draft202012Validator({}).is_valid(None)


def resolve(description: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return a node of the description, or the one that it refers to."""
    while reference := node.get("$ref"):
        node = description
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]
    return node


def create_validator(description: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return the validator of a schema of the description."""
    # The mask replaces the caller's value in messages, which may be logged.
    return Draft202012Validator(
        {**schema, "components": description["components"]}, validate_formats=True, mask="the value"
    )


class BodyValidator:
    """Validator of a body that is an object, whose cost is bounded.

    jsonschema-rs lists all violations at once: a body with a million invalid elements would take minutes. Therefore the
    object is shortened first, and the elements of its arrays are validated one by one.
    """

    def __init__(self, description: dict[str, Any], schema: dict[str, Any]) -> None:
        self._whole = create_validator(description, schema)
        resolved = resolve(description, schema)
        self._object = _ObjectSchema(description, resolved)
        self._properties: dict[str, dict[str, Any]] = resolved["properties"]
        arrays = {name: array for name, array in self._properties.items() if "items" in array}
        self._items = {
            name: (create_validator(description, array["items"]), _ObjectSchema(description, array["items"]))
            for name, array in arrays.items()
        }
        shortened = {
            name: {key: rule for key, rule in array.items() if key != "items"} for name, array in arrays.items()
        }
        self._shortened = create_validator(description, {**resolved, "properties": {**self._properties, **shortened}})

    def is_valid(self, value: object) -> bool:
        """Return whether a body meets the schema."""
        return self._whole.is_valid(value)

    def problems(self, value: object, loc: list[str | int]) -> Iterator[Problem]:
        """Yield the problems of an invalid body, which stands at `loc` in the request."""
        yield from self.envelope_problems(value, loc)
        for name, (validator, item_schema) in self._items.items():
            array = value.get(name) if isinstance(value, dict) else None
            for index, item in enumerate(array if isinstance(array, list) else ()):
                if not validator.is_valid(item):
                    shortened = item_schema.shorten(item) if isinstance(item, dict) else item
                    yield from find_problems(validator, shortened, [*loc, name, index])

    def envelope_problems(self, value: object, loc: Sequence[str | int] = ("body",)) -> Iterator[Problem]:
        """Yield the problems other than those of the elements of arrays."""
        if isinstance(value, dict):
            yield from find_problems(self._shortened, self._shorten(value), [*loc])
        else:
            yield from find_problems(self._shortened, None if value is None else [], [*loc])

    def _shorten(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body without what cannot change the problems."""
        shortened = self._object.shorten(body)
        for name in self._items:
            if isinstance(shortened.get(name), list):
                shortened[name] = [None] * min(len(shortened[name]), self._properties[name]["maxItems"] + 1)
        return shortened


class _ObjectSchema:
    """Properties of an object in the description, with which an invalid object is shortened."""

    def __init__(self, description: dict[str, Any], schema: dict[str, Any]) -> None:
        self._properties = resolve(description, schema).get("properties", {})
        self._map_sizes: dict[str, int] = {}
        for name, declared in self._properties.items():
            for branch in declared.get("anyOf", [declared]):
                if (size := resolve(description, branch).get("maxProperties")) is not None:
                    self._map_sizes[name] = size

    def shorten(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return an object with at most one unknown name, and at most one member too many in each of its maps."""
        unknown = islice((name for name in value if name not in self._properties), 1)
        shortened = {name: value[name] for name in (*unknown, *self._properties) if name in value}
        for name, size in self._map_sizes.items():
            if isinstance(shortened.get(name), dict):
                shortened[name] = dict(islice(shortened[name].items(), size + 1))
        return shortened


def find_problems(validator: Draft202012Validator, value: object, loc: list[str | int]) -> Iterator[Problem]:
    """Yield the problems of a value, which stands at `loc` in the request."""
    for error in validator.iter_errors(value):
        for cause in _causes(error):
            unexpected = getattr(cause.kind, "unexpected", [])
            yield {
                "loc": [*loc, *cause.instance_path, *unexpected[:1]],
                "msg": cause.message[:_MAX_MESSAGE_LENGTH],
                "type": cause.kind.name,
            }


def _causes(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the best branch of an `anyOf`, which is the one that failed deepest; else the error."""
    branches = [branch for branch in getattr(error.kind, "context", []) if branch]
    return max(branches, key=lambda branch: max(len(e.instance_path) for e in branch)) if branches else [error]
