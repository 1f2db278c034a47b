"""Measure how a full outbox is drained: `python outbox_drain.py COUNT URL KEY`. Prints JSON."""

import json
import os
import sys
import time

from benchmarks import workload
from benchmarks.subjects import outbox_ours

SECONDS = 100.0


def main() -> None:
    count, url, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    backend, record = outbox_ours.backend(url, "crash-none", key)
    for number in range(count):
        record(workload.MARK.format(number))
    outbox = backend.outbox
    grown = _size(outbox.path)
    started, cpu = time.monotonic(), time.process_time()
    is_empty = outbox.drain(SECONDS)
    elapsed, cpu = time.monotonic() - started, time.process_time() - cpu
    stats = outbox.stats()
    assert is_empty, stats
    assert stats.delivered == count, stats
    drained = _size(outbox.path)
    outbox.close()
    measured = {
        "rate": count / elapsed,
        "cpu": cpu / count * 1_000,
        "grown": grown / count / 1_000,
        "drained": drained / 1e6,
        "closed": _size(outbox.path) / 1e6,
    }
    print(json.dumps({"measured": measured}))


def _size(path: str) -> int:
    """Return the size of the file with its write-ahead log and shared memory."""
    return sum(os.path.getsize(path + suffix) for suffix in ("", "-wal", "-shm") if os.path.exists(path + suffix))


if __name__ == "__main__":
    main()
