"""Sends an operation to its target, sync or async: two drivers for one plan."""

import time
from typing import Any, TypeVar

from xpander_sdk.client.operations import Operation
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.request_flow import Sleep, build_request, error_from_outcome, request_flow
from xpander_sdk.client.telemetry import start_span
from xpander_sdk.client.transport_registry import async_transport_for, close_if_ending, destination_for, transport_for
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.transport import log_filter
from xpander_sdk.transport.base import DecodingError, Response, TransportError

T = TypeVar("T")


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Carry out the operation, and return what it answers.

    Raises:
        ModuleException: it was refused, or there was no usable answer.
        ValueError: the configuration cannot reach any backend; nothing was sent.
    """
    route = destination_for(configuration)
    with start_span(operation.name, route.url.netloc) as current:
        redaction = Redaction(configuration.current_key(), route)
        plan = request_flow(configuration, route, operation, redaction, current)
        sender = transport_for(route)
        token = log_filter.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = plan.send(outcome)
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = sender.send(step.request, configuration.timeouts, step.deadline)
                    except (TransportError, DecodingError) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            log_filter.redaction.reset(token)
            close_if_ending()


async def asend(configuration: Configuration, operation: Operation[T]) -> T:
    """`send`, without blocking the event loop, on asyncio and on trio."""
    import anyio

    route = destination_for(configuration)
    with start_span(operation.name, route.url.netloc) as current:
        redaction = Redaction(configuration.current_key(), route)
        plan = request_flow(configuration, route, operation, redaction, current)
        sender = await async_transport_for(route)
        token = log_filter.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = plan.send(outcome)
                if isinstance(step, Sleep):
                    await anyio.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = await sender.send(step.request, configuration.timeouts, step.deadline)
                    except (TransportError, DecodingError) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            log_filter.redaction.reset(token)


def probe(configuration: Configuration, operation: Operation[Any]) -> Response:
    """The bare answer to one attempt, whatever it says. Errors as for `send`, where there is none."""
    route = destination_for(configuration)
    redaction = Redaction(configuration.current_key(), route)
    request, about = build_request(configuration, route, operation, redaction.key)
    deadline = time.monotonic() + configuration.timeouts.total
    token = log_filter.redaction.set(redaction)
    try:
        return transport_for(route).send(request, configuration.timeouts, deadline)
    except (TransportError, DecodingError) as error:
        outcome = error
    finally:
        log_filter.redaction.reset(token)
    raise error_from_outcome(outcome, configuration, about, None, redaction)
