"""Sends an operation to its target, sync or async: two drivers for one plan."""

import time
from typing import Any, TypeVar

from xpander_sdk.configuration import Configuration
from xpander_sdk.exchange import Wait, error_of, exchange, request_for
from xpander_sdk.operations import Operation
from xpander_sdk.redaction import Redaction
from xpander_sdk.senders import async_sender_of, close_if_ending, route_of, sender_of
from xpander_sdk.telemetry import span
from xpander_sdk.transport import logs
from xpander_sdk.transport.message import Answer, BadAnswer, NoAnswer

T = TypeVar("T")


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Carry out the operation, and return what it answers.

    Raises:
        ModuleException: it was refused, or there was no usable answer.
        ValueError: the configuration cannot reach any backend; nothing was sent.
    """
    route = route_of(configuration)
    with span(operation.name, route.url.netloc) as current:
        redaction = Redaction(configuration.current_key(), route)
        plan = exchange(configuration, route, operation, redaction, current)
        sender = sender_of(route)
        token = logs.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = plan.send(outcome)
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = sender.send(step.request, configuration.timeouts, step.deadline)
                    except (NoAnswer, BadAnswer) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            logs.redaction.reset(token)
            close_if_ending()


async def asend(configuration: Configuration, operation: Operation[T]) -> T:
    """`send`, without blocking the event loop, on asyncio and on trio."""
    import anyio

    route = route_of(configuration)
    with span(operation.name, route.url.netloc) as current:
        redaction = Redaction(configuration.current_key(), route)
        plan = exchange(configuration, route, operation, redaction, current)
        sender = await async_sender_of(route)
        token = logs.redaction.set(redaction)
        outcome: Any = None
        try:
            while True:
                step = plan.send(outcome)
                if isinstance(step, Wait):
                    await anyio.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = await sender.send(step.request, configuration.timeouts, step.deadline)
                    except (NoAnswer, BadAnswer) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            logs.redaction.reset(token)


def probe(configuration: Configuration, operation: Operation[Any]) -> Answer:
    """The bare answer to one attempt, whatever it says. Errors as for `send`, where there is none."""
    route = route_of(configuration)
    redaction = Redaction(configuration.current_key(), route)
    request, about = request_for(configuration, route, operation, redaction.key)
    deadline = time.monotonic() + configuration.timeouts.total
    token = logs.redaction.set(redaction)
    try:
        return sender_of(route).send(request, configuration.timeouts, deadline)
    except (NoAnswer, BadAnswer) as error:
        outcome = error
    finally:
        logs.redaction.reset(token)
    raise error_of(outcome, configuration, about, None, redaction)
