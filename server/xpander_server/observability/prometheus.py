"""Prometheus metrics and access log of the server process.

| metric | type | labels |
|---|---|---|
| `xpander_requests_total` | counter | `operation`, `status` |
| `xpander_request_seconds` | histogram | `operation` |
| `xpander_commits_total`, `xpander_reports_committed_total` | counter | |
| `xpander_reports_waiting` | gauge | |
| `xpander_spans_total`, `xpander_spans_refused_total` | counter | |
| `xpander_store_failures_total` | counter | |

`worker_metrics` has these metrics for several processes that answer as one server.
"""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

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

    Attributes:
        registry: Registry of the metrics.
        writer_metrics: The metrics of the group commits.
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
        self.writer_metrics = _writer_metrics(writer)
        if span_writer is not None:
            self.writer_metrics += _span_metrics(span_writer)
        self.registry.register(_WriterCollector(self.writer_metrics))
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


class WriterMetric(NamedTuple):
    """Metric that a group commit counts itself."""

    name: str
    help: str
    read: Callable[[], int]
    """Function that returns the present value."""
    is_gauge: bool = False


def _writer_metrics(writer: Writer) -> list[WriterMetric]:
    return [
        WriterMetric("xpander_reports_waiting", "Reports queued for their commit.", lambda: writer.queue_size, True),
        WriterMetric("xpander_commits", "Transactions with reports.", lambda: writer.commit_count),
        WriterMetric("xpander_reports_committed", "Reports in those transactions.", lambda: writer.report_count),
    ]


def _span_metrics(writer: SpanWriter) -> list[WriterMetric]:
    return [
        WriterMetric("xpander_spans", "Spans received and stored.", lambda: writer.span_count),
        WriterMetric(
            "xpander_spans_refused",
            "Spans received and refused; exporters do not notice.",
            lambda: writer.refused_count,
        ),
    ]


class _WriterCollector(Collector):
    """Collector of the metrics of the group commits."""

    def __init__(self, metrics: list[WriterMetric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics:
            family = GaugeMetricFamily if metric.is_gauge else CounterMetricFamily
            yield family(metric.name, metric.help, metric.read())


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
