"""One call, as a plan: what to send when, and what an answer means. A generator, which does no I/O: a driver does the
sending and the waiting that it asks for.
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
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.retry import RETRIED_STATUSES
from xpander_sdk.transport.base import DecodingError, Request, Response, TransportError

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")


@frozen
class Sleep:
    seconds: float


@frozen
class SendAttempt:
    request: Request
    deadline: float


def request_flow(
    configuration: Configuration, route: Destination, operation: Operation[T], redaction: Redaction, current: Any
) -> Generator[SendAttempt | Sleep, Any, T]:
    request, about = build_request(configuration, route, operation, redaction.key)
    deadline = time.monotonic() + configuration.timeouts.total
    route.budget.deposit()
    attempts = 0
    while True:
        attempts += 1
        outcome = yield SendAttempt(request, deadline)
        told = outcome.status if isinstance(outcome, Response) else redaction(str(outcome))
        _log.debug("%s %s [%s] attempt %d: %s", operation.method, operation.url, about.request_id, attempts, told)
        if current is not None:
            current.set_attribute("xpander.attempts", attempts)
        about = evolve(about, attempts=attempts)
        asked = None
        if isinstance(outcome, Response):
            if current is not None:
                current.set_attribute("http.response.status_code", outcome.status)
            if 200 <= outcome.status < 300:
                route.health.is_well()
                return _parsed(operation, outcome, about, redaction)
            asked = parse_retry_after(outcome.headers)
        may_pass = (
            outcome.status in RETRIED_STATUSES
            if isinstance(outcome, Response)
            else isinstance(outcome, TransportError) and outcome.is_retryable
        )
        if may_pass:
            route.health.is_ill(str(told))
            delay = configuration.retry.delay(attempts, asked, deadline - time.monotonic())
            if delay is not None and route.budget.withdraw():
                yield Sleep(delay)
                continue
        raise error_from_outcome(outcome, configuration, about, asked, redaction)


def build_request(
    configuration: Configuration, route: Destination, operation: Operation[Any], key: str | None
) -> tuple[Request, errors.RequestInfo]:
    request_id = uuid.uuid4().hex
    headers = [*route.headers, (b"x-request-id", request_id.encode("ascii")), *_identity(configuration, key)]
    headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in operation.headers.items()]
    if operation.content is not None:
        headers.append((b"content-length", str(len(operation.content)).encode("ascii")))
    request = Request(operation.method, _path(route, operation), headers, operation.content or b"")
    return request, errors.RequestInfo(report_id=operation.report_id, request_id=request_id)


def _path(route: Destination, operation: Operation[Any]) -> bytes:
    query = f"?{urlencode(operation.params)}" if operation.params else ""
    return f"{route.prefix}{operation.url}{query}".encode("ascii")


def _identity(configuration: Configuration, key: str | None) -> list[tuple[bytes, bytes]]:
    if key is not None:
        return [(b"x-api-key", key.encode("ascii"))]
    if configuration.is_embedded:
        return []
    raise ValueError(f"{configuration.target} needs a key: set XPANDER_API_KEY, or pass Configuration(api_key=…)")


def error_from_outcome(
    outcome: Any, configuration: Configuration, about: errors.RequestInfo, asked: float | None, redaction: Redaction
) -> errors.ModuleException:
    if isinstance(outcome, Response):
        return errors.error_from_response(outcome.status, outcome.headers, outcome.body, about, asked, redaction)
    if isinstance(outcome, DecodingError):
        told = f"{configuration.target} gave an answer that cannot be read: {redaction(str(outcome))}"
        return errors.ContractError(outcome.status, told, about)
    kind = errors.TimedOutError if outcome.is_timeout else errors.ConnectionFailedError
    return kind(None, f"{configuration.target} gave no answer: {redaction(str(outcome))}", about)


def _parsed(operation: Operation[T], answer: Response, about: errors.RequestInfo, redaction: Redaction) -> T:
    try:
        return operation.parse(json.loads(answer.body), answer.headers)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
        told = f"{type(error).__name__}: {redaction(str(error))[:300]}"
    # Not from the error above: it carries the answer, in which the backend may repeat what it was sent.
    raise errors.ContractError(
        answer.status, f"the answer is not what the contract says ({told}). Is base_url the URL of a backend?", about
    )
