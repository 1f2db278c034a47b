"""Reports of a run: through the outbox, or directly to the backend.

A direct report waits for the backend's response, so its time is limited: the end of a run must not delay the program by
all attempts of a call. After an outage, further direct reports get one attempt and a short time.
"""

import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from attrs import evolve

from xpander_sdk import _lazy
from xpander_sdk._clock import monotonic
from xpander_sdk.errors import ConnectionFailedError, ModuleException, TimedOutError
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.task import Task

if TYPE_CHECKING:
    from xpander_sdk.reporting.report import Report
    from xpander_sdk.runs.run import Run
    from xpander_sdk.runs.tracker import Tracker

DIRECT_SECONDS = 5.0  # time for a direct report
CANCELLED_SECONDS = 2.0  # the same in a task that was cancelled, whose caller waits for its end
OUTAGE_SECONDS = 1.0  # the same while the backend does not respond
MAX_REPORT_BYTES = 4 * 1024 * 1024  # limit of the contract
_OUTAGE_LASTS = 30.0
_MAX_OUTAGES = 100
_outages: dict[str, float] = {}  # URL of a backend that did not respond, and the time until which it is spared


def new_report(
    tracker: "Tracker", run: "Run", is_success: bool | None, *, reason: str | None = None, duration: float | None = None
) -> "Report":
    """Return the report of the run as it is now. Values that are invalid or too large are left out and noted.

    Args:
        tracker: Tracker of the run.
        run: The run.
        is_success: Outcome; None for a run in progress.
        reason: Reason of a failure.
        duration: Measured duration in seconds; None while the run is in progress.
    """
    values = tracker.facts.values(run, is_success, reason, duration)
    agent_id = run.agent_id or ""
    try:
        report = _lazy.report.new_report(agent_id, **values)
    except ValueError:
        values, errors = _valid_values(values)
        report = _lazy.report.new_report(agent_id, **values)
        tracker.note_invalid(errors)
    while (size := len(report.content)) > MAX_REPORT_BYTES and (name := _largest_value(report)):
        values[name] = None
        report = _lazy.report.new_report(agent_id, **values)
        error = f"{name} was left out: the report had {size:,} bytes, and has at most {MAX_REPORT_BYTES:,}"
        tracker.note_invalid([ValueError(error)])
    if tracker.mask is not None:
        from xpander_sdk.outbox.masking import apply_mask

        report = apply_mask(report, tracker.mask)
    return report


def send(tracker: "Tracker", report: "Report") -> None:
    """Store the report in the outbox, or send it.

    Raises:
        ModuleException: The report was neither stored nor sent.
        ValueError: The configuration cannot reach a backend.
    """
    configuration = tracker.configuration
    if tracker.via == "outbox":
        _lazy.registry.submit(configuration, report, partial(Task._from_record, configuration))
        return
    try:
        Task._send_report(_limited(configuration, _seconds(configuration)), report)
    except (TimedOutError, ConnectionFailedError):
        _note_outage(configuration)
        raise
    _outages.pop(configuration.target, None)


async def asend(tracker: "Tracker", report: "Report", error: BaseException | None = None) -> None:
    """Store the report in the outbox, or send it, without blocking the event loop.

    Args:
        tracker: Tracker of the run.
        report: The report.
        error: The exception that ends the run. If the task is cancelled, the report gets a short time of its own.

    Raises:
        ModuleException: The report was neither stored nor sent.
        ValueError: The configuration cannot reach a backend.
    """
    if error is None or isinstance(error, Exception):
        await _asend(tracker, report)
        return
    import anyio

    # An embedded store needs its time at the first report of a process, and no network can hold it up.
    seconds = DIRECT_SECONDS if tracker.configuration.is_embedded else CANCELLED_SECONDS
    with anyio.move_on_after(seconds, shield=True) as scope:
        await _asend(tracker, report)
    if scope.cancelled_caught:
        raise TimedOutError(None, f"no response within {seconds:g} s of a cancelled task")


async def _asend(tracker: "Tracker", report: "Report") -> None:
    configuration = tracker.configuration
    if tracker.via == "outbox":
        await _lazy.registry.asubmit(configuration, report, partial(Task._from_record, configuration))
        return
    try:
        await Task._asend_report(_limited(configuration, _seconds(configuration)), report)
    except (TimedOutError, ConnectionFailedError):
        _note_outage(configuration)
        raise
    _outages.pop(configuration.target, None)


def describe(error: Exception) -> str:
    """Return the text of an error for logs: without values of the caller, except those that the SDK quotes."""
    if isinstance(error, ModuleException | ValueError | ImportError):
        return str(error)
    return type(error).__name__


def _valid_values(values: dict[str, Any]) -> tuple[dict[str, Any], list[Exception]]:
    """Return the values that a report can contain, and the errors of the others."""
    valid: dict[str, Any] = {}
    errors: list[Exception] = []
    for name, value in values.items():
        try:
            _lazy.fields.declarations()[name].parse(name, value)
        except Exception as error:
            errors.append(error)
            valid[name] = None
        else:
            valid[name] = value
    return valid, errors


def _largest_value(report: "Report") -> str | None:
    """Return the name of the largest text or document of a report; None if it has none."""
    body = json.loads(report.content)
    sizes = {name: len(str(value)) for name in ("llm_response", "result", "input") if (value := body.get(name))}
    return max(sizes, key=lambda name: sizes[name], default=None)


def _seconds(configuration: Configuration) -> float:
    is_spared = _outages.get(configuration.target, 0.0) > monotonic()
    return OUTAGE_SECONDS if is_spared else DIRECT_SECONDS


def _note_outage(configuration: Configuration) -> None:
    if len(_outages) < _MAX_OUTAGES:
        _outages[configuration.target] = monotonic() + _OUTAGE_LASTS


@lru_cache(maxsize=64)
def _limited(configuration: Configuration, seconds: float) -> Configuration:
    """Return the configuration with a limited time for a call; a short time allows one attempt."""
    timeouts = configuration.timeouts
    if timeouts.total > seconds:
        timeouts = evolve(timeouts, total=seconds)
    retry = configuration.retry if seconds > OUTAGE_SECONDS else evolve(configuration.retry, attempts=1)
    return configuration.with_options(timeouts=timeouts, retry=retry)
