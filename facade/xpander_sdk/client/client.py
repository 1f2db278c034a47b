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

from xpander_sdk.client.log_recursion import is_about_own_logs, sdk_work
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.request_flow import Sleep, build_request, error_from_outcome, request_flow
from xpander_sdk.client.telemetry import start_span
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.errors import RequestInfo
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.transport import log_filter
from xpander_sdk.transport.base import DecodingError, Response, TransportError

__all__ = ["asend", "is_about_own_logs", "probe", "send", "warn_of_unusual_response"]

T = TypeVar("T")


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Execute the operation and return its result.

    Raises:
        ModuleException: The backend returned an error, or no usable response.
        ValueError: The configuration is incomplete; no request was sent.
    """
    destination = transports.destination(configuration)
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
