"""Monotonic clock that runs while a test freezes time.

freezegun replaces `time.monotonic` by a function that always returns the same value, so a wait that measures its
deadline with it never ends. `time.clock_gettime` is not replaced.
"""

import time

if hasattr(time, "clock_gettime"):

    def monotonic() -> float:
        """Return the seconds of a clock that never goes back."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:  # Windows

    def monotonic() -> float:
        """Return the seconds of a clock that never goes back."""
        return time.monotonic()
