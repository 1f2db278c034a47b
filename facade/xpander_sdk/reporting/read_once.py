"""Objects that can be read only once: HTTP responses, streams, files and connections.

They belong to the caller. A report describes them and never reads from them:

    requests.Response, httpx.Response    {"status_code": 200, "headers": {…}, "body": …}; the body only if it was read
    file, stream, iterator with a class  "<left out: StreamingBody can be read only once>"
"""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from typing import Any

_HTTP_PACKAGES = frozenset({"requests", "httpx", "httpx2"})
_SECRET_HEADERS = re.compile(
    r"authori[sz]|authenticat|cookie|api-?key|secret|password|credential|signature|session|^location$"
    r"|(access|auth|csrf|id|refresh|security|xsrf)-?token|^token$|-key$",
    re.IGNORECASE,
)
HIDDEN = "***"


def describe_http(value: Any) -> dict[str, Any] | None:
    """Return the content of a message of requests or httpx, without secret headers; None for any other object."""
    if not any(kind.__module__.partition(".")[0] in _HTTP_PACKAGES for kind in type(value).__mro__):
        return None
    if isinstance(value, Mapping):  # the headers alone
        return _visible(value)
    headers = getattr(value, "headers", None)
    if not isinstance(headers, Mapping):
        return None
    if hasattr(value, "status_code"):
        description = {"status_code": value.status_code, "headers": _visible(headers)}
        # Both libraries store the body here when it is read. Their public `content` would read it.
        body = getattr(value, "_content", None)
        if isinstance(body, bytes):
            description["body"] = _decode(body, headers)
        return description
    return {"method": getattr(value, "method", None), "headers": _visible(headers)}


def describe_stream(value: Any) -> str | None:
    """Return a text in place of an object that reading would use up; None for any other object.

    Generators and Python's own iterators are no streams: a report contains their items, as the official client's does.
    """
    kind = type(value)
    if kind.__module__ in ("builtins", "itertools") or isinstance(value, type):
        return None
    is_iterator = isinstance(value, Iterator | AsyncIterator)
    is_reader = callable(getattr(kind, "read", None))
    is_open = isinstance(value, Iterable) and not isinstance(value, Sized) and callable(getattr(value, "close", None))
    return f"<left out: {kind.__qualname__} can be read only once>" if is_iterator or is_reader or is_open else None


def _visible(headers: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): HIDDEN if _SECRET_HEADERS.search(str(name)) else value for name, value in headers.items()}


def _decode(body: bytes, headers: Mapping[Any, Any]) -> Any:
    """Return the body as JSON if it is JSON, else as bytes."""
    if "json" in str(headers.get("content-type", "")).lower():
        with suppress(ValueError, RecursionError):
            return json.loads(body)
    return body
