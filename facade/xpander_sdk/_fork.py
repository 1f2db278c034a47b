"""Import lock, and hooks that run around a fork.

One lock guards the deferred imports and all process-wide caches. The process also holds it while it forks:

    thread A                       thread B
    holds import_lock, imports
                                   os.fork(): before hooks wait for import_lock
    releases import_lock
                                   fork; parent and child each release their copy of the lock

Without it, a child could inherit a lock that a thread of the parent holds. That thread does not exist in the child, so
the lock would never be released.
"""

import os
import threading
from collections.abc import Callable

import_lock = threading.RLock()

ForkHook = Callable[[], None]
_hooks: list[tuple[ForkHook, ForkHook, ForkHook]] = []
_active: list[tuple[ForkHook, ForkHook, ForkHook]] = []  # the hooks of the fork in progress
_forks: list[None] = []  # one element after the first fork of this process


def register_at_fork(before: ForkHook, after_in_parent: ForkHook, after_in_child: ForkHook) -> None:
    """Register three hooks that run around each fork while `import_lock` is held.

    For each fork, either all three run or none. `os.register_at_fork` does not guarantee that for hooks that another
    thread registers during the fork.
    """
    with import_lock:
        _hooks.append((before, after_in_parent, after_in_child))


def has_forked() -> bool:
    """Return whether this process has forked since the package was imported."""
    return bool(_forks)


def _before_fork() -> None:
    import_lock.acquire()
    _active[:] = _hooks
    for before, _, _ in _active:
        before()


def _after_fork_in_parent() -> None:
    _forks[:] = [None]
    for _, after, _ in _active:
        after()
    import_lock.release()


def _after_fork_in_child() -> None:
    _forks.clear()
    for _, _, after in _active:
        after()
    import_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
