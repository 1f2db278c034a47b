"""Contains all the data models used in inputs/outputs"""

from .agent_metrics import AgentMetrics
from .duration_summary import DurationSummary
from .error import Error
from .health import Health
from .problem import Problem
from .run_counts import RunCounts
from .task import Task
from .task_input import TaskInput
from .task_list_item import TaskListItem
from .task_report import TaskReport
from .task_status import TaskStatus
from .task_user import TaskUser
from .token_totals import TokenTotals
from .tokens import Tokens
from .tool_use import ToolUse
from .validation_error import ValidationError

__all__ = (
    "AgentMetrics",
    "DurationSummary",
    "Error",
    "Health",
    "Problem",
    "RunCounts",
    "Task",
    "TaskInput",
    "TaskListItem",
    "TaskReport",
    "TaskStatus",
    "TaskUser",
    "Tokens",
    "TokenTotals",
    "ToolUse",
    "ValidationError",
)
