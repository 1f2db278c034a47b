"""Supervision of the worker processes that answer as one server.

The parent binds the address, starts the workers, and replaces each that ends; it answers no request itself. States of a
worker:

    starting ──ready──► ready ──────────────────┐
       │                                        │ its process ends
       └── its process ends, or is too slow ────┴──► waiting ──delay──► starting

The delay is zero for a worker that had been ready for `STABLE_SECONDS`, and grows up to `MAX_DELAY` for one that ends
again and again. New connections of a worker that has ended wait in its queue, which the parent keeps open; if the next
process does not start either, the parent closes the queue, so that the kernel gives new connections to other workers.

Each worker has a pair of sockets to the parent, as its standard input. The parent sends the settings, the worker sends
one byte when it is ready, and either side learns the other one's end by the end of the stream. So a worker ends by
itself when the parent has been killed. Workers have process groups of their own: a Ctrl-C at the terminal reaches the
parent, which passes it on, so that a worker does not see it twice.
"""

import logging
import os
import pickle
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from attrs import define, field

from xpander_server.auth.shared_buckets import BucketTable
from xpander_server.http.bind import DIVIDES_CONNECTIONS, listen_beside
from xpander_server.observability.worker_metrics import note_process
from xpander_server.server_process import BUCKETS_FILE, ServerSettings, WorkerIdentity

if sys.platform != "win32":
    import fcntl

START_SECONDS = 120.0
"""Time in which a worker must be ready."""
STOP_SECONDS = 25.0
"""Time in which workers end after a signal. They limit it to about 20 seconds themselves."""
STABLE_SECONDS = 10.0
"""Time after which a worker that was ready counts as started successfully."""
FIRST_DELAY = 0.25
MAX_DELAY = 5.0
"""Longest time before a worker is replaced, in seconds."""
MAX_FAILURES = 5
"""Failed starts of each worker after which the server gives up, if none of them is ready."""
LENGTH = struct.Struct("!I")
"""Length of the settings, before them."""
READY = b"r"
"""Message of a worker that answers requests."""
_COMMAND = (sys.executable, "-P", "-m", "xpander_server.worker")

_log = logging.getLogger(__name__)


class WorkersFailed(Exception):
    """The workers could not be started, or not be stopped in time."""


def run_workers(
    settings: ServerSettings,
    listeners: Sequence[socket.socket],
    *,
    on_started: Callable[[], None],
    command: Sequence[str] = _COMMAND,
) -> None:
    """Run a worker for each listening socket until SIGINT or SIGTERM.

    Args:
        settings: Settings of the workers.
        listeners: Listening sockets on one address; this function closes them.
        on_started: Called once all workers answer requests.
        command: Command that runs a worker.

    Raises:
        WorkersFailed: A worker could not be started at first, or none can be any more; or one did not stop in time.
    """
    with _shared_folder() as folder:
        workers = [_Worker(number, len(listeners), folder, listener) for number, listener in enumerate(listeners)]
        _Supervisor(settings, workers, on_started, command).run()


@contextmanager
def _shared_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xpander-report-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        BucketTable.create(folder / BUCKETS_FILE)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            # systemd-tmpfiles, which deletes old files in temporary folders, leaves locked folders alone.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield folder
        finally:
            os.close(descriptor)


