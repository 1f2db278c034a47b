"""Run that an adapter records from the events of its framework."""

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec

from xpander_sdk.integrations import background
from xpander_sdk.runs.recording import Recorded
from xpander_sdk.settings.validators import environment_variable

if TYPE_CHECKING:
    from xpander_sdk.backend import Backend
    from xpander_sdk.runs.run import Run

P = ParamSpec("P")

_log = logging.getLogger("xpander_sdk")
_MAX_LOGGED = 100
_logged: set[str] = set()


class AdapterRun:
    """One run: begins and ends with events, in any thread, and is never the current run of the program.

    The callbacks of a framework may run in other contexts than the code of its agents, so setting the current run there
    would have no effect, or would last too long.

    Args:
        backend: Backend to report to.
        may_block: Whether callbacks outside of event loops may wait for a direct report. If not, threads send it.
        **options: Arguments of `Backend.run`.
    """

    def __init__(self, backend: "Backend", *, may_block: bool = True, **options: Any) -> None:
        self._run = backend.run(**options)
        self._tracker = self._run._tracker
        self._may_block = may_block
        self._seconds = 0.0

    @property
    def is_recording(self) -> bool:
        """True if the run is reported."""
        return self._run.is_recording

    @property
    def id(self) -> str:
        """The id of the run."""
        return self._run.id

    def begin(self) -> None:
        """Begin the run; report it as in progress if that needs no request."""
        if self._tracker is not None:
            self._tracker.enter(self._run)

    def add(self, recorded: Recorded) -> None:
        """Add what the adapter has read from an event."""
        if self._tracker is not None:
            self._tracker.add(self._run, recorded)

    def add_call(self, call: Mapping[str, Any]) -> None:
        """Add a model call: an entry of the report's `calls`."""
        self.add(Recorded(calls=(dict(call),)))

    def add_tool(self, name: str | None) -> None:
        """Add a tool that was called."""
        if name:
            self._run.used_tools.append(name)

    def set_values(self, **values: Any) -> None:
        """Set attributes of the run; None changes nothing."""
        for name, value in values.items():
            if value is not None:
                setattr(self._run, name, value)

    def pause(self, seconds: float) -> None:
        """Report the run as in progress: it waits for a person or another program.

        Args:
            seconds: Time that it has worked since it began or continued.
        """
        self._seconds += seconds
        if self._tracker is not None:
            tracker, run = self._tracker, self._run
            self._send(lambda: tracker.update(run))

    def end(self, seconds: float, *, is_success: bool | None = None, error: str | None = None) -> None:
        """Report the end of the run.

        Args:
            seconds: Time that it has worked since it began or continued.
            is_success: Outcome; None for success, unless there is an error or the last response was a failure.
            error: Reason of a failure.
        """
        if self._tracker is None:
            return
        tracker, run = self._tracker, self._run
        self.set_values(duration=self._seconds + seconds, is_success=is_success, error=error)
        self._send(lambda: tracker.end(run, None))

    def add_late(self, recorded: Recorded) -> None:
        """Add what an event states that has arrived after the end of the run, and report it.

        Only its numbers and tools count: the run has ended with its own result.
        """
        add_late(self._run, recorded, may_block=self._may_block)

    def reopen(self) -> None:
        """Let another `end` replace the reported one: the framework has failed after it."""
        if self._tracker is not None:
            self._tracker.has_ended = False

    def _send(self, send: Callable[[], None]) -> None:
        if self._tracker is not None:
            _send(self._tracker.via, send, may_block=self._may_block)


def add_late(run: "Run", recorded: Recorded, *, may_block: bool = True) -> None:
    """Add the numbers and tools of a response to a run that has ended, and report the run again.

    Args:
        run: The run.
        recorded: What the response states.
        may_block: Whether callers outside of event loops may wait for a direct report.
    """
    tracker = run._tracker
    if tracker is None:
        return
    known = tracker
    known.add(run, recorded._replace(text=None, output=None, response=None, error=None))
    _send(known.via, lambda: known.update(run), may_block=may_block)


def _send(route: str, send: Callable[[], None], *, may_block: bool) -> None:
    if route == "direct" and (not may_block or background.is_on_event_loop()):
        background.submit(send)
    else:
        send()


def configured_agent(backend: "Backend") -> str | None:
    """Return the agent that the configuration or the environment names."""
    return backend.configuration.agent_id or environment_variable("XPANDER_AGENT_ID")


def guarded(callback: Callable[P, None]) -> Callable[P, None]:
    """Return a callback that logs its errors once instead of raising them into the framework."""

    @functools.wraps(callback)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:
            log_error(error)

    return call


def log_error(error: Exception) -> None:
    """Log an error of an adapter, each kind once. Its text may quote the caller's data, so it is left out."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = "" if frame is None else f" in {frame.tb_frame.f_code.co_name}"
    text = f"{type(error).__name__}{place}"
    with _lock:
        is_known = text in _logged
        if len(_logged) < _MAX_LOGGED:
            _logged.add(text)
    _log.log(logging.DEBUG if is_known else logging.WARNING, "a run was not recorded completely: %s", text)


_lock = threading.Lock()
