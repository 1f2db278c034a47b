"""The outboxes of this process: one for each file. They survive a fork, and end with the program."""

import atexit
from collections.abc import Callable
from typing import Any, TypeVar

from xpander_sdk import _fork
from xpander_sdk.errors import ModuleException, OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.policy import FailureKind, classify_failure
from xpander_sdk.receipt import Receipt
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import OutboxSettings

T = TypeVar("T")

_queues: dict[str, Outbox] = {}


def outbox_at(path: str) -> Outbox:
    """The outbox in this file."""
    queue = _queues.get(path)
    if queue is None:
        with _fork.import_lock:
            queue = _queues.setdefault(path, Outbox(path))
    return queue


def outbox_for(configuration: Configuration) -> Outbox:
    """The outbox that a configuration means, which from then on can deliver with the configuration's key."""
    settings = _settings(configuration)
    queue = outbox_at(settings.path)
    queue.know(configuration, settings)
    return queue


def _settings(configuration: Configuration) -> OutboxSettings:
    return configuration.outbox or OutboxSettings()


def submit(configuration: Configuration, report: Report, convert: Callable[[Any], T]) -> Receipt[T]:
    """Keep a report until it is delivered; errors as `Outbox.put`'s."""
    settings = _settings(configuration)
    return outbox_at(settings.path).put(configuration, settings, report, convert)


async def asubmit(configuration: Configuration, report: Report, convert: Callable[[Any], T]) -> Receipt[T]:
    """`submit`; what waits for the disk, or for room, does so in a thread."""
    settings = _settings(configuration)
    if settings.durability == "power" or settings.when_full == "block":
        import anyio.to_thread

        put = outbox_at(settings.path).put
        return await anyio.to_thread.run_sync(put, configuration, settings, report, convert)
    return outbox_at(settings.path).put(configuration, settings, report, convert)


def keep(configuration: Configuration, report: Report, convert: Callable[[Any], T], error: ModuleException) -> None:
    """Keep a report that could not be delivered, where it may help, and let the error say so."""
    if _may_help(configuration, error):
        try:
            _tell(error, submit(configuration, report, convert))
        except OutboxError as trouble:
            _tell(error, trouble)


async def akeep(
    configuration: Configuration, report: Report, convert: Callable[[Any], T], error: ModuleException
) -> None:
    """`keep`, without blocking the event loop."""
    if _may_help(configuration, error):
        try:
            _tell(error, await asubmit(configuration, report, convert))
        except OutboxError as trouble:
            _tell(error, trouble)


def _may_help(configuration: Configuration, error: ModuleException) -> bool:
    return configuration.outbox is not None and classify_failure(error) in (
        FailureKind.NOT_NOW,
        FailureKind.FAILED,
        FailureKind.LOCKED_OUT,
    )


def _tell(error: ModuleException, outcome: Receipt[Any] | OutboxError) -> None:
    if isinstance(outcome, OutboxError):
        error.description += f" It could not be kept either: {outcome.description}."
    else:
        error.receipt = outcome
        error.description += f" The report is kept in the outbox {outcome.path}, and will be delivered."


def _before_fork() -> None:
    for queue in list(_queues.values()):
        queue.before_fork()


def _after_fork_in_parent() -> None:
    for queue in list(_queues.values()):
        queue.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for queue in list(_queues.values()):
        queue.after_fork_in_child()


def _finish() -> None:
    for queue in list(_queues.values()):
        queue.finish()


atexit.register(_finish)
_fork.register_at_fork(_before_fork, _after_fork_in_parent, _after_fork_in_child)
