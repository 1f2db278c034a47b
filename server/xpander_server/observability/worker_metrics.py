"""Prometheus metrics of several processes that answer as one server.

Prometheus reaches one of the processes, whichever the kernel selects, and expects the metrics of all. So each process
keeps its values in files of a folder that all share (the multiprocess mode of prometheus_client), and the one that is
asked adds them up:

    <kind>_<number>.db   values of the worker with this number; the worker that replaces it continues them
    <number>.pid         id of its process, for the metrics of processes, which have the label `worker`
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector, values
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import Scope

from xpander_server.http.dispatcher import RequestState
from xpander_server.observability.prometheus import RequestMetrics, WriterMetric
from xpander_server.store import SpanWriter, Writer

_PID_SUFFIX = ".pid"


def note_process(folder: Path, number: int, process_id: int | None) -> None:
    """Note the process of a worker for the metrics of processes.

    Args:
        folder: The shared folder.
        number: Number of the worker.
        process_id: Id of the process; None if it has ended.
    """
    file = folder / f"{number}{_PID_SUFFIX}"
    if process_id is None:
        file.unlink(missing_ok=True)
    else:
        file.write_text(str(process_id))


class WorkerMetrics(RequestMetrics):
    """Observer of the requests of one worker, whose exposition has the metrics of all workers.

    Create it before any other metric of the process.

    Args:
        writer: Group commit of the worker.
        span_writer: Group commit of spans of the worker.
        folder: The shared folder.
        number: Number of the worker.
    """

    def __init__(self, writer: Writer, span_writer: SpanWriter, folder: Path, number: int) -> None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        # By the number instead of the process id: there are no more files than workers, however often one is replaced.
        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]  # of prometheus_client
        super().__init__(writer, span_writer)
        self._folder = folder
        self._lock = threading.Lock()
        own = CollectorRegistry()
        Counter("xpander_worker_starts", "Starts of workers.", ["worker"], registry=own).labels(str(number)).inc()
        self._published: list[_PublishedCounter] = []
        self._gauges: list[tuple[WriterMetric, Gauge]] = []
        for metric in self.writer_metrics:
            if metric.is_gauge:
                gauge = Gauge(metric.name, metric.help, registry=own, multiprocess_mode="livesum")
                self._gauges.append((metric, gauge))
            else:
                self._published.append(_PublishedCounter(metric, Counter(metric.name, metric.help, registry=own)))
        self.publish()
        self._shared_registry = CollectorRegistry()
        MultiProcessCollector(self._shared_registry, str(folder))  # type: ignore[no-untyped-call]  # of prometheus_client
        self._shared_registry.register(_ProcessesCollector(folder))
        PlatformCollector(registry=self._shared_registry)

    def __call__(self, scope: Scope, state: RequestState, seconds: float) -> None:
        """Count and log one request."""
        super().__call__(scope, state, seconds)
        # Each commit answers requests, so the counters of commits are never behind those of requests.
        self._publish_counters()

    def publish(self) -> None:
        """Write the values of the group commits into the shared files."""
        self._publish_counters()
        for metric, gauge in self._gauges:
            gauge.set(metric.read())

    def _publish_counters(self) -> None:
        with self._lock:
            for counter in self._published:
                counter.publish()

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        self.publish()
        return generate_latest(self._shared_registry)


class _PublishedCounter:
    """Counter that follows the number that a group commit counts."""

    def __init__(self, metric: WriterMetric, counter: Counter) -> None:
        self._read = metric.read
        self._counter = counter
        self._published = 0

    def publish(self) -> None:
        value = self._read()
        if value != self._published:
            self._counter.inc(value - self._published)
            self._published = value


class _ProcessesCollector(Collector):
    """Collector of memory, file descriptors and CPU of each worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for file in sorted(self._folder.glob(f"*{_PID_SUFFIX}")):
            try:
                process_families = list(ProcessCollector(pid=file.read_text, registry=None).collect())
            except FileNotFoundError:  # the process has ended meanwhile
                continue
            for family in process_families:
                known = families.setdefault(family.name, family)
                labels = {"worker": file.stem}
                samples = [sample._replace(labels=labels) for sample in family.samples]
                known.samples = samples if known is family else [*known.samples, *samples]
        yield from families.values()
