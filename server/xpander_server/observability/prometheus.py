"""Prometheus metrics and access log of the server process.

| metric | type | labels |
|---|---|---|
| `xpander_requests_total` | counter | `operation`, `status` |
| `xpander_request_seconds` | histogram | `operation` |
| `xpander_commits_total`, `xpander_reports_committed_total` | counter | |
| `xpander_reports_waiting` | gauge | |
| `xpander_spans_total`, `xpander_spans_refused_total` | counter | |
| `xpander_store_failures_total` | counter | |
"""

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.types import Scope

from xpander_server.http.dispatcher import RequestState
from xpander_server.observability.logging import with_fields
from xpander_server.store import SpanWriter, Writer

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnects before the response

_log = logging.getLogger("xpander_server.access")


class RequestMetrics:
    """Observer of requests that counts and logs them. It has no access to keys, queries and bodies.

    Args:
        writer: Group commit, whose counters are exported too.
        span_writer: Group commit of spans, whose counters are exported too.
    """

    def __init__(self, writer: Writer, span_writer: SpanWriter | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "xpander_requests", "Requests answered.", ["operation", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "xpander_request_seconds",
            "Seconds from the head of a request to its response.",
            ["operation"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._store_failures = Counter(
            "xpander_store_failures", "Requests that failed because the store was unavailable.", registry=self.registry
        )
        self.registry.register(_WriterCollector(writer))
        if span_writer is not None:
            self.registry.register(_SpanCollector(span_writer))
        # Counter.labels() is slower than the increment, so its results are kept.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def __call__(self, scope: Scope, state: RequestState, seconds: float) -> None:
        """Count and log one request."""
        status = state.status or _CLIENT_CLOSED_REQUEST
        counter = self._counters.get((state.operation, status))
        if counter is None:
            counter = self._requests.labels(state.operation, str(status))
            self._counters[state.operation, status] = counter
        counter.inc()
        histogram = self._histograms.get(state.operation)
        if histogram is None:
            histogram = self._histograms[state.operation] = self._seconds.labels(state.operation)
        histogram.observe(seconds)
        if state.has_store_failed:
            self._store_failures.inc()
        if _log.isEnabledFor(logging.INFO):
            _log_request(scope, state, status, seconds)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _WriterCollector(Collector):
    """Collector of the group commit's counters."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        writer = self._writer
        yield GaugeMetricFamily("xpander_reports_waiting", "Reports queued for their commit.", writer.queue_size)
        yield CounterMetricFamily("xpander_commits", "Transactions with reports.", writer.commit_count)
        yield CounterMetricFamily("xpander_reports_committed", "Reports in those transactions.", writer.report_count)


class _SpanCollector(Collector):
    """Collector of the counters of spans."""

    def __init__(self, writer: SpanWriter) -> None:
        self._writer = writer

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("xpander_spans", "Spans received and stored.", self._writer.span_count)
        yield CounterMetricFamily(
            "xpander_spans_refused", "Spans received and refused; exporters do not notice.", self._writer.refused_count
        )


def _log_request(scope: Scope, state: RequestState, status: int, seconds: float) -> None:
    # Without the query: filters can contain personal data.
    path = scope["raw_path"].decode("latin-1")
    fields = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "milliseconds": round(seconds * 1_000, 3),
        "operation": state.operation,
        "organization_id": state.organization_id,
        "key": state.key_name,
        "client": scope["client"][0] if scope["client"] else "",
    }
    _log.info("%s %s %d", scope["method"], path, status, extra=with_fields(fields))
