"""The imports that a first call needs, and that `import xpander_sdk` leaves out: they take longer than all the rest.

All at once, under one lock, which a fork takes too: a child that is forked while another thread is in the middle of an
import would wait for ever for that thread, which it does not have.
"""

import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

lock = threading.RLock()
_is_done = False
# By name: this module stands below those that it loads.
_MODULES = (
    "anyio",
    "encodings.idna",  # which Python imports to look up its first host
    "sniffio",
    "xpander_api.api.metrics.get_agent_metrics",
    "xpander_api.api.tasks.get_task",
    "xpander_api.api.tasks.list_agent_tasks",
    "xpander_api.api.tasks.list_user_tasks",
    "xpander_api.api.tasks.report_task",
    "xpander_sdk.connection",
    "xpander_sdk.transport.lanes",
)


def load() -> None:
    """Import the generated client and what carries requests, once."""
    global _is_done
    if not _is_done:
        with lock:
            for name in _MODULES:
                import_module(name)
            with suppress(ImportError):
                import_module("opentelemetry.trace")  # where it is installed
            _is_done = True


class Deferred:
    """A module of this package that the first call imports, with the others."""

    def __init__(self, name: str) -> None:
        self._name = f"xpander_sdk.{name}"

    def __getattr__(self, name: str) -> Any:
        load()
        return getattr(sys.modules[self._name], name)
