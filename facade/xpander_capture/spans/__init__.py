"""Spans of OpenTelemetry to runs of agents: one rule for files, for the server's endpoint and for programs.

span  ──summarize──▶  SpanSummary  ──find_runs, for all known spans of a trace──▶  runs and ignored spans
"""

from xpander_capture.spans.otlp_json import parse_spans, parse_valid_spans
from xpander_capture.spans.runs import Run, TraceRuns, explain, find_runs, group_by_trace
from xpander_capture.spans.span import Event, Span
from xpander_capture.spans.summary import TASK_ID, SpanSummary, from_json, summarize, to_json

__all__ = [
    "TASK_ID",
    "Event",
    "Run",
    "Span",
    "SpanSummary",
    "TraceRuns",
    "explain",
    "find_runs",
    "from_json",
    "group_by_trace",
    "parse_spans",
    "parse_valid_spans",
    "summarize",
    "to_json",
]
