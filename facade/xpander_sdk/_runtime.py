"""Modules that the first call needs, imported together.

Together they take longer to import than the rest of the package, so `import xpander_sdk` does not import them. `_lazy`
imports this module once, under the import lock, at the first use of any of its names:

    import xpander_sdk              no httpx, no generated client
    Task.report_external_task(…)    _lazy.report → import _runtime → all modules below
    second call                     _lazy.report is an ordinary attribute now
"""

import encodings.idna  # noqa: F401  # Python imports it for the first name lookup

import anyio  # noqa: F401  # used by the modules below, and by transports
import sniffio  # noqa: F401  # the same

# `xpander_api.models` imports a model at its first use, and its methods import the models of its properties. All that a
# report uses is imported here instead, under the import lock.
from xpander_api.models import BatchReport, Metadata, ModelCall, TaskReport, TaskReports, Tokens  # noqa: F401
from xpander_sdk.client import bulk_reports, client, operations
from xpander_sdk.reporting import fields, json_encoder, report

__all__ = ["bulk_reports", "client", "fields", "json_encoder", "operations", "report"]
