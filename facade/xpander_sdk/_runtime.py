"""Modules that the first call needs.

`import xpander_sdk` leaves them out because they take longer to import than everything else together. This module
imports them eagerly; `_lazy` imports this module once, under the
import lock.
"""

import encodings.idna  # noqa: F401  # Python imports it to resolve the first host name
from contextlib import suppress

import anyio  # noqa: F401
import sniffio  # noqa: F401

from xpander_sdk.client import client, operations
from xpander_sdk.reporting import json_encoder, report
from xpander_sdk.transport import http  # noqa: F401

with suppress(ImportError):  # optional
    import opentelemetry.trace  # noqa: F401

__all__ = ["client", "json_encoder", "operations", "report"]
