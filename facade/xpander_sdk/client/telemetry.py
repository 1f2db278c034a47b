"""OpenTelemetry spans: one per call, if `opentelemetry-api` is installed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from xpander_sdk import _fork


def _tracer() -> Any:
    # A program that has not imported OpenTelemetry has not set up a provider, so no span would be recorded, and the
    # import takes longer than a report. The variable sets up a provider without an import of the program.
    if "opentelemetry" not in sys.modules and "OTEL_PYTHON_TRACER_PROVIDER" not in os.environ:
        return None
    return _imported_tracer()


@cache
def _imported_tracer() -> Any:
    with _fork.import_lock:
        try:
            from opentelemetry import trace
        except ImportError:
            return None
    return trace.get_tracer("xpander_sdk")


@contextmanager
def start_span(operation_id: str, server: str) -> Iterator[Any]:
    """Start a client span for a call, and end it with the block.

    Args:
        operation_id: Name of the operation, from which the name of the span is built.
        server: Host and port of the backend.

    Yields:
        The span, or None without OpenTelemetry. If the block raises an error, the span records its type only: its text
        may repeat a secret.
    """
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
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
