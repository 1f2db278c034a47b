"""Record an AI agent's run that happened somewhere else, in one task history and one set of metrics.

from xpander_sdk import Task, Tokens

Task.report_external_task(agent_id="agent-123", id="job-1", result="done", tokens=Tokens(prompt_tokens=12))
"""

import os

from xpander_sdk.backend import Backend
from xpander_sdk.configuration import Configuration, Transport
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
from xpander_sdk.keeping import Outbox
from xpander_sdk.metrics import Cost, Durations, Metrics, ModelUse, Point, Runs, ToolUse
from xpander_sdk.outbox.receipt import Receipt, ReceiptState
from xpander_sdk.retry import RetryPolicy, Timeouts
from xpander_sdk.task import AgentExecutionStatus, Task, TaskInput, TasksListItem
from xpander_sdk.tasks import Tasks
from xpander_sdk.tokens import Tokens
from xpander_sdk.version import __version__


def _configure_logging(level: str | None) -> None:
    """XPANDER_LOG=debug shows what is sent when, on standard error, without keys and payloads."""
    if level:
        import logging

        log = logging.getLogger("xpander_sdk")
        log.addHandler(logging.StreamHandler())
        log.setLevel(level.upper())


__all__ = [
    "AgentExecutionStatus",
    "AuthenticationError",
    "Backend",
    "Configuration",
    "ConflictError",
    "ConnectionFailedError",
    "ContractError",
    "Cost",
    "Durations",
    "InvalidReportError",
    "Metrics",
    "ModelUse",
    "ModuleException",
    "NotFoundError",
    "Outbox",
    "OutboxError",
    "OutboxFullError",
    "PermissionDeniedError",
    "Point",
    "RateLimitedError",
    "Receipt",
    "ReceiptState",
    "RetryPolicy",
    "Runs",
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
    "Transport",
    "__version__",
]

_configure_logging(os.environ.get("XPANDER_LOG"))
