"""Looking inside: a span for each call, where opentelemetry-api is installed; nothing where it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from xpander_sdk import _fork


@cache
def _tracer() -> Any:
    with _fork.import_lock:
        try:
            from opentelemetry import trace
        except ImportError:
            return None
    return trace.get_tracer("xpander_sdk")


@contextmanager
def start_span(operation_id: str, server: str) -> Iterator[Any]:
    """A client span around a call; yields it, or None. An error that leaves it is recorded by its type alone."""
    tracer = _tracer()
    if tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode

    with tracer.start_as_current_span(
        f"xpander_sdk.{operation_id}",
        kind=SpanKind.CLIENT,
        attributes={"server.address": server},
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            # Not its text: it may repeat what a backend answered.
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise
