"""Conversion of `ExecutionReport`, which the official SDK's `report_metrics` sends, to a `TaskReport`."""

from collections.abc import Mapping
from typing import Any

from xpander_server.contract import Report

_TOKEN_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
_IS_SUCCESS_BY_STATUS = {"completed": True, "failed": False, "error": False, "stopped": False}


def report_from_execution(execution: Mapping[str, Any]) -> Report:
    """Return the report that is equivalent to an `ExecutionReport`.

    The official SDK fills unknown values with defaults: an empty text, 0 or no tokens. These become null, so that they
    do not replace values of earlier reports.

    Example:
        >>> report = report_from_execution({"execution_id": "run-1", "status": "completed", "duration": 0.0})
        >>> report["is_success"], report["duration"]
        (True, None)
    """
    tools = [call for call in execution.get("api_calls_made") or [] if isinstance(call, str)]
    return {
        "id": execution["execution_id"],
        "input": execution.get("task") or None,
        "tokens": _sum_tokens(execution.get("llm_tokens") or {}),
        "is_success": _IS_SUCCESS_BY_STATUS.get(execution.get("status") or ""),
        "result": execution.get("result") or None,
        "duration": execution.get("duration") or None,
        "used_tools": tools or None,
    }


def _sum_tokens(llm_tokens: Mapping[str, Any]) -> dict[str, int | None] | None:
    """Return the sum of the tokens of the agent (`inner`) and of its worker; None if all are 0."""
    parts = [llm_tokens.get(name) or {} for name in ("inner", "worker")]
    tokens: dict[str, int | None] = {
        kind: sum(max(0, int(part.get(kind) or 0)) for part in parts) for kind in _TOKEN_KINDS
    }
    return tokens if any(tokens.values()) else None
