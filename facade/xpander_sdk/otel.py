"""Span processor for OpenTelemetry: records the runs of instrumented agents through the outbox.

Example:
    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from xpander_sdk import Backend
    >>> from xpander_sdk.otel import SpanProcessor
    >>> provider = TracerProvider()
    >>> provider.add_span_processor(SpanProcessor(Backend()))

It needs `opentelemetry-sdk`, which every instrumentation installs.
"""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import StatusCode

from xpander_capture.spans import TASK_ID, Event, Run, Span, SpanSummary, find_runs, summarize
from xpander_sdk import _lazy
from xpander_sdk.backend import Backend
from xpander_sdk.reporting.traced_run import run_arguments
from xpander_sdk.task import Task

__all__ = ["SpanProcessor"]

MAX_TRACES = 1_000
"""Traces whose spans are in memory, at most. Of more, the one that has been quiet for the longest time is closed."""
MAX_SPANS = 2_000
"""Spans of one trace that are in memory, at most; further ones are left out."""

_log = logging.getLogger("xpander_sdk")


class _Trace:
    """Spans of a trace in this process.

    Attributes:
        spans: Summaries by id; of an open span, as it was at its start.
        open_ids: Ids of the spans that have not ended.
        reported: Runs as they were last reported, by the id of the task.
        has_agents: Whether a run of an agent has ended, whose spans are not in memory any more.
    """

    __slots__ = ("has_agents", "open_ids", "reported", "spans")

    def __init__(self) -> None:
        self.spans: dict[str, SpanSummary] = {}
        self.open_ids: set[str] = set()
        self.reported: dict[str, Run] = {}
        self.has_agents = False

    def add(self, summary: SpanSummary, *, is_open: bool) -> None:
        """Add a span, or replace what its start said. Of too many spans, the first one that has ended is left out."""
        if is_open:
            self.open_ids.add(summary.id)
        else:
            self.open_ids.discard(summary.id)
        if summary.id not in self.spans and len(self.spans) >= MAX_SPANS:
            ended = next((span_id for span_id in self.spans if span_id not in self.open_ids), None)
            if ended is None:
                return
            del self.spans[ended]
        self.spans[summary.id] = summary


