"""The other form of a report: what the official SDK's `report_metrics` sends, as a report of ours."""

from collections.abc import Mapping
from typing import Any

from xpander_server.contract import Report

_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
_OUTCOMES = {"completed": True, "failed": False, "error": False, "stopped": False}


def report_from_execution(execution: Mapping[str, Any]) -> Report:
    """The report that says what an `ExecutionReport` of the contract does. What that one does not know is null."""
    tools = [call for call in execution.get("api_calls_made") or [] if isinstance(call, str)]
    return {
        "id": execution["execution_id"],
        "input": execution.get("task") or None,
        "tokens": _tokens(execution.get("llm_tokens") or {}),
        "is_success": _OUTCOMES.get(execution.get("status") or ""),
        "result": execution.get("result") or None,
        "duration": execution.get("duration") or None,
        "used_tools": tools or None,
    }


def _tokens(by_user: Mapping[str, Any]) -> dict[str, int | None] | None:
    parts = [by_user.get(name) or {} for name in ("inner", "worker")]
    added: dict[str, int | None] = {kind: sum(max(0, int(part.get(kind) or 0)) for part in parts) for kind in _KINDS}
    return added if any(added.values()) else None
