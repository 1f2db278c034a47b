"""Tracker of one run: its identity, its times and its reports. `facts` is what was recorded.

    Run.__enter__    →  enter    identity, parent, sampling; report "in progress" if the route is the outbox
    Run.record       →  record   calls, tools, text, failure
    Run.__exit__     →  end      outcome, duration; one report

Nothing here raises into the caller's code: each public method catches `Exception`, logs it once and keeps its text in
`report_errors`. Exceptions that end the caller's program or task (KeyboardInterrupt, cancellation) pass.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from xpander_sdk._clock import monotonic
from xpander_sdk.errors import ModuleException
from xpander_sdk.reporting.validation import parse_id, resolve_agent_id
from xpander_sdk.runs import recording, sending
from xpander_sdk.runs.current import current
from xpander_sdk.runs.ends import end_of
from xpander_sdk.runs.facts import Facts
from xpander_sdk.runs.options import RunOptions
from xpander_sdk.settings.configuration import Configuration, resolve_configuration

if TYPE_CHECKING:
    from xpander_sdk.runs.recording import Recorded
    from xpander_sdk.runs.run import Run
    from xpander_sdk.runs.span import RunSpan
    from xpander_sdk.runs.watch import WatchedStream

__all__ = ["RunOptions", "Tracker"]

_log = logging.getLogger("xpander_sdk")
_MAX_ERRORS = 10  # texts that a run keeps
_MAX_LOGGED = 100
_logged: set[str] = set()


class Tracker:
    """State of one run that records itself.

    Args:
        options: Arguments of `Backend.run`.

    Attributes:
        facts: What was recorded and returned.
        is_recording: Whether the run has an agent and an id, and was sampled. False until it begins.
        has_ended: Whether its end was reported.
        is_kept_open: Whether its end is reported as "in progress".
        report_errors: Texts of the errors of recording and reporting.
    """

    __slots__ = (
        "_has_span", "_is_resolved", "_span", "_started_at", "_via", "_watches",
        "configuration", "facts", "has_ended", "is_kept_open", "is_recording", "options", "report_errors",
    )  # fmt: skip

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.configuration: Configuration = options.configuration
        self.is_recording = False
        self.has_ended = False
        self.is_kept_open = False
        self.report_errors: list[str] = []
        self._is_resolved = False
        self._via: str | None = None
        self._started_at: float | None = None
        self.facts = Facts()
        self._watches: list[WatchedStream[Any]] = []
        self._has_span = False
        self._span: RunSpan | None = None

    # Beginning

    def enter(self, run: "Run") -> None:
        """Begin the run at the start of its block; report it if that needs no request."""
        try:
            self._begin(run)
            if self._reports_start():
                sending.send(self, sending.new_report(self, run, None))
            self._started_at = monotonic()  # again: the report took time
        except Exception as error:
            self.handle(error)

    async def aenter(self, run: "Run") -> None:
        """Begin the run as `enter` does."""
        try:
            self._begin(run)
            if self._reports_start():
                await sending.asend(self, sending.new_report(self, run, None))
            self._started_at = monotonic()  # again: the report took time
        except Exception as error:
            self.handle(error)

    def start(self, run: "Run") -> None:
        """Begin the run and report it."""
        try:
            self._begin(run)
            self._report_progress(run)
        except Exception as error:
            self.handle(error)

    async def astart(self, run: "Run") -> None:
        """Begin the run and report it."""
        try:
            self._begin(run)
            await self._areport_progress(run)
        except Exception as error:
            self.handle(error)

    def update(self, run: "Run") -> None:
        """Report the run as it is now."""
        try:
            self._resolve(run)
            self._report_progress(run)
        except Exception as error:
            self.handle(error)

    async def aupdate(self, run: "Run") -> None:
        """Report the run as it is now."""
        try:
            self._resolve(run)
            await self._areport_progress(run)
        except Exception as error:
            self.handle(error)

    def _begin(self, run: "Run") -> None:
        if self.has_ended:
            self.has_ended = False
            self._note("a run that had ended was entered again; its record is continued. Call backend.run(…) each time")
        self._resolve(run)
        self._started_at = monotonic()

    def _resolve(self, run: "Run") -> None:
        """Fix id, agent and parent, and decide whether the run is sampled; once."""
        if self._is_resolved:
            return
        self._is_resolved = True
        options = self.options
        self.configuration = resolve_configuration(options.configuration)
        self._via = options.via or ("direct" if self.configuration.outbox is None else "outbox")
        # The caller may have replaced the attributes of the run since it was created.
        run.agent_id = resolve_agent_id(self.configuration, agent_id=run.agent_id, agent=options.agent)
        if run.has_given_id:
            parse_id("id", run.id)
        self.is_recording = self._join_parent(run) and _is_sampled(run.id, options.sample)

    def _join_parent(self, run: "Run") -> bool:
        """Set the parent and what the run inherits from it; return whether the parent is recorded."""
        parent = self.options.parent
        if isinstance(parent, str):
            run.parent_task_id = run.parent_task_id or parent
            return True
        outer = current.get() if parent is None else parent
        run.outer = None if outer is run else outer
        tracker = None if run.outer is None else run.outer._tracker
        if outer is None or tracker is None or not _is_same_target(tracker.configuration, self.configuration):
            return True
        # A block that continues the run around it is no child of itself.
        run.parent_task_id = run.parent_task_id or (outer.parent_task_id if outer.id == run.id else outer.id)
        run.user_id = run.user_id or outer.user_id
        run.conversation_id = run.conversation_id or outer.conversation_id
        # A tree of runs is recorded completely or not at all.
        return tracker.is_recording or not tracker._is_resolved

    def _reports_start(self) -> bool:
        return self.is_recording and self.options.start and self._via == "outbox"

    def _report_progress(self, run: "Run") -> None:
        if self.is_recording:
            sending.send(self, sending.new_report(self, run, None))

    async def _areport_progress(self, run: "Run") -> None:
        if self.is_recording:
            await sending.asend(self, sending.new_report(self, run, None))

    # Span

    def enter_span(self, run: "Run") -> None:
        """Make the run's span of OpenTelemetry current; start it at the first time. OpenTelemetry is not imported."""
        if not self.is_recording:
            return
        try:
            if not self._has_span:
                self._has_span = True
                if "opentelemetry.trace" in sys.modules:
                    from xpander_sdk.runs import span

                    self._span = span.start_span(run)
            if self._span is not None:
                self._span.enter()
        except Exception as error:  # never raised: the caller's exception may be on its way
            self._note(sending.describe(error))

    def leave_span(self) -> None:
        """Make the span current that was current before the run's span."""
        if self._span is not None:
            try:
                self._span.leave()
            except Exception as error:
                self._note(sending.describe(error))

    # Recording

    def record(self, run: "Run", result: Any, provider: str | None = None, model: str | None = None) -> None:
        """Add what a response or result states."""
        if self._is_resolved and not self.is_recording:
            return
        try:
            recorded = recording.read(result, provider, model)
            if recorded is not None:
                self.facts.add(run, recorded, result)
        except Exception as error:
            self.handle(error)

    def add(self, run: "Run", recorded: "Recorded") -> None:
        """Add what an adapter has read from an event of its framework."""
        if self._is_resolved and not self.is_recording:
            return
        try:
            self.facts.add(run, recorded)
        except Exception as error:
            self.handle(error)

    def take(self, run: "Run", returned: Any) -> None:
        """Take the value that a decorated function has returned as the result of the run."""
        if returned is None or not self.is_recording:
            return
        try:
            self.facts.take(run, returned)
        except Exception as error:
            self.handle(error)

    def take_items(self, run: "Run", items: Any) -> None:
        """Take the items of a generator as the result of the run: a text, or a list of other items."""
        if not self.is_recording:
            return
        try:
            self.facts.take_items(run, items)
        except Exception as error:
            self.handle(error)

    def watch(self, run: "Run", stream: Any, provider: str | None, model: str | None) -> Any:
        """Return an iterator that passes the chunks of the stream on and records the response at its end."""
        if self._is_resolved and not self.is_recording:
            return stream
        try:
            from xpander_sdk.runs.watch import WatchedStream

            self._watches = [watch for watch in self._watches if not watch.is_recorded]
            watched: WatchedStream[Any] = WatchedStream(
                stream, lambda chunks: self._record_stream(run, chunks, provider, model)
            )
            self._watches.append(watched)
        except Exception as error:
            self.handle(error)
            return stream
        return watched

    def _record_stream(self, run: "Run", chunks: list[Any], provider: str | None, model: str | None) -> None:
        try:
            recorded = recording.read_stream(chunks, provider, model)
            if recorded is not None:
                self.facts.add(run, recorded)
        except Exception as error:
            self.handle(error)

    # End

    def end(self, run: "Run", error: BaseException | None) -> None:
        """Report the end of the run.

        Args:
            run: The run.
            error: The exception that ends it, or None.
        """
        if self.has_ended and error is None:
            return
        try:
            report = self._end(run, error)
            if report is not None:
                sending.send(self, report)
        except Exception as report_error:
            self.handle(report_error, error)

    async def aend(self, run: "Run", error: BaseException | None) -> None:
        """Report the end of the run as `end` does."""
        if self.has_ended and error is None:
            return
        try:
            report = self._end(run, error)
            if report is not None:
                await sending.asend(self, report, error)
        except Exception as report_error:
            self.handle(report_error, error)

    def _end(self, run: "Run", error: BaseException | None) -> Any:
        ended_at = monotonic()  # first: the first report of a process imports modules
        self._resolve(run)
        self.has_ended = True
        if not self.is_recording:
            return None
        for watch in self._watches:
            watch.record_received()
        self._watches = []
        is_success, reason = end_of(error)
        if is_success:
            reason = run.error or self.facts.failure
            is_success = run.is_success if run.is_success is not None else not reason
            if (self.is_kept_open or self.facts.is_paused) and run.is_success is None and not reason:
                is_success = None
        if self._span is not None:
            self._span.end(is_success, reason)
        duration = None if self._started_at is None else ended_at - self._started_at
        report = sending.new_report(self, run, is_success, reason=reason, duration=duration)
        self.facts.forget_objects()
        return report

    @property
    def mask(self) -> Callable[[dict[str, Any]], Any] | None:
        """Function that changes the report before it is stored or sent."""
        return self.options.mask

    @property
    def via(self) -> str:
        """Route of the reports: "outbox" or "direct"."""
        return self._via or "direct"

    # Errors

    def handle(self, error: Exception, cause: BaseException | None = None) -> None:
        """Keep and log an error of recording or reporting; raise it if the run is to raise its own errors.

        Args:
            error: The error.
            cause: The caller's exception that passes through the run. It is never replaced.
        """
        # An error of the backend may quote the report, so its text differs in each run.
        subject = f"{type(error).__name__} {error.status_code}" if isinstance(error, ModuleException) else None
        self._note(sending.describe(error), subject)
        if self.options.on_error == "raise" and cause is None:
            raise error

    def note_invalid(self, errors: Iterable[Exception]) -> None:
        """Keep and log that values were left out of a report."""
        for error in errors:
            self.handle(error)

    def _note(self, text: str, subject: str | None = None) -> None:
        subject = subject or text
        if len(self.report_errors) < _MAX_ERRORS:
            self.report_errors.append(text)
        # Once in a process: every run of a program that cannot reach its backend has the same error.
        level = logging.DEBUG if subject in _logged else logging.WARNING
        if len(_logged) < _MAX_LOGGED:
            _logged.add(subject)
        _log.log(level, "a run was not recorded completely: %s", text)


def _is_sampled(run_id: str, share: float) -> bool:
    """Return whether a run is recorded: the same in every process that reports it."""
    if share >= 1:
        return True
    digest = hashlib.blake2b(run_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def _is_same_target(one: Configuration, other: Configuration) -> bool:
    return one is other or (one.base_url, one.organization_id) == (other.base_url, other.organization_id)
