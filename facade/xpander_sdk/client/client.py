"""Execution of operations, synchronous and asynchronous.

`request_flow` decides what happens next, and does no I/O. `send` and `asend` drive it: they carry out each step that
the flow yields, and pass the outcome back in.

    flow                                        driver
    yield SendAttempt(request, deadline)   →    transport.send(…)
                                           ←    Response, TransportError or DecodingError
    yield Sleep(0.25)                      →    time.sleep / anyio.sleep
                                           ←    None
    return result                          →    returned to the caller
    raise ModuleException                  →    raised to the caller

The two drivers differ only in their `await`s.
"""

import time
from collections.abc import Iterable
from typing import Any, TypeVar

from attrs import evolve

from xpander_sdk.client.destination import Destination
from xpander_sdk.client.log_recursion import is_about_own_logs, sdk_work
from xpander_sdk.client.operations import Operation, get_report_fields
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.report_fields import is_final_answer, may_be_remembered
from xpander_sdk.client.request_flow import Sleep, build_request, error_from_outcome, request_flow
from xpander_sdk.client.telemetry import start_span
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.errors import ModuleException, RequestInfo
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.transport import log_filter
from xpander_sdk.transport.base import DecodingError, Response, TransportError

__all__ = ["asend", "is_about_own_logs", "probe", "send", "warn_of_unusual_response"]

T = TypeVar("T")

_MIN_TIMEOUT = 0.05  # seconds, for a report after the request for the supported fields


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Execute the operation and return its result.

    Raises:
        ModuleException: The backend returned an error, or no usable response.
        ValueError: The configuration is incomplete; no request was sent.
    """
    destination = transports.destination(configuration)
    if operation.extended_fields:
        configuration, operation = _limit_report(configuration, destination, operation)
    with sdk_work(), start_span(operation.name, destination.url.netloc) as span:
        redaction = Redaction(configuration.current_key(), destination)
        flow = request_flow(configuration, destination, operation, redaction, span)
        transport = transports.transport(destination)
        token = log_filter.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = transport.send(step.request, configuration.timeouts, step.deadline)
                    except (TransportError, DecodingError) as error:
                        outcome = error
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            log_filter.redaction.reset(token)
            transports.close_if_exiting()


async def asend(configuration: Configuration, operation: Operation[T]) -> T:
    """Execute the operation on asyncio or trio and return its result.

    Raises:
        ModuleException: The backend returned an error, or no usable response.
        ValueError: The configuration is incomplete; no request was sent.
    """
    import anyio

    destination = transports.destination(configuration)
    if operation.extended_fields:
        configuration, operation = await _alimit_report(configuration, destination, operation)
    with sdk_work(), start_span(operation.name, destination.url.netloc) as span:
        redaction = Redaction(configuration.current_key(), destination)
        flow = request_flow(configuration, destination, operation, redaction, span)
        transport = await transports.async_transport(destination)
        token = log_filter.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = flow.send(outcome)
                if isinstance(step, Sleep):
                    await anyio.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = await transport.send(step.request, configuration.timeouts, step.deadline)
                    except (TransportError, DecodingError) as error:
                        outcome = error
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            log_filter.redaction.reset(token)


def _limit_report(
    configuration: Configuration, destination: Destination, operation: Operation[T]
) -> tuple[Configuration, Operation[T]]:
    """Return the configuration with the remaining time, and the operation with the fields that the backend supports."""
    if destination.report_fields.names is None:
        started_at = time.monotonic()
        try:
            destination.report_fields.names = send(configuration, get_report_fields(operation.report_id))
        except ModuleException as error:
            _handle_unknown_fields(destination, error)
        configuration = _shorten_timeout(configuration, time.monotonic() - started_at)
    return configuration, _without_unsupported_fields(destination, operation)


async def _alimit_report(
    configuration: Configuration, destination: Destination, operation: Operation[T]
) -> tuple[Configuration, Operation[T]]:
    """Return the configuration with the remaining time, and the operation with the fields that the backend supports."""
    if destination.report_fields.names is None:
        started_at = time.monotonic()
        try:
            destination.report_fields.names = await asend(configuration, get_report_fields(operation.report_id))
        except ModuleException as error:
            _handle_unknown_fields(destination, error)
        configuration = _shorten_timeout(configuration, time.monotonic() - started_at)
    return configuration, _without_unsupported_fields(destination, operation)


def _handle_unknown_fields(destination: Destination, error: ModuleException) -> None:
    """Remember that a backend supports no extended fields, or raise the error if it does not tell."""
    if not is_final_answer(error):
        raise error
    if may_be_remembered(error):
        destination.report_fields.names = frozenset()


def _shorten_timeout(configuration: Configuration, seconds: float) -> Configuration:
    """Return the configuration with a total timeout from which the time of the first request is subtracted."""
    total = max(_MIN_TIMEOUT, configuration.timeouts.total - seconds)
    return configuration.with_options(timeouts=evolve(configuration.timeouts, total=total))


def _without_unsupported_fields(destination: Destination, operation: Operation[T]) -> Operation[T]:
    supported = destination.report_fields.names or frozenset()
    unsupported = operation.extended_fields - supported
    if not unsupported or operation.limit is None:
        return operation
    destination.report_fields.warn_of_dropped(unsupported)
    return operation.limit(supported)


def warn_of_unusual_response(configuration: Configuration, names: Iterable[str]) -> None:
    """Log that fields of a task in a response are missing or invalid, once per destination and process."""
    transports.destination(configuration).health.warn_of_unusual_response(names)


def probe(configuration: Configuration, operation: Operation[Any]) -> Response:
    """Send one request and return the raw response of any status.

    Raises:
        ModuleException: The backend did not respond, or the response cannot be decoded.
        ValueError: The configuration is incomplete; no request was sent.
    """
    destination = transports.destination(configuration)
    redaction = Redaction(configuration.current_key(), destination)
    request, info = build_request(configuration, destination, operation, redaction.key)
    deadline = time.monotonic() + configuration.timeouts.total
    token = log_filter.redaction.set(redaction)
    try:
        return transports.transport(destination).send(request, configuration.timeouts, deadline)
    except (TransportError, DecodingError) as error:
        outcome = error
    finally:
        log_filter.redaction.reset(token)
    raise error_from_outcome(outcome, configuration, info, None, redaction)


def redaction_for(configuration: Configuration) -> Redaction:
    """Return the function that removes the secrets of a configuration from a text.

    Raises:
        ValueError: The key is not available.
    """
    return Redaction(configuration.current_key(), transports.destination(configuration))


def explain(configuration: Configuration, response: Response) -> str:
    """Return the reason in a response of a status other than 2xx, without secrets."""
    redaction = redaction_for(configuration)
    return error_from_outcome(response, configuration, RequestInfo(), None, redaction).description
