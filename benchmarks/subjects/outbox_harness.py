"""Modes of the programs of the outbox benchmark: `python SUBJECT MODE COUNT PORT VARIANT DISTRIBUTION…`.

- `submit` measures the calls.
- `deliver` measures the calls and the delivery.
- `leave` records runs, and ends when its standard input ends, unless it is killed before.
- `return` is the next program after `leave`: it records one more run, and waits for the delivery of all runs.

The first two print JSON. Imports add to the time of the first call.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import workload
from interop.loopback import keep_to_loopback

WARM_UP = 50
FLUSH_SECONDS = 60.0
LAST_NUMBER = 99_999_999  # number of the run of mode `return`


class Recorder(NamedTuple):
    """Client of a product, as its users call it.

    Attributes:
        record: Records one finished run with this mark.
        flush: Waits for the delivery of all runs, for at most this many seconds.
    """

    record: Callable[[str], object]
    flush: Callable[[float], object]


def main(connect: Callable[[str, str], Recorder]) -> None:
    """Run the mode that the arguments of the program select.

    Args:
        connect: Returns a client for the URL of a backend, and a variant of the settings.
    """
    mode, count, port, variant, *distributions = sys.argv[1:]
    keep_to_loopback()
    os.environ.pop("OTEL_SDK_DISABLED", None)  # it would disable langfuse
    client = connect(f"http://127.0.0.1:{port}", variant)
    if mode in ("submit", "deliver"):
        measured = _measured(client, int(count), is_delivered=mode == "deliver")
        from importlib.metadata import version

        versions = {name: version(name) for name in distributions}
        print(json.dumps({"measured": measured, "versions": versions}), flush=True)
        os._exit(0)  # without the normal end, whose duration mode `leave` measures
    elif mode == "leave":
        for number in range(int(count)):
            client.record(workload.MARK.format(number))
        print("recorded", flush=True)
        sys.stdin.read()
    else:
        client.record(workload.MARK.format(LAST_NUMBER))
        client.flush(FLUSH_SECONDS)


def _measured(client: Recorder, count: int, *, is_delivered: bool) -> dict[str, float]:
    client.record(workload.MARK.format(0))
    measured = {"first_at": time.monotonic()}
    for number in range(1, WARM_UP):
        client.record(workload.MARK.format(number))
    marks = [workload.MARK.format(number) for number in range(WARM_UP, WARM_UP + count)]
    times = []
    clock, started, cpu = time.perf_counter_ns, time.monotonic(), time.process_time()
    for mark in marks:
        before = clock()
        client.record(mark)
        times.append((clock() - before) / 1_000)
    if is_delivered:
        client.flush(FLUSH_SECONDS)
    measured["rate"] = count / (time.monotonic() - started)
    measured["cpu"] = (time.process_time() - cpu) / count * 1_000
    times.sort()
    return {**measured, "median": times[count // 2], "p99": times[count * 99 // 100]}
