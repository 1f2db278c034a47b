"""What every subject does that records runs in the background: `python SUBJECT MODE COUNT PORT VARIANT DISTRIBUTION…`.

The modes: `submit` measures the calls, `deliver` those and the delivery; `leave` records, and ends when its input ends,
unless it is killed before; `return` is the program that is started next: it records one more run, and waits until the
backend has everything. It prints JSON. What it imports counts into the first record.
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
LATER = 99_999_999  # the run of the program that is started next


class Recorder(NamedTuple):
    """A client as its users call it.

    Attributes:
        record: hands over one finished run, by its mark.
        flush: waits until the backend has what was recorded, so many seconds at the most.
    """

    record: Callable[[str], object]
    flush: Callable[[float], object]


def main(connect: Callable[[str, str], Recorder]) -> None:
    """`connect` takes the URL of the backend and the variant that is to be measured."""
    mode, count, port, variant, *distributions = sys.argv[1:]
    keep_to_loopback()
    os.environ.pop("OTEL_SDK_DISABLED", None)  # which would turn langfuse off
    client = connect(f"http://127.0.0.1:{port}", variant)
    if mode in ("submit", "deliver"):
        measured = _measured(client, int(count), is_delivered=mode == "deliver")
        from importlib.metadata import version

        versions = {name: version(name) for name in distributions}
        print(json.dumps({"measured": measured, "versions": versions}), flush=True)
        os._exit(0)  # how long its end takes is another question
    elif mode == "leave":
        for number in range(int(count)):
            client.record(workload.MARK.format(number))
        print("recorded", flush=True)
        sys.stdin.read()
    else:
        client.record(workload.MARK.format(LATER))
        client.flush(FLUSH_SECONDS)


def _measured(client: Recorder, count: int, *, is_delivered: bool) -> dict[str, float]:
    client.record(workload.MARK.format(0))
    measured = {"first_at": time.monotonic()}
    for number in range(1, WARM_UP):
        client.record(workload.MARK.format(number))
    marks = [workload.MARK.format(number) for number in range(WARM_UP, WARM_UP + count)]
    taken = []
    clock, begun, cpu = time.perf_counter_ns, time.monotonic(), time.process_time()
    for mark in marks:
        before = clock()
        client.record(mark)
        taken.append((clock() - before) / 1_000)
    if is_delivered:
        client.flush(FLUSH_SECONDS)
    measured["rate"] = count / (time.monotonic() - begun)
    measured["cpu"] = (time.process_time() - cpu) / count * 1_000
    taken.sort()
    return {**measured, "median": taken[count // 2], "p99": taken[count * 99 // 100]}
