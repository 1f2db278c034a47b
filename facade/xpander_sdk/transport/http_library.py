"""Import of httpcore, also in a program that eventlet or gevent has patched."""

import sys
from typing import Any, cast

try:
    import httpcore
except ImportError:
    raise
except Exception:
    # httpcore imports trio where it is installed. trio cannot be imported in a program that eventlet or gevent has
    # patched: it uses functions of the standard library that they remove. Such a program cannot run trio either, and
    # httpcore needs it only there.
    cast(dict[str, Any], sys.modules)["trio"] = None
    try:
        import httpcore
    finally:
        del sys.modules["trio"]

__all__ = ["httpcore"]
