"""Deferred modules: each is imported at its first use, under the import lock.

`import xpander_sdk` imports neither the HTTP client nor the generated client. The modules that users call
(`backend`, `task`, `tasks`) reach them as `_lazy.client`, `_lazy.operations` and so on.
"""

from typing import TYPE_CHECKING, Any

from xpander_sdk._fork import import_lock

__all__ = ["client", "json_encoder", "operations", "outbox", "registry", "report"]

if TYPE_CHECKING:
    from xpander_sdk._runtime import client, json_encoder, operations, report
    from xpander_sdk.outbox import outbox, registry
else:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with import_lock:
            if name in ("outbox", "registry"):
                from xpander_sdk.outbox import outbox, registry

                modules = {"outbox": outbox, "registry": registry}
            else:
                from xpander_sdk import _runtime

                modules = vars(_runtime)
        globals()[name] = modules[name]
        return modules[name]
