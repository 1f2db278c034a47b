"""Runs of the traces in OTLP JSON documents, as records of a file."""

from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from xpander_capture.spans import SpanSummary, explain, find_runs, group_by_trace, parse_spans, summarize
from xpander_sdk.import_export.record import Record
from xpander_sdk.reporting.traced_run import run_arguments


@frozen
class TracedRun:
    """Run of a trace.

    Attributes:
        line: Line of the run's span in the file, from 1; of a run whose span is missing, the line of its first span.
        record: Data to report.
        description: Trace id and span id, for the list of rejected runs.
        fallback_agent: Name of the topmost span, for a run whose agent nothing else names.
    """

    line: int
    record: Record
    description: str
    fallback_agent: str | None


@define
class TraceFile:
    """Spans of a file.

    Attributes:
        ignored: Sentence about the spans that belong to no run; None if there are none. Set by `runs`.
    """

    ignored: str | None = None
    _spans: list[SpanSummary] = field(factory=list)
    _lines: dict[tuple[str, str], int] = field(factory=dict)

    def add(self, document: Any, line: int) -> None:
        """Add the spans of a document, or of a list of documents.

        Args:
            document: Value that was parsed from JSON.
            line: Line of the file on which the document starts.

        Raises:
            ValueError: The document is not a trace, or a span is invalid. Nothing is added.
        """
        summaries = [summarize(span) for span in parse_spans(document)]
        for summary in summaries:
            self._spans.append(summary)
            self._lines.setdefault((summary.trace_id, summary.id), line)

    def runs(self) -> Iterator[TracedRun]:
        """Yield the runs of all traces, in the order of the file."""
        ignored: list[SpanSummary] = []
        for trace_id, spans in group_by_trace(self._spans).items():
            found = find_runs(spans, is_final=True)
            ignored += found.ignored
            first_line = self._lines[trace_id, spans[0].id]
            for run in found.runs:
                yield TracedRun(
                    self._lines.get((trace_id, run.span_id), first_line),
                    Record(run.agent_id, run.task_id, run_arguments(run), run.reported_at),
                    f"trace {trace_id}, span {run.span_id}",
                    run.agent_fallback,
                )
        self.ignored = explain(ignored)
