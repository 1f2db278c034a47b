"""The corpus of real runs, and what somebody would report of each.

`python -m support.corpus [DAYS]`, in `tests/`, prints them as lines that `xpander-report import` takes: of an agent for
each provider; spread evenly over the last so many days, where a number is given.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "agent-runs.jsonl.gz"


def runs() -> list[dict[str, Any]]:
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def report_of(run: dict[str, Any]) -> dict[str, Any]:
    """What somebody who ran this agent would report."""
    last = run["steps"][-1]
    response = last["response"]
    return {
        "id": run["run"],
        "input": _last_user_text(last["request"] or {}),
        "llm_response": [step["response"] for step in run["steps"]],
        "tokens": _tokens(response),
        "is_success": all(step["http_status"] < 400 for step in run["steps"]),
        "duration": 0.1 * len(run["steps"]),
        "used_tools": [name for step in run["steps"] for name in _tool_names(step["response"])],
    }


def _last_user_text(request: dict[str, Any]) -> str | None:
    texts = [text for text in _walk(request, "text") if isinstance(text, str)]
    texts += [text for text in _walk(request, "content") if isinstance(text, str)]
    return texts[-1] if texts else None


def _walk(node: Any, key: str) -> list[Any]:
    if isinstance(node, list):
        return [found for child in node for found in _walk(child, key)]
    if isinstance(node, dict):
        here = [node[key]] if key in node else []
        return here + [found for child in node.values() for found in _walk(child, key)]
    return []


def _tokens(response: Any) -> dict[str, int]:
    usage = (response.get("usage") or response.get("usageMetadata") or {}) if isinstance(response, dict) else {}

    def first(*names: str) -> int:
        return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)

    return {
        "prompt_tokens": first("prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount"),
        "completion_tokens": first("completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount"),
    }


def _tool_names(response: Any) -> list[str]:
    calls = _walk(response, "function") + _walk(response, "functionCall") + _walk(response, "toolUse")
    return [call["name"] for call in calls if isinstance(call, dict) and isinstance(call.get("name"), str)]


def lines(days: float | None) -> Iterator[str]:
    found, end = runs(), datetime.now(UTC)
    for number, run in enumerate(found):
        report = {"agent_id": f"{run['steps'][0]['provider']}-agent", **report_of(run)}
        if days is not None:
            ended = end - timedelta(days=days) * (1 - (number + 1) / len(found))
            report |= {"created_at": ended.isoformat(), "finished_at": ended.isoformat()}
        yield json.dumps(report)


if __name__ == "__main__":
    for line in lines(float(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(line)
