"""Jupyter, whose cells run within a running event loop."""

import json

from runtimes.processes import run
from xpander_sdk import Task


def test_both_forms_report_from_cells_of_notebook(target, tmp_path, monkeypatch):
    # The notebook must not use kernels or settings of the user who runs the tests.
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    program = run(target, "notebook", str(tmp_path), development_mode=False)
    assert program.code == 0, program.err
    assert json.loads(program.out.splitlines()[-1]) == ["sync", "async", "sync again", "async"]
    assert Task.load(f"{target.agent_id}-sync", target.configuration).result == "sync again"
    assert Task.load(f"{target.agent_id}-async", target.configuration).result == "async"