@define(eq=False)
class _Worker:
    """Place of one worker, with its present process."""

    number: int
    count: int
    folder: Path
    listener: socket.socket | None
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    is_ready: bool = False
    since: float = 0.0
    """Time of the start, or of the moment from which the worker was ready."""
    failures: int = 0
    """Ends in succession without having been ready for `STABLE_SECONDS`."""
    next_start: float | None = None

    def start(self, settings: ServerSettings, command: Sequence[str]) -> None:
        """Start the process, and send it its settings."""
        assert self.listener is not None
        identity = WorkerIdentity(self.number, self.count, self.folder)
        content = pickle.dumps((settings, identity, self.listener.fileno()))
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - a fixed command
                command, stdin=theirs.fileno(), pass_fds=[self.listener.fileno()], process_group=0
            )
        self.control, self.is_ready, self.since, self.next_start = ours, False, time.monotonic(), None
        note_process(self.folder, self.number, self.process.pid)
        with suppress(OSError):  # the process has ended already, which `_Supervisor` notices
            ours.sendall(LENGTH.pack(len(content)) + content)

    def signal(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)

    def collect(self) -> int:
        """Return the exit status of the process, whose control socket is closed; kill it if it still runs."""
        assert self.process is not None
        assert self.control is not None
        self.control.close()
        try:
            status = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        note_process(self.folder, self.number, None)
        self.process = self.control = None
        return status

    def note_end(self, now: float) -> None:
        """Count the end of the process, and determine the time of the next start."""
        if self.is_ready and now - self.since >= STABLE_SECONDS:
            self.failures = 0
        delay = 0.0 if self.failures == 0 else min(MAX_DELAY, FIRST_DELAY * 2.0 ** (self.failures - 1))
        self.failures += 1
        self.is_ready, self.next_start = False, now + delay

    def close_listener(self) -> None:
        """Close the parent's copy of the listening socket."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None


@define(eq=False)
class _Supervisor:
    """Loop that waits for signals, for messages of workers, and for the time of the next start."""

    settings: ServerSettings
    workers: list[_Worker]
    on_started: Callable[[], None]
    command: Sequence[str]
    _selector: selectors.BaseSelector = field(factory=selectors.DefaultSelector, init=False)
    _signals: list[int] = field(factory=list, init=False)
    _is_started: bool = field(default=False, init=False)

    def run(self) -> None:
        """Run the workers until a signal. See `run_workers`."""
        with self._signals_as_events():
            try:
                for worker in self.workers:
                    self._start(worker)
                while not self._signals:
                    self._step()
                self._stop(self._signals)
            finally:
                self._kill_all()
                self._selector.close()

    @contextmanager
    def _signals_as_events(self) -> Iterator[None]:
        """Collect SIGINT and SIGTERM in `_signals`; each ends the wait of the selector."""
        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            self._selector.register(reader, selectors.EVENT_READ)

            def note(number: int, frame: FrameType | None) -> None:
                self._signals.append(number)

            previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(previous_fd)

    def _step(self) -> None:
        now = time.monotonic()
        for worker in self.workers:
            if worker.next_start is not None and worker.next_start <= now:
                self._start(worker)
            elif worker.process is not None and not worker.is_ready and now - worker.since > START_SECONDS:
                _log.error("worker %d was not ready within %.0f seconds: killed", worker.number, START_SECONDS)
                worker.signal(signal.SIGKILL)
        for worker in self._wait(self._next_event(now) - now):
            self._note_end(worker)

    def _next_event(self, now: float) -> float:
        times = [now + START_SECONDS]
        for worker in self.workers:
            if worker.next_start is not None:
                times.append(worker.next_start)
            elif worker.process is not None and not worker.is_ready:
                times.append(worker.since + START_SECONDS + 0.1)
        return min(times)

    def _wait(self, seconds: float) -> list[_Worker]:
        """Wait for events, note which workers are ready, and return those that have ended."""
        ended = []
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.data is None:
                with suppress(BlockingIOError):
                    key.fileobj.recv(64)  # type: ignore[union-attr]  # a socket; `_signals` has the signals
                continue
            worker: _Worker = key.data
            assert worker.control is not None
            try:
                message = worker.control.recv(64)
            except OSError:
                message = b""
            if message:
                worker.is_ready, worker.since = True, time.monotonic()
                self._note_ready()
            else:
                self._selector.unregister(worker.control)
                ended.append(worker)
        return ended

    def _start(self, worker: _Worker) -> None:
        try:
            if worker.listener is None:
                worker.listener = listen_beside(next(other.listener for other in self.workers if other.listener))
            worker.start(self.settings, self.command)
        except OSError as error:
            _log.error("worker %d could not be started: %s", worker.number, error)
            self._count_failure(worker)
            return
        assert worker.control is not None
        self._selector.register(worker.control, selectors.EVENT_READ, worker)

    def _note_ready(self) -> None:
        if not self._is_started and all(worker.is_ready for worker in self.workers):
            self._is_started = True
            self.on_started()

    def _note_end(self, worker: _Worker) -> None:
        was_ready = worker.is_ready
        status = worker.collect()
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        _log.warning("worker %d has ended with %s", worker.number, reason)
        if not was_ready:
            has_other = any(other.listener is not None for other in self.workers if other is not worker)
            if DIVIDES_CONNECTIONS and has_other:
                worker.close_listener()
        self._count_failure(worker, reason)

    def _count_failure(self, worker: _Worker, reason: str = "an error of the system") -> None:
        worker.note_end(time.monotonic())
        if not self._is_started:
            raise WorkersFailed(f"worker {worker.number} did not start: its process ended with {reason}")
        if all(not other.is_ready and other.failures >= MAX_FAILURES for other in self.workers):
            raise WorkersFailed(f"no worker starts any more: the last one ended with {reason}")

    def _stop(self, signals: list[int]) -> None:
        """Pass signals on to the workers, and wait until they have ended."""
        for worker in self.workers:
            worker.close_listener()
        deadline = time.monotonic() + STOP_SECONDS
        while any(worker.process is not None for worker in self.workers):
            # A second SIGINT is passed on too: workers then do not wait for requests any more.
            while signals:
                number = signals.pop(0)
                for worker in self.workers:
                    worker.signal(number)
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise WorkersFailed(f"workers did not stop within {STOP_SECONDS:.0f} seconds, and were killed")
            for worker in self._wait(remaining):
                worker.collect()

    def _kill_all(self) -> None:
        for worker in self.workers:
            worker.close_listener()
            if worker.process is not None:
                worker.signal(signal.SIGKILL)
                worker.collect()


def remove_shared_folder(folder: Path) -> None:
    """Remove the shared folder in place of a parent that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
