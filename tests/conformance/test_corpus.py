"""Corpus of real runs: each run is reported, and is read back unchanged."""

import json

import pytest

from support.corpus import CORPUS, load_runs, report_for_run
from xpander_sdk import Backend, Tasks


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of real runs is not available")
def test_every_run_of_corpus_is_read_back_unchanged(target, agent_id):
    backend = Backend(target)
    reports = {f"{agent_id}/{run['run']}": report_for_run(run) for run in load_runs()}
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
