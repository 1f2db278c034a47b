"""Corpus of real agent runs, and the report that a user would send for each run.

`python -m support.corpus [DAYS]`, run in `tests/`, prints one report per line as `xpander-report import` reads them.
Each provider's runs belong to one agent. With DAYS, the runs are spread evenly over the last DAYS days.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "agent-runs.jsonl.gz"


def load_runs() -> list[dict[str, Any]]:
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def report_for_run(run: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `report_external_task` for a run of the corpus."""
    last_step = run["steps"][-1]
    return {
        "id": run["run"],
        "input": _last_user_text(last_step["request"] or {}),
        "llm_response": [step["response"] for step in run["steps"]],
        "tokens": _tokens(last_step["response"]),
        "is_success": all(step["http_status"] < 400 for step in run["steps"]),
        "duration": 0.1 * len(run["steps"]),
        "used_tools": [name for step in run["steps"] for name in _tool_names(step["response"])],
    }


def _last_user_text(request: dict[str, Any]) -> str | None:
    texts = [text for text in _values_of_key(request, "text") if isinstance(text, str)]
    texts += [text for text in _values_of_key(request, "content") if isinstance(text, str)]
    return texts[-1] if texts else None


def _values_of_key(node: Any, key: str) -> list[Any]:
    """Return the values of a key at every depth of a JSON value."""
    if isinstance(node, list):
        return [value for child in node for value in _values_of_key(child, key)]
    if isinstance(node, dict):
        own = [node[key]] if key in node else []
        return own + [value for child in node.values() for value in _values_of_key(child, key)]
    return []


def _tokens(response: Any) -> dict[str, int]:
    usage = (response.get("usage") or response.get("usageMetadata") or {}) if isinstance(response, dict) else {}

    def first_count(*names: str) -> int:
        return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)

    return {
        "prompt_tokens": first_count("prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount"),
        "completion_tokens": first_count("completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount"),
    }


def _tool_names(response: Any) -> list[str]:
    calls = [call for key in ("function", "functionCall", "toolUse") for call in _values_of_key(response, key)]
    return [call["name"] for call in calls if isinstance(call, dict) and isinstance(call.get("name"), str)]


def report_lines(days: float | None) -> Iterator[str]:
    """Yield each run's report as a line of JSON.

    Args:
        days: number of days before now over which the runs are spread; None leaves out their times.
    """
    runs, now = load_runs(), datetime.now(UTC)
    for number, run in enumerate(runs):
        report = {"agent_id": f"{run['steps'][0]['provider']}-agent", **report_for_run(run)}
        if days is not None:
            ended_at = now - timedelta(days=days) * (1 - (number + 1) / len(runs))
            report |= {"created_at": ended_at.isoformat(), "finished_at": ended_at.isoformat()}
        yield json.dumps(report)


if __name__ == "__main__":
    for line in report_lines(float(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(line)
