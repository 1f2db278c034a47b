"""Resources of the current process: connections, file descriptors, threads and memory. Linux only."""

import contextlib
import gc
import os
import sys
import time


def connections() -> frozenset[str]:
    """Return an identifier of each open TCP socket, which stays the same until the socket is closed."""
    with open("/proc/self/net/tcp") as table:
        tcp_sockets = {f"socket:[{line.split()[9]}]" for line in list(table)[1:]}
    return frozenset(tcp_sockets.intersection(_descriptor_targets()))


def connection_count() -> int:
    return len(connections())


def descriptor_count() -> int:
    """Return the number of open file descriptors."""
    return len(_descriptor_targets())


def has_open_file(name: str) -> bool:
    """Return whether a file descriptor is open for a file with this name."""
    return any(target.endswith(f"/{name}") for target in _descriptor_targets())


def thread_count() -> int:
    """Return the number of threads besides this one, including threads that Python does not know.

    A thread that was joined may take a short time to end, so this function waits up to 5 s for the others to end.
    """
    deadline = time.monotonic() + 5
    while (count := len(os.listdir("/proc/self/task")) - 1) and time.monotonic() < deadline:
        time.sleep(0.01)
    return count


def object_count() -> int:
    """Return the number of memory blocks of Python objects; unlike bytes, it is the same for the same work."""
    gc.collect()
    return sys.getallocatedblocks()


def resident_kib() -> int:
    """Return the resident memory in KiB, including that of C libraries."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_024


def _descriptor_targets() -> list[str]:
    targets = []
    for number in os.listdir("/proc/self/fd"):
        # The descriptor of the listing itself is closed by now.
        with contextlib.suppress(FileNotFoundError):
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
    return targets