class SpanProcessor(sdk.SpanProcessor):
    """Processor that reports the runs of agents: in progress when their span starts, and whole when it ends.

    The rule of what a run is, and where its fields come from, is that of the server's endpoint and of
    `xpander-report import`. Reports go through the outbox, so they survive the end of the program, and reach every
    destination. Add it beside other processors; it never sets the global provider, and changes no span but by the
    attribute `xpander.task.id`, if baggage contains it. Errors are logged, never raised.

    Args:
        backend: Backend to report to. Default: `Backend()`, which reads the environment.
        agent_id: Agent of runs that their spans do not name. Default: the name of the topmost span.

    Example:
        >>> from opentelemetry import trace
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> provider = TracerProvider()
        >>> provider.add_span_processor(SpanProcessor(Backend(), agent_id="desk"))
        >>> trace.set_tracer_provider(provider)
    """

    def __init__(self, backend: Backend | None = None, *, agent_id: str | None = None) -> None:
        self._backend = Backend() if backend is None else backend
        self._agent_id = agent_id
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._lock = threading.Lock()
        self._process_id = os.getpid()
        self._has_logged = False

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
        """Note a span, and report a run that begins with it."""
        try:
            task_id = baggage.get_baggage(TASK_ID, parent_context)
            if isinstance(task_id, str) and TASK_ID not in (span.attributes or {}):
                span.set_attribute(TASK_ID, task_id)
            self._add(summarize(_convert(span, is_open=True)), is_open=True)
        except Exception as error:
            self._log_error(error)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        """Note the end of a span, and report the runs that end with it."""
        try:
            self._add(summarize(_convert(span, is_open=False)), is_open=False)
        except Exception as error:
            self._log_error(error)

    def shutdown(self) -> None:
        """Wait for a short time until the reports are delivered. Runs in progress remain in progress."""
        self.force_flush(5_000)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until the reports are delivered.

        Args:
            timeout_millis: Maximum time to wait, in milliseconds.

        Returns:
            Whether all reports were delivered.
        """
        try:
            return self._backend.outbox.flush(timeout_millis / 1_000)
        except Exception as error:
            self._log_error(error)
            return False

    def _add(self, summary: SpanSummary, *, is_open: bool) -> None:
        if summary.kind == "other" and summary.label == "database":
            return  # such spans have no spans of agents below them
        for run in self._changed_runs(summary, is_open=is_open):
            self._report(run)

    def _changed_runs(self, summary: SpanSummary, *, is_open: bool) -> list[Run]:
        """Add a span to its trace; return the runs that must be reported now."""
        with self._own_lock():
            trace = self._traces.get(summary.trace_id)
            if trace is None:
                trace = self._traces[summary.trace_id] = _Trace()
            self._traces.move_to_end(summary.trace_id)
            trace.add(summary, is_open=is_open)
            runs: list[Run] = []
            if len(self._traces) > MAX_TRACES:
                _, oldest = self._traces.popitem(last=False)
                runs = _runs_to_report(oldest, None)
            has_ended = not trace.open_ids
            # The runs of a trace without an agent are known at its end only.
            if has_ended or summary.kind == "agent":
                runs += _runs_to_report(trace, None if has_ended else summary)
            if has_ended:
                self._traces.pop(summary.trace_id, None)
            return runs

    def _own_lock(self) -> threading.Lock:
        """Return the lock of this process: a thread of the parent may have held the lock at a fork."""
        if self._process_id != os.getpid():
            self._process_id, self._lock = os.getpid(), threading.Lock()
            self._traces = OrderedDict()
        return self._lock

    def _report(self, run: Run) -> None:
        agent_id = run.agent_id or self._agent_id or run.agent_fallback or "unknown"
        configuration = self._backend.configuration
        report = _lazy.report.new_report(agent_id, id=run.task_id, reported_at=run.reported_at, **run_arguments(run))
        _lazy.registry.submit(configuration, report, partial(Task._from_record, configuration))

    def _log_error(self, error: Exception) -> None:
        """Log the first error: reporting must not disturb the program."""
        if not self._has_logged:
            self._has_logged = True
            _log.warning("a run of a trace was not reported; further errors are not logged: %s", error)


def _runs_to_report(trace: _Trace, summary: SpanSummary | None) -> list[Run]:
    """Return the runs that differ from their last report.

    Args:
        trace: Trace with its spans.
        summary: Span of an agent that has started or ended; None if the trace has ended.
    """
    runs = []
    for run in find_runs(trace.spans.values(), is_final=False).runs:
        top = trace.spans.get(run.span_id)
        known = trace.reported.get(run.task_id)
        if top is None or run.is_provisional or known == run or (trace.has_agents and top.kind != "agent"):
            continue
        if summary is not None and known is not None and run.span_id != summary.id:
            continue  # an agent inside of the run
        if run.is_success is None and run.agent_id in (None, top.service):
            continue  # a task keeps its agent, and an agent below may still name it
        trace.reported[run.task_id] = run
        runs.append(run)
        if run.is_success is not None and summary is not None:
            _forget(trace, run)
    return runs


def _forget(trace: _Trace, run: Run) -> None:
    """Remove the spans of a run that has ended, unless some are still open: a trace may never end."""
    below: dict[str, list[str]] = {}
    for span in trace.spans.values():
        below.setdefault(span.parent_id, []).append(span.id)
    ids: list[str] = []
    rest = [run.span_id]
    while rest:
        span_id = rest.pop()
        ids.append(span_id)
        rest += below.pop(span_id, [])
    if not trace.open_ids.intersection(ids):
        for span_id in ids:
            trace.spans.pop(span_id, None)
        trace.reported.pop(run.task_id, None)
        trace.has_agents = True


def _convert(span: sdk.ReadableSpan, *, is_open: bool) -> Span:
    context = span.get_span_context()
    assert context is not None
    parent = span.parent
    # A parent in another process is no parent: its processor does not see this span.
    parent_id = f"{parent.span_id:016x}" if parent is not None and not parent.is_remote else ""
    return Span(
        trace_id=f"{context.trace_id:032x}",
        id=f"{context.span_id:016x}",
        parent_id=parent_id,
        name=span.name,
        start=span.start_time or 0,
        end=0 if is_open else span.end_time or 0,
        attributes=_attributes(span.attributes),
        resource=_attributes(span.resource.attributes),
        events=tuple(Event(event.name, _attributes(event.attributes)) for event in span.events),
        is_error=span.status.status_code is StatusCode.ERROR,
        message=span.status.description or "",
    )


def _attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes with lists in place of tuples, as they arrive through OTLP."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (attributes or {}).items()}
