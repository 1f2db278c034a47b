"""Outboxes of this process, one for each file, and the functions that submit reports to them.

Fork:

    before            take all locks, so that no other thread is inside SQLite, and close the file. SQLite forbids the
                      use of a connection in a child process, and keeps a table of its locks for each process.
    after, in parent  release the locks; the next call opens the file again, and the worker threads continue
    after, in child   start with new locks, a new owner of leases, and no threads: a fork copies none, and the leases
                      of the parent stay with the parent
"""

import copyreg
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from xpander_sdk import _fork
from xpander_sdk.client.log_recursion import is_about_own_logs
from xpander_sdk.errors import ContractError, ModuleException, OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.policy import FailureKind, classify_failure
from xpander_sdk.outbox.receipts import Receipts
from xpander_sdk.receipt import Receipt
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import OutboxSettings

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")

_TEMPORARY = (FailureKind.UNAVAILABLE, FailureKind.SERVER_ERROR, FailureKind.UNAUTHORIZED)
_NOT_STORED = (0, b"")  # sequence number and salt of no report; the state of such a receipt is "unknown"
# Texts of errors that an outage of a correct address does not cause: no TLS, another certificate or protocol, no host.
_ADDRESS_ERRORS = (
    "[SSL", "certificate", "illegal request line", "illegal status line",
    "Name or service not known", "nodename nor servname", "getaddrinfo failed", "No address associated",
)  # fmt: skip
_outboxes: dict[str, Outbox] = {}


def outbox_at(path: str) -> Outbox:
    """Return the outbox of a file.

    Args:
        path: Absolute path.
    """
    outbox = _outboxes.get(path)
    if outbox is None:
        with _fork.import_lock:
            outbox = _outboxes.setdefault(path, Outbox(path))
    return outbox


def outbox_for(configuration: Configuration) -> Outbox:
    """Return the outbox of a configuration; from now on it delivers with the configuration's key as well."""
    settings = _settings(configuration)
    outbox = outbox_at(settings.path)
    outbox._register(configuration, settings)
    return outbox


def forget(path: str) -> None:
    """Close the outbox of a file without delivering its reports, for a file that will be deleted.

    Args:
        path: Absolute path.
    """
    outbox = _outboxes.pop(path, None)
    if outbox is not None:
        outbox.close(0)


def submit(configuration: Configuration, report: Report, convert: Callable[[Any], T]) -> Receipt[T]:
    """Store a report for delivery, and return its receipt.

    Args:
        configuration: Destination, key and outbox of the report.
        report: The report.
        convert: Function that converts the response of the backend to the value of `Receipt.task`.

    Raises:
        OutboxFullError: There is no room for the report; it was not stored.
        OutboxError: The file cannot be used; the report was not stored.
        ValueError: The configuration cannot reach a backend; the report was not stored.
    """
    settings = _settings(configuration)
    state = outbox_at(settings.path)._state
    if is_about_own_logs():
        return state.receipts.create(*_NOT_STORED, report.id, convert)
    return state.submitter.put(configuration, settings, report, convert)


async def asubmit(configuration: Configuration, report: Report, convert: Callable[[Any], T]) -> Receipt[T]:
    """Store a report for delivery without blocking the event loop, and return its receipt.

    A thread waits for the disk (`durability="power"`) or for room (`when_full="block"`).

    Args:
        configuration: Destination, key and outbox of the report.
        report: The report.
        convert: Function that converts the response of the backend to the value of `Receipt.task`.

    Raises:
        OutboxFullError: There is no room for the report; it was not stored.
        OutboxError: The file cannot be used; the report was not stored.
        ValueError: The configuration cannot reach a backend; the report was not stored.
    """
    settings = _settings(configuration)
    state = outbox_at(settings.path)._state
    if is_about_own_logs():
        return state.receipts.create(*_NOT_STORED, report.id, convert)
    put = state.submitter.put
    if settings.durability == "power" or settings.when_full == "block":
        import anyio.to_thread

        return await anyio.to_thread.run_sync(put, configuration, settings, report, convert)
    return put(configuration, settings, report, convert)


