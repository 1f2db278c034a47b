"""End of the program: the outboxes deliver, also what other processes have left.

The exit handler is registered when the package is imported, so it runs after the exit handlers of the program, and
after multiprocessing has waited for its children. The outboxes of this process deliver then. A process looks for
reports of other processes only if it may be the one that should deliver them:

    It has an outbox in a configuration, or in XPANDER_OUTBOX    reports that an earlier run of the program has left
    It has had child processes                                   reports of children that were killed, as
                                                                 `multiprocessing.Pool` does at the end of its block

A program that submitted nothing and whose outbox is empty pays for one look at the file, see `may_have_pending`.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from xpander_sdk import _fork, _lazy
from xpander_sdk.errors import OutboxError
from xpander_sdk.settings.configuration import Configuration, live_configurations
from xpander_sdk.settings.outbox import OutboxSettings

_state = {"is_enabled": True}


def register() -> None:
    """Deliver at the end of this process and of its forked children, unless they skip `atexit`."""
    atexit.register(_deliver)


def disable() -> None:
    """Do not look for reports of other processes: a command that shows the outbox must not change it."""
    _state["is_enabled"] = False


def _deliver() -> None:
    leftovers = list(_configurations_with_leftovers()) if _state["is_enabled"] else []
    if leftovers or "xpander_sdk.outbox.registry" in sys.modules:
        _lazy.registry.finish(leftovers)


def _configurations_with_leftovers() -> Iterator[Configuration]:
    has_had_children = _fork.has_forked() or not sys.modules.keys().isdisjoint(
        ("multiprocessing.popen_fork", "multiprocessing.popen_spawn_win32")
    )
    configurations = list(live_configurations.values())
    if has_had_children or "XPANDER_OUTBOX" in os.environ:
        with suppress(ValueError):  # A variable of the environment is invalid.
            configurations.append(Configuration())
    results: dict[str, bool] = {}
    for configuration in configurations:
        settings = configuration.outbox
        if settings is None and has_had_children:
            settings = OutboxSettings()
        if settings is None or settings.worker != "thread":
            continue
        try:
            path = settings.path
        except OutboxError:  # There is no home directory.
            continue
        if path not in results:
            results[path] = _may_have_pending(path)
        if results[path]:
            yield configuration


def _may_have_pending(path: str) -> bool:
    if not os.path.exists(path):
        return False
    from xpander_sdk.outbox.storage.peek import may_have_pending  # imported here because it imports sqlite3

    return may_have_pending(path)
