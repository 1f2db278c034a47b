"""Import lock and fork hooks.

One lock guards every import that the first call makes, and every process-wide cache. A fork takes it too: a child that
is forked while another thread holds an import lock would wait forever for a thread that it does not have.
"""

import os
import threading
from collections.abc import Callable

import_lock = threading.RLock()

ForkHook = Callable[[], None]
_hooks: list[tuple[ForkHook, ForkHook, ForkHook]] = []
_running: list[tuple[ForkHook, ForkHook, ForkHook]] = []


def register_at_fork(before: ForkHook, after_in_parent: ForkHook, after_in_child: ForkHook) -> None:
    """Register three hooks that run around each fork, all three or none of them.

    `os.register_at_fork` does not promise that for a module that another thread imports during the fork. All hooks run
    while `import_lock` is held.
    """
    with import_lock:
        _hooks.append((before, after_in_parent, after_in_child))


def _before_fork() -> None:
    import_lock.acquire()
    _running[:] = _hooks
    for before, _, _ in _running:
        before()


def _after_fork_in_parent() -> None:
    for _, after, _ in _running:
        after()
    import_lock.release()


def _after_fork_in_child() -> None:
    for _, _, after in _running:
        after()
    import_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
