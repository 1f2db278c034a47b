"""Retry loop of one call, without I/O (compare httpx's `auth_flow`).

`request_flow` is a generator. It yields the next step and receives the outcome of that step:

    step                  outcome                            next
    SendAttempt           Response 2xx                       return the parsed result
    SendAttempt           Response 408, 429, 5xx *           Sleep, then SendAttempt; or raise
    SendAttempt           Response of any other status       raise
    SendAttempt           TransportError, retryable          Sleep, then SendAttempt; or raise
    SendAttempt           TransportError, not retryable      raise
    SendAttempt           DecodingError                      raise: the backend may have recorded the report
    Sleep                 None                               SendAttempt

    * RETRIED_STATUSES

The flow raises when the attempts, the time or the retry budget of the destination are used up. Example: a backend that
is briefly overloaded, and then accepts the report:

    SendAttempt → 503 (Retry-After: 2) → Sleep(2.1) → SendAttempt → 201 → return Task
"""

import json
import logging
import time
import uuid
from collections.abc import Generator
from typing import Any, TypeVar
from urllib.parse import urlencode

from attrs import evolve, frozen

from xpander_sdk import errors
from xpander_sdk.client.destination import Destination
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.retry_budget import parse_retry_after
from xpander_sdk.settings.base_url import CLOUD
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.retry import RETRIED_STATUSES
from xpander_sdk.transport.base import DecodingError, Request, Response, TransportError

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")


@frozen
class Sleep:
    """Instruction to wait before the next attempt."""

    seconds: float


@frozen
class SendAttempt:
    """Instruction to send the request once.

    Attributes:
        request: The request; all attempts of a call send the same one.
        deadline: End of the total timeout (monotonic clock, seconds).
    """

    request: Request
    deadline: float


def request_flow(
    configuration: Configuration, destination: Destination, operation: Operation[T], redaction: Redaction, span: Any
) -> Generator[SendAttempt | Sleep, Any, T]:
    """Yield the steps of one call, and return its result.

    Args:
        configuration: Timeouts, retry policy and credentials.
        destination: Shared state: retry budget and health.
        operation: The operation to execute.
        redaction: Removes secrets from logs and errors.
        span: OpenTelemetry span of the call, or None.

    Yields:
        The next step. The caller sends in its outcome: a `Response`, a `TransportError`, a `DecodingError`, or None
        after `Sleep`.
    """
    request, info = build_request(configuration, destination, operation, redaction.key)
    deadline = time.monotonic() + configuration.timeouts.total
    destination.budget.deposit()
    attempts = 0
    while True:
        attempts += 1
        outcome = yield SendAttempt(request, deadline)
        summary = outcome.status if isinstance(outcome, Response) else redaction(str(outcome))
        _log.debug("%s %s [%s] attempt %d: %s", operation.method, operation.url, info.request_id, attempts, summary)
        info = evolve(info, attempts=attempts)
        _annotate(span, attempts, outcome)
        retry_after = None
        if isinstance(outcome, Response):
            if 200 <= outcome.status < 300:
                destination.health.mark_available()
                return _parse(operation, outcome, info, redaction)
            retry_after = parse_retry_after(outcome.headers)
        if _is_retryable(outcome):
            destination.health.mark_unavailable(str(summary))
            delay = configuration.retry.delay(attempts, retry_after, deadline - time.monotonic())
            if delay is not None and destination.budget.withdraw():
                yield Sleep(delay)
                continue
        raise error_from_outcome(outcome, configuration, info, retry_after, redaction)


def _annotate(span: Any, attempts: int, outcome: Any) -> None:
    if span is not None:
        span.set_attribute("xpander.attempts", attempts)
        if isinstance(outcome, Response):
            span.set_attribute("http.response.status_code", outcome.status)


def _is_retryable(outcome: Any) -> bool:
    if isinstance(outcome, Response):
        return outcome.status in RETRIED_STATUSES
    return isinstance(outcome, TransportError) and outcome.is_retryable


def build_request(
    configuration: Configuration, destination: Destination, operation: Operation[Any], key: str | None
) -> tuple[Request, errors.RequestInfo]:
    """Return the request of an operation, and its description for errors.

    Raises:
        ValueError: The backend needs a key, but no key is set.
    """
    request_id = uuid.uuid4().hex
    headers = [*destination.headers, (b"x-request-id", request_id.encode("ascii")), *_key_header(configuration, key)]
    headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in operation.headers.items()]
    if operation.content is not None:
        headers.append((b"content-length", str(len(operation.content)).encode("ascii")))
    request = Request(operation.method, _path(destination, operation), headers, operation.content or b"")
    return request, errors.RequestInfo(report_id=operation.report_id, request_id=request_id)


def _path(destination: Destination, operation: Operation[Any]) -> bytes:
    query = f"?{urlencode(operation.params, doseq=True)}" if operation.params else ""
    return f"{destination.prefix}{operation.url}{query}".encode("ascii")


def _key_header(configuration: Configuration, key: str | None) -> list[tuple[bytes, bytes]]:
    if key is not None:
        return [(b"x-api-key", key.encode("ascii"))]
    if configuration.is_embedded:
        return []
    # Without a setting, the backend is the cloud: the program may have forgotten to name its own.
    advice = "; XPANDER_BASE_URL names another backend, such as sqlite:///runs.db"
    raise ValueError(
        f"api_key must be set for {configuration.target}; pass Configuration(api_key=…) or set XPANDER_API_KEY"
        + (advice if configuration.base_url == CLOUD else "")
    )


def error_from_outcome(
    outcome: Any,
    configuration: Configuration,
    info: errors.RequestInfo,
    retry_after: float | None,
    redaction: Redaction,
) -> errors.ModuleException:
    """Return the error for an unsuccessful attempt.

    Args:
        outcome: A `Response` of a status other than 2xx, a `TransportError` or a `DecodingError`.
        configuration: Names the backend in the text.
        info: Describes the request.
        retry_after: Seconds that the backend asks to wait, or None.
        redaction: Removes secrets from the text.
    """
    if isinstance(outcome, Response):
        return errors.error_from_response(outcome.status, outcome.headers, outcome.body, info, retry_after, redaction)
    if isinstance(outcome, DecodingError):
        description = f"{configuration.target} sent a response that cannot be decoded: {redaction(str(outcome))}"
        return errors.ContractError(outcome.status, description, info)
    kind = errors.TimedOutError if outcome.is_timeout else errors.ConnectionFailedError
    description = f"{configuration.target} did not respond: {redaction(str(outcome))}"
    if _is_refused(outcome):
        description = f"{description}. Does the server run, and is its address in base_url right?"
    return kind(None, description, info)


def _is_refused(error: BaseException | None) -> bool:
    """Return whether nothing listens at the address."""
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None


def _parse(operation: Operation[T], response: Response, info: errors.RequestInfo, redaction: Redaction) -> T:
    try:
        # No variable contains the body: error reporters show the variables of each frame.
        return operation.parse(_decode(operation, response.body), response.headers)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {redaction(str(error))[:300]}"
    # Raised outside `except`, so that it does not reference the original error: that error holds the response, in which
    # the backend may repeat a secret.
    raise errors.ContractError(
        response.status, f"the response does not match the API ({reason}). Is base_url the URL of a backend?", info
    )


def _decode(operation: Operation[Any], body: bytes) -> Any:
    return {} if operation.may_be_empty and not body.strip() else json.loads(body)
