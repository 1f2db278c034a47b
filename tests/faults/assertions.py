"""Assertions about attempts, secrets and logs that hold for every report."""

import json
import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from faults.forms import KEY, KEY_FRAGMENT, RESULT
from faults.server import FaultServer
from xpander_sdk import ModuleException


def assert_attempts_identical(server: FaultServer, error: ModuleException | None = None) -> None:
    """Assert that every attempt sent the same body, time of report and request ID.

    A backend then records the run once, and its logs contain one request ID.

    Args:
        server: server that received the attempts of one report.
        error: error of the report, which must carry the same report ID and request ID.
    """
    attempts = {
        (
            request.method,
            request.target,
            request.content,
            request.headers["x-reported-at"],
            request.headers["x-request-id"],
        )
        for request in server.requests
        if request.content
    }
    assert len(attempts) <= 1
    for _, _, content, reported_at, request_id in attempts:
        assert abs(int(reported_at) / 1_000_000 - time.time()) < 60
        if error is not None:
            assert error.report_id == json.loads(content)["id"]
            assert error.request_id == request_id
    assert {request.headers["x-api-key"] for request in server.requests} <= {KEY}


def assert_no_secrets_leaked(
    error: BaseException | None, caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter | None = None
) -> None:
    """Assert that logs, spans and the error contain neither the key nor the payload."""
    for text in [*log_texts(caplog), *error_texts(error), *span_texts(spans)]:
        assert KEY_FRAGMENT not in text
        assert RESULT not in text
    # The payload is not checked here: it is a variable of the caller's own frame.
    assert KEY_FRAGMENT not in traceback_with_locals(error)


def assert_key_hidden(error: BaseException) -> None:
    """Assert that neither the error nor the variables of its traceback contain the key."""
    for text in (*error_texts(error), traceback_with_locals(error)):
        assert KEY_FRAGMENT not in text


def log_texts(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    yield caplog.text
    for record in caplog.records:
        yield repr(vars(record))


def error_texts(error: BaseException | None) -> Iterator[str]:
    """Yield every text form of an error, its causes and its contexts."""
    for link in _error_chain(error):
        yield from (str(link), repr(link), repr(vars(link)), *traceback.format_exception(link))


def span_texts(spans: InMemorySpanExporter | None) -> Iterator[str]:
    for span in spans.get_finished_spans() if spans else ():
        yield span.to_json()


def traceback_with_locals(error: BaseException | None) -> str:
    """Return the traceback with the repr of each frame's variables, as error-reporting tools show it."""
    if error is None:
        return ""
    lines = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
    return "".join(lines.format())


def _error_chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _error_chain(error.__cause__)
        yield from _error_chain(error.__context__)


@contextmanager
def capture_debug_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="xpander_sdk"):
        yield


def sdk_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages of the SDK's log records at level WARNING or higher."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("xpander_sdk") and record.levelno >= logging.WARNING
    ]
