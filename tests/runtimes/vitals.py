"""What a process holds, seen from inside of it: the programs of these tests import this. Linux only."""

import contextlib
import gc
import os
import sys
import time


def connections() -> frozenset[str]:
    """The TCP sockets that are open; what it gives stays the same for as long as a connection is kept."""
    with open("/proc/self/net/tcp") as table:
        tcp = {f"socket:[{line.split()[9]}]" for line in list(table)[1:]}
    return frozenset(tcp.intersection(_descriptors()))


def descriptors() -> int:
    """How many file descriptors are open."""
    return len(_descriptors())


def threads() -> int:
    """How many threads there are beside this one, those included that Python does not know: when they have had the time
    to end, as a thread that was joined may still have its last step to do."""
    deadline = time.monotonic() + 5
    while (count := len(os.listdir("/proc/self/task")) - 1) and time.monotonic() < deadline:
        time.sleep(0.01)
    return count


def objects() -> int:
    """How many pieces of memory Python's objects take: unlike bytes, the same for the same work."""
    gc.collect()
    return sys.getallocatedblocks()


def resident() -> int:
    """KiB of memory, that of C libraries included."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_024


def _descriptors() -> list[str]:
    links = []
    for number in os.listdir("/proc/self/fd"):
        # The descriptor of the listing itself is gone by now.
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return links