def keep(configuration: Configuration, report: Report, convert: Callable[[Any], T], error: ModuleException) -> None:
    """Store a report that could not be sent directly, if a later attempt may succeed, and add that to the error.

    Args:
        configuration: Destination, key and outbox of the report.
        report: The report.
        convert: Function that converts the response of the backend to the value of `Receipt.task`.
        error: Error of the direct attempt; it gets the receipt and a longer description.
    """
    if _may_succeed_later(configuration, error):
        try:
            _add_outcome(error, submit(configuration, report, convert))
        except OutboxError as outbox_error:
            _add_outcome(error, outbox_error)


async def akeep(
    configuration: Configuration, report: Report, convert: Callable[[Any], T], error: ModuleException
) -> None:
    """Store a report that could not be sent directly, as `keep` does, without blocking the event loop.

    Args:
        configuration: Destination, key and outbox of the report.
        report: The report.
        convert: Function that converts the response of the backend to the value of `Receipt.task`.
        error: Error of the direct attempt; it gets the receipt and a longer description.
    """
    if _may_succeed_later(configuration, error):
        try:
            _add_outcome(error, await asubmit(configuration, report, convert))
        except OutboxError as outbox_error:
            _add_outcome(error, outbox_error)


def finish(leftovers: Iterable[Configuration] = ()) -> None:
    """Deliver at the end of the process; close all files.

    Args:
        leftovers: Configurations whose outboxes may have reports of other processes.
    """
    for configuration in leftovers:
        settings = _settings(configuration)
        try:
            outbox_at(settings.path)._take_over(configuration, settings)
        except OutboxError as error:
            _log.warning("the outbox keeps the reports of other processes: %s", error)
    for outbox in list(_outboxes.values()):
        outbox._state.finish()


def _settings(configuration: Configuration) -> OutboxSettings:
    return configuration.outbox or OutboxSettings()


def _may_succeed_later(configuration: Configuration, error: ModuleException) -> bool:
    return configuration.outbox is not None and classify_failure(error) in _TEMPORARY


def _add_outcome(error: ModuleException, outcome: Receipt[Any] | OutboxError) -> None:
    if not error.description.endswith((".", "?", "!")):
        error.description += "."
    if isinstance(outcome, OutboxError):
        error.description += f" It could not be kept either: {outcome.description}."
    else:
        error.receipt = outcome
        error.description += f" The report is kept in the outbox {outcome.path}, {_next_step(error)}."


def _next_step(error: ModuleException) -> str:
    """Return what happens to a report that is kept after this error."""
    if classify_failure(error) is FailureKind.UNAUTHORIZED:
        return "and waits for a valid key: correct XPANDER_API_KEY, and run `xpander-report outbox move --to URL`"
    if isinstance(error, ContractError) or any(text in error.description for text in _ADDRESS_ERRORS):
        return "and waits until its address is right: check base_url, and run `xpander-report outbox move --to URL`"
    return "and will be delivered"


def _before_fork() -> None:
    for outbox in list(_outboxes.values()):
        outbox._state.before_fork()


def _after_fork_in_parent() -> None:
    for outbox in list(_outboxes.values()):
        outbox._state.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for outbox in list(_outboxes.values()):
        outbox._after_fork_in_child()


def _receipts_at(path: str) -> Receipts:
    return outbox_at(path)._state.receipts


# A pickled receipt finds its outbox again by the path; the outbox of a process has locks and threads.
copyreg.pickle(Receipts, lambda receipts: (_receipts_at, (receipts.path,)))
copyreg.pickle(Outbox, lambda outbox: (outbox_at, (outbox.path,)))
_fork.register_at_fork(_before_fork, _after_fork_in_parent, _after_fork_in_child)
