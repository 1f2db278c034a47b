"""Page of the HTTP API, made from the OpenAPI description.

Extensions of Sphinx for OpenAPI show examples with the time of the build, and leave the fields of the schemas out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "patch")


def render(description: Path) -> str:
    """Return the page as Markdown: the operations by tag, then the schemas."""
    contract = yaml.safe_load(description.read_text("utf-8"))
    lines = [contract["info"]["description"]]
    for tag in contract["tags"]:
        lines += [f"## {tag['name'].capitalize()}", tag["description"]]
        for path, item in contract["paths"].items():
            for method in METHODS:
                operation = item.get(method)
                if operation and tag["name"] in operation["tags"]:
                    lines += _operation(contract, method, path, item, operation)
    lines.append("## Schemas")
    for name, schema in sorted(contract["components"]["schemas"].items()):
        lines += [f"### {name}", schema.get("description", ""), *_fields(contract, schema)]
    return "\n\n".join(line.strip() for line in lines if line.strip()) + "\n"


def _operation(contract: Any, method: str, path: str, item: Any, operation: Any) -> Iterator[str]:
    yield f"### {operation['operationId']}"
    yield f"```text\n{method.upper()} {path}\n```"
    yield operation["summary"]
    yield operation.get("description", "")
    security = operation.get("security", contract["security"])
    scopes = [f"`{scope}`" for requirement in security for required in requirement.values() for scope in required]
    # Two headers may carry the key.
    yield f"Scope of the API key: {', '.join(dict.fromkeys(scopes))}." if scopes else "No API key is needed."
    parameters = [_resolve(contract, one) for one in [*item.get("parameters", []), *operation.get("parameters", [])]]
    if parameters:
        rows = [
            (
                f"`{one['name']}`",
                one["in"] + (", required" if one.get("required") else ""),
                _type(one["schema"]),
                one.get("description", ""),
            )
            for one in parameters
        ]
        yield _table(("Parameter", "In", "Type", "Description"), rows)
    if "requestBody" in operation:
        body = _resolve(contract, operation["requestBody"])
        types = ", ".join(f"{_type(media['schema'])} (`{name}`)" for name, media in body["content"].items())
        yield f"Request body: {types}. {body.get('description', '')}"
    rows = []
    for status, reference in operation["responses"].items():
        response = _resolve(contract, reference)
        types = ", ".join(_type(media.get("schema", {})) for media in response.get("content", {}).values())
        rows.append((str(status), types, response["description"]))
    yield _table(("Status", "Body", "Description"), rows)


def _fields(contract: Any, schema: Any) -> Iterator[str]:
    if "enum" in schema:
        yield "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."
    for part in schema.get("allOf", []):
        if "$ref" in part:
            yield f"All fields of {_type(part)}, and:"
        else:
            yield from _fields(contract, part)
    rows = [
        (
            f"`{name}`" + (" (required)" if name in schema.get("required", []) else ""),
            _type(field),
            _text(contract, field),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    if rows:
        yield _table(("Field", "Type", "Description"), rows)


def _type(schema: Any) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(_type(one) for one in schema[key])
    if "allOf" in schema:
        return " and ".join(_type(one) for one in schema["allOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    names = [f"array of {_type(schema['items'])}" if kind == "array" and "items" in schema else kind for kind in kinds]
    return " or ".join(names) + (f" ({schema['format']})" if "format" in schema else "")


def _text(contract: Any, schema: Any) -> str:
    text = schema.get("description", "")
    bounds = {"minLength": "at least {} characters", "maxLength": "at most {} characters", "minimum": "at least {}",
              "maximum": "at most {}", "maxItems": "at most {} items", "default": "default `{}`"}  # fmt: skip
    limits = [text_of.format(schema[key]) for key, text_of in bounds.items() if schema.get(key) is not None]
    return f"{text} ({'; '.join(limits)})" if limits else text


def _resolve(contract: Any, value: Any) -> Any:
    if "$ref" not in value:
        return value
    for name in value["$ref"].removeprefix("#/").split("/"):
        contract = contract[name]
    return contract


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines
    )
