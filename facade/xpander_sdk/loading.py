"""The imports that a first call needs, and that `import xpander_sdk` leaves out: they take longer than all the rest.

All at once, under one lock, which a fork takes too: a child that is forked while another thread is in the middle of an
import would wait for ever for that thread, which it does not have.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

lock = threading.RLock()
# By name: this module stands below those that it loads.
MODELS = ("xpander_api.models", "xpander_sdk.report")
ALL = (
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
    "opentelemetry.trace",  # where it is installed
)
OUTBOX = ("xpander_sdk.outbox.processes",)
_done: set[tuple[str, ...]] = set()


AtFork = Callable[[], None]
_at_fork: list[tuple[AtFork, AtFork, AtFork]] = []
_forking: list[tuple[AtFork, AtFork, AtFork]] = []


def at_fork(before: AtFork, after_in_parent: AtFork, after_in_child: AtFork) -> None:
    """`os.register_at_fork` for modules that are imported late: all three are called of a fork, or none of them, also
    where another thread imports the module while this one forks. They are called under the lock."""
    with lock:
        _at_fork.append((before, after_in_parent, after_in_child))


def _before_fork() -> None:
    lock.acquire()
    _forking[:] = _at_fork
    for before, _, _ in _forking:
        before()


def _after_fork_in_parent() -> None:
    for _, after, _ in _forking:
        after()
    lock.release()


def _after_fork_in_child() -> None:
    for _, _, after in _forking:
        after()
    lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def load() -> None:
    """Import the generated client and what carries requests, once."""
    _load(ALL)


def load_models() -> None:
    """Import what a report is made of, once."""
    _load(MODELS)


def _load(names: tuple[str, ...]) -> None:
    if names not in _done:
        with lock:
            for name in names:
                with suppress(*_optional(name)):
                    import_module(name)
            _done.add(names)


def _optional(name: str) -> tuple[type[ImportError], ...]:
    return (ImportError,) if name.startswith("opentelemetry") else ()


class Deferred:
    """A module of this package that the first call imports, with all of its group."""

    def __init__(self, name: str, group: tuple[str, ...] = ALL) -> None:
        self._name = f"xpander_sdk.{name}"
        self._group = group

    def __getattr__(self, name: str) -> Any:
        _load(self._group)
        return getattr(sys.modules[self._name], name)
