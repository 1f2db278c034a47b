"""Deferred modules: each is imported at its first use, under the import lock.

`import xpander_sdk` imports neither the HTTP client nor the generated client. The public classes (`Backend`, `Task`,
`Tasks`) therefore use these modules as attributes of this one: `_lazy.client.send(…)`. The first access to an attribute
calls `__getattr__`, which imports the module and stores it as a global; later accesses find the global.
"""

from typing import TYPE_CHECKING, Any

from xpander_sdk._fork import import_lock

__all__ = [
    "bulk_reports",
    "client",
    "fields",
    "json_encoder",
    "operations",
    "outbox",
    "read_operations",
    "registry",
    "report",
]

if TYPE_CHECKING:
    from xpander_sdk._runtime import bulk_reports, client, fields, json_encoder, operations, report
    from xpander_sdk.client import read_operations
    from xpander_sdk.outbox import outbox, registry
else:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with import_lock:
            if name in ("outbox", "registry"):
                from xpander_sdk.outbox import outbox, registry

                modules = {"outbox": outbox, "registry": registry}
            elif name == "read_operations":
                from xpander_sdk.client import read_operations

                modules = {"read_operations": read_operations}
            else:
                from xpander_sdk import _runtime

                modules = vars(_runtime)
        globals()[name] = modules[name]
        return modules[name]
