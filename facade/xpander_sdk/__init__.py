"""Record an AI agent's run that happened somewhere else, in one task history and one set of metrics.

from xpander_sdk import Task, Tokens

Task.report_external_task(agent_id="agent-123", id="job-1", result="done", tokens=Tokens(prompt_tokens=12))
"""

from xpander_sdk.backend import Backend
from xpander_sdk.configuration import Configuration
from xpander_sdk.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    ContractError,
    InvalidReportError,
    ModuleException,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TimedOutError,
    TooLargeError,
)
from xpander_sdk.metrics import Durations, Metrics, Runs, ToolUse
from xpander_sdk.task import AgentExecutionStatus, Task, TaskInput, TasksListItem
from xpander_sdk.tasks import Tasks
from xpander_sdk.tokens import Tokens

__version__ = "0.1.0"

__all__ = [
    "AgentExecutionStatus",
    "AuthenticationError",
    "Backend",
    "Configuration",
    "ConflictError",
    "ConnectionFailedError",
    "ContractError",
    "Durations",
    "InvalidReportError",
    "Metrics",
    "ModuleException",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "Runs",
    "ServerError",
    "Task",
    "TaskInput",
    "Tasks",
    "TasksListItem",
    "TimedOutError",
    "Tokens",
    "TooLargeError",
    "ToolUse",
    "__version__",
]
