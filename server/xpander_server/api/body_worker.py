"""Processes that decode and validate bodies with many values.

The server starts a process when it needs one and none is idle. Both sides exchange pickled values through pipes:

    server  → worker   (name of the operation, EncodedBody)
    server  ←  worker   decoded body, or (status, detail) of a rejection

A worker ends when it has been idle for `IDLE_SECONDS`, and when the pipe is closed because the server has ended. The
server ends it if a body takes longer than `MAX_SECONDS`. Its priority is lower than that of the server.
"""

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any

from xpander_server.api.request_body import EncodedBody
from xpander_server.contract import operations
from xpander_server.http.errors import HTTPError

MAX_SECONDS = 20.0
"""Time in which a worker must start and decode a body."""
IDLE_SECONDS = 60.0
"""Time after which an idle worker ends."""
_NICENESS = 10
_LENGTH = struct.Struct("!I")


class BodyWorkers:
    """Processes that decode bodies: as many as threads call `read` at the same time.

    Args:
        idle_seconds: Time after which an idle worker ends.

    Attributes:
        max_seconds: Time in which a worker must start and decode a body.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self.max_seconds = MAX_SECONDS
        self._idle_seconds = idle_seconds
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def process_ids(self) -> list[int]:
        """The ids of the processes."""
        with self._lock:
            return [worker.process_id for worker in self._all]

    def read(self, operation_name: str, body: EncodedBody) -> Any:
        """Return the decoded and validated body.

        Raises:
            HTTPError: The body is invalid; 503 if the worker has ended or takes too long.
        """
        # An idle worker may end at the moment at which it is used. A new one is used then.
        for _ in range(2):
            worker = self._take()
            try:
                result = worker.call((operation_name, body), self.max_seconds)
            except (OSError, EOFError):
                is_new = worker.is_new
                self._discard(worker)
                if is_new:
                    break
                continue
            except BaseException:
                self._discard(worker)
                raise
            self._give_back(worker)
            if isinstance(result, tuple):
                raise HTTPError(*result)
            return result
        raise HTTPError(503, "The body could not be decoded in time.", {"Retry-After": "1"})

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._is_closed = True
            workers = list(self._all)
        for worker in workers:
            self._discard(worker)

    def _take(self) -> "_Worker":
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._is_closed:
                raise HTTPError(503, "The server stops.", {"Retry-After": "1"})
            worker = _Worker(self._idle_seconds)
            self._all.add(worker)
            return worker

    def _give_back(self, worker: "_Worker") -> None:
        with self._lock:
            self._idle.append(worker)

    def _discard(self, worker: "_Worker") -> None:
        with self._lock:
            self._all.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
        worker.end()


class _Worker:
    """One process.

    Attributes:
        is_new: Whether the process has not answered yet.
        process_id: Id of the process.
    """

    def __init__(self, idle_seconds: float) -> None:
        self.is_new = True
        # -P: the current folder, in which anybody may have put modules, is not searched for modules.
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command
            [sys.executable, "-P", "-m", __name__, str(idle_seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.process_id = self._process.pid

    def call(self, request: object, max_seconds: float) -> Any:
        """Send a request, and return the response.

        Raises:
            EOFError, OSError: The process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(max_seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            _write(self._process.stdin, request)
            response = _read(self._process.stdout)
        finally:
            timer.cancel()
        self.is_new = False
        return response

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        with suppress(OSError):  # the rest of a request cannot be written
            self._process.communicate()


def _write(stream: IO[bytes], value: object) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _read(stream: IO[bytes]) -> Any:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(length)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 - from the other end of a pipe between processes of this server


def _main(idle_seconds: float) -> None:
    """Decode the bodies that arrive at the standard input, until it is closed or idle for too long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles it, and ends this process
    if sys.platform != "win32":
        os.nice(_NICENESS)
    stdin, stdout = os.fdopen(0, "rb"), os.fdopen(1, "wb")
    while True:
        idle_timer = threading.Timer(idle_seconds, os._exit, (0,))
        idle_timer.daemon = True
        idle_timer.start()
        stdin.peek(1)  # waits for the first byte
        idle_timer.cancel()
        try:
            name, body = _read(stdin)
        except EOFError:
            return
        result: object
        try:
            result = operations()[name].read_body(body.decode())
        except HTTPError as error:
            result = (error.status, error.detail)
        _write(stdout, result)


if __name__ == "__main__":
    _main(float(sys.argv[1]))
