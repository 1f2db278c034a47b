"""Real runs as real input: each is reported, and reads back as it was."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from xpander_sdk import Backend, Tasks

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


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real runs is not beside this checkout")
def test_every_real_run_is_reported_and_reads_back_equal(target, agent_id):
    backend = Backend(target)
    reports = {f"{agent_id}/{run['run']}": report_of(run) for run in runs()}
    assert len(reports) == 833
    for run_id, report in reports.items():
        backend.report_external_task(agent_id=agent_id, **{**report, "id": run_id})
    listed = Tasks(target).list(agent_id)
    assert [item.id for item in reversed(listed)] == list(reports)
    for run_id, report in reports.items():
        task = Tasks(target).get(run_id)
        assert json.dumps(task.llm_response) == json.dumps(report["llm_response"])
        assert task.input.text == report["input"]
        assert task.status == ("completed" if report["is_success"] else "failed")
        assert task.used_tools == report["used_tools"]
    metrics = backend.metrics(agent_id)
    assert metrics.runs.total == 833
    assert metrics.runs.failed == sum(not report["is_success"] for report in reports.values())
    assert metrics.tokens.prompt_tokens == sum(report["tokens"]["prompt_tokens"] for report in reports.values())
    assert sum(use.calls for use in metrics.tools.values()) == sum(len(r["used_tools"]) for r in reports.values())
