"""Program that reports in a function registered with `atexit`.

The argument is "before import" or "after import": the time at which the program registers its function. Functions of
`atexit` run in reverse order, so the clean-up of the SDK runs before the report or after it.
"""

import atexit
import json
import sys
import time


def report_and_print_time() -> None:
    Task.report_external_task()
    print(json.dumps(time.monotonic()), flush=True)


if sys.argv[1] == "before import":
    atexit.register(report_and_print_time)

from xpander_sdk import Task  # noqa: E402

Task.report_external_task()
if sys.argv[1] == "after import":
    atexit.register(report_and_print_time)
