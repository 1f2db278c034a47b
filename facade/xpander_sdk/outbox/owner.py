"""Owners of leases: one for each process that delivers.

    4711.4026531836.0f3b…     process id, process id namespace, random part

The leases of a process that has died can be released at once, so that its reports need not wait until the leases
expire. A process id is only meaningful in its namespace: another container on the same volume has other processes.
"""

import os
import sys
import uuid


def new_owner() -> str:
    """Return a new identifier for this process."""
    return f"{os.getpid()}.{_namespace()}.{uuid.uuid4().hex}"


def is_dead(owner: str) -> bool:
    """Return whether the process of an owner has certainly ended.

    False if that is unknown. A zombie and another process with a reused id count as alive: the lease expires then.
    """
    pid, _, rest = owner.partition(".")
    namespace, _, _ = rest.partition(".")
    if not (namespace and namespace == _namespace() and pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return int(pid) > 0
    except (OSError, OverflowError):  # The process belongs to another user, or the number is no process id.
        return False
    return False


def _namespace() -> str:
    """Return the namespace of process ids; "" if it is unknown."""
    if sys.platform == "win32":  # os.kill would end the process there.
        return ""
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "host" if sys.platform == "darwin" else ""
