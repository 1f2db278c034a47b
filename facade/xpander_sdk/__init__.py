"""SDK that records runs of AI agents, executed anywhere, in one task history and one set of metrics.

Example:
    >>> from xpander_sdk import Task, Tokens
    >>> task = Task.report_external_task(agent_id="agent-123", result="done", tokens=Tokens(prompt_tokens=12))
"""

import os
from typing import TYPE_CHECKING, Any

from xpander_sdk import _exit, _lazy
from xpander_sdk.backend import Backend
from xpander_sdk.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    ContractError,
    InvalidReportError,
    ModuleException,
    NotFoundError,
    OutboxError,
    OutboxFullError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TimedOutError,
    TooLargeError,
)
from xpander_sdk.metrics import CostSummary, DurationSummary, Metrics, MetricsPoint, ModelUsage, RunCounts, ToolUse
from xpander_sdk.model_call import ModelCall
from xpander_sdk.receipt import Receipt, ReceiptState
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.runs.run import Run, current_run
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import OutboxSettings
from xpander_sdk.settings.retry import RetryPolicy, Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.task import Task, TaskInput
from xpander_sdk.task_status import AgentExecutionStatus
from xpander_sdk.tasks import Tasks
from xpander_sdk.tasks_list_item import TasksListItem
from xpander_sdk.version import __version__

if TYPE_CHECKING:
    from xpander_sdk.outbox.outbox import Outbox
    from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats


def __getattr__(name: str) -> Any:
    # The outbox needs the HTTP client, which `import xpander_sdk` does not import.
    if name in ("DeadLetter", "Destination", "Outbox", "OutboxStats"):
        return getattr(_lazy.outbox, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _configure_logging(level: str | None) -> None:
    """Write log records from the level in XPANDER_LOG to standard error. They contain no keys and no payloads."""
    if level:
        import logging

        logger = logging.getLogger("xpander_sdk")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(level.upper())


__all__ = [
    "AgentExecutionStatus",
    "AuthenticationError",
    "Backend",
    "Configuration",
    "ConflictError",
    "ConnectionFailedError",
    "ContractError",
    "CostSummary",
    "DeadLetter",
    "Destination",
    "DurationSummary",
    "InvalidReportError",
    "Metrics",
    "MetricsPoint",
    "ModelCall",
    "ModelUsage",
    "ModuleException",
    "NotFoundError",
    "Outbox",
    "OutboxError",
    "OutboxFullError",
    "OutboxSettings",
    "OutboxStats",
    "PermissionDeniedError",
    "RateLimitedError",
    "Receipt",
    "ReceiptState",
    "RetryPolicy",
    "Run",
    "RunCounts",
    "ServerError",
    "Task",
    "TaskInput",
    "Tasks",
    "TasksListItem",
    "TimedOutError",
    "Timeouts",
    "Tokens",
    "TooLargeError",
    "ToolUse",
    "TransportSettings",
    "__version__",
    "current_run",
]

_configure_logging(os.environ.get("XPANDER_LOG"))
_exit.register()
