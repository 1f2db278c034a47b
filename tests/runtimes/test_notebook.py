"""Jupyter, whose cells run within a running event loop."""

import json

from runtimes.processes import run
from xpander_sdk import Task


def test_cells_of_notebook_report_and_show_objects(target, tmp_path, monkeypatch):
    # The notebook must not use kernels or settings of the user who runs the tests.
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    program = run(target, "notebook", str(tmp_path), development_mode=False)
    assert program.code == 0, program.err
    outputs = json.loads(program.out.splitlines()[-1])
    assert outputs["printed"] == ["sync", "async", "sync again", "async"]
    assert Task.load(f"{target.agent_id}-sync", target.configuration).result == "sync again"
    assert Task.load(f"{target.agent_id}-async", target.configuration).result == "async"
    task, history, metrics = outputs["shown"]
    assert task["text/plain"].startswith(f"Task(id='{target.agent_id}-shown', agent_id='{target.agent_id}', status=")
    assert len(task["text/plain"]) <= 200
    assert metrics["text/plain"].startswith(f"Metrics(agent_id='{target.agent_id}', runs=RunCounts(total=3, ")
    for output in (task, history):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in output["text/html"]
    for output in outputs["shown"]:
        assert output["text/html"].startswith("<table ")
        assert "<script" not in output["text/html"]
