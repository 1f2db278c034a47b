"""Entry point of a worker process, which `supervisor` starts: `python -m xpander_server.worker`.

Its standard input is a socket to the parent. See `supervisor`.
"""

import os
import pickle
import signal
import socket
import sys
import threading
import time

from xpander_server.observability.logging import configure_logging
from xpander_server.server_process import ServerSettings, WorkerIdentity, run_server
from xpander_server.store import Store, StoreError
from xpander_server.supervisor import LENGTH, READY, STOP_SECONDS, remove_shared_folder


def main() -> None:
    """Answer requests until a signal, or until the parent has ended."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # processes that this one starts must not keep the socket open
    os.close(null)
    (length,) = LENGTH.unpack(_receive(control, LENGTH.size))
    settings: ServerSettings
    worker: WorkerIdentity
    settings, worker, listener_fd = pickle.loads(_receive(control, length))  # noqa: S301 - from the parent
    configure_logging(settings.log_format, settings.log_level, worker.number)
    threading.Thread(target=_end_with_parent, args=(control, worker), name="end with parent", daemon=True).start()
    listener = socket.socket(fileno=listener_fd)
    os.set_inheritable(listener_fd, False)
    try:
        store = Store(settings.store_url)
    except StoreError as error:
        sys.exit(f"error: {error}")
    run_server(settings, store, listener, worker=worker, on_started=lambda: control.sendall(READY))
    if os.getppid() != _PARENT:
        remove_shared_folder(worker.folder)


_PARENT = os.getppid()


def _receive(control: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            sys.exit("error: the parent has ended")
        data += part
    return data


def _end_with_parent(control: socket.socket, worker: WorkerIdentity) -> None:
    """Wait until the parent has ended, and then stop this process as a signal would, or abruptly after a while."""
    while control.recv(64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    remove_shared_folder(worker.folder)
    os._exit(1)


if __name__ == "__main__":
    main()
