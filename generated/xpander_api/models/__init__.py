"""Contains all the data models used in inputs/outputs"""

# Each model is imported at its first use: a program uses few of them, and all of them take long to import.
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent_metrics import AgentMetrics
    from .agent_runs import AgentRuns
    from .batch_report import BatchReport
    from .call_tokens import CallTokens
    from .cost_summary import CostSummary
    from .duration_summary import DurationSummary
    from .error import Error
    from .execution_report import ExecutionReport
    from .execution_report_api_calls_made_type_0_item_type_1 import ExecutionReportApiCallsMadeType0ItemType1
    from .execution_tokens import ExecutionTokens
    from .get_agent_metrics_by import GetAgentMetricsBy
    from .get_organization_metrics_by import GetOrganizationMetricsBy
    from .health import Health
    from .list_agent_tasks_order import ListAgentTasksOrder
    from .list_agent_tasks_sort import ListAgentTasksSort
    from .list_tasks_order import ListTasksOrder
    from .list_tasks_sort import ListTasksSort
    from .list_user_tasks_order import ListUserTasksOrder
    from .list_user_tasks_sort import ListUserTasksSort
    from .metadata import Metadata
    from .metrics_point import MetricsPoint
    from .model_call import ModelCall
    from .model_usage import ModelUsage
    from .organization_metrics import OrganizationMetrics
    from .problem import Problem
    from .report_outcome import ReportOutcome
    from .report_outcomes import ReportOutcomes
    from .run_counts import RunCounts
    from .task import Task
    from .task_input import TaskInput
    from .task_list_item import TaskListItem
    from .task_report import TaskReport
    from .task_reports import TaskReports
    from .task_status import TaskStatus
    from .task_user import TaskUser
    from .token_share import TokenShare
    from .token_totals import TokenTotals
    from .tokens import Tokens
    from .tool_use import ToolUse
    from .validation_error import ValidationError

__all__ = (
    "AgentMetrics",
    "AgentRuns",
    "BatchReport",
    "CallTokens",
    "CostSummary",
    "DurationSummary",
    "Error",
    "ExecutionReport",
    "ExecutionReportApiCallsMadeType0ItemType1",
    "ExecutionTokens",
    "GetAgentMetricsBy",
    "GetOrganizationMetricsBy",
    "Health",
    "ListAgentTasksOrder",
    "ListAgentTasksSort",
    "ListTasksOrder",
    "ListTasksSort",
    "ListUserTasksOrder",
    "ListUserTasksSort",
    "Metadata",
    "MetricsPoint",
    "ModelCall",
    "ModelUsage",
    "OrganizationMetrics",
    "Problem",
    "ReportOutcome",
    "ReportOutcomes",
    "RunCounts",
    "Task",
    "TaskInput",
    "TaskListItem",
    "TaskReport",
    "TaskReports",
    "TaskStatus",
    "TaskUser",
    "TokenShare",
    "TokenTotals",
    "Tokens",
    "ToolUse",
    "ValidationError",
)

_MODULES = {
    "AgentMetrics": ".agent_metrics",
    "AgentRuns": ".agent_runs",
    "BatchReport": ".batch_report",
    "CallTokens": ".call_tokens",
    "CostSummary": ".cost_summary",
    "DurationSummary": ".duration_summary",
    "Error": ".error",
    "ExecutionReport": ".execution_report",
    "ExecutionReportApiCallsMadeType0ItemType1": ".execution_report_api_calls_made_type_0_item_type_1",
    "ExecutionTokens": ".execution_tokens",
    "GetAgentMetricsBy": ".get_agent_metrics_by",
    "GetOrganizationMetricsBy": ".get_organization_metrics_by",
    "Health": ".health",
    "ListAgentTasksOrder": ".list_agent_tasks_order",
    "ListAgentTasksSort": ".list_agent_tasks_sort",
    "ListTasksOrder": ".list_tasks_order",
    "ListTasksSort": ".list_tasks_sort",
    "ListUserTasksOrder": ".list_user_tasks_order",
    "ListUserTasksSort": ".list_user_tasks_sort",
    "Metadata": ".metadata",
    "MetricsPoint": ".metrics_point",
    "ModelCall": ".model_call",
    "ModelUsage": ".model_usage",
    "OrganizationMetrics": ".organization_metrics",
    "Problem": ".problem",
    "ReportOutcome": ".report_outcome",
    "ReportOutcomes": ".report_outcomes",
    "RunCounts": ".run_counts",
    "Task": ".task",
    "TaskInput": ".task_input",
    "TaskListItem": ".task_list_item",
    "TaskReport": ".task_report",
    "TaskReports": ".task_reports",
    "TaskStatus": ".task_status",
    "TaskUser": ".task_user",
    "TokenShare": ".token_share",
    "TokenTotals": ".token_totals",
    "Tokens": ".tokens",
    "ToolUse": ".tool_use",
    "ValidationError": ".validation_error",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        model = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
        return model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
