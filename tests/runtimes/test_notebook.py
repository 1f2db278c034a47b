"""Jupyter, whose cells run within an event loop that is there already."""

from runtimes.programs import run
from xpander_sdk import Task

CELLS = """
[
    "import sys; print(sys.executable)",
    "import os; from xpander_sdk import Task; agent_id = os.environ['XPANDER_AGENT_ID']",
    "print(Task.report_external_task(id=f'{agent_id}-sync', result='sync').result)",
    "task = await Task.areport_external_task(id=f'{agent_id}-async', result='async'); print(task.result)",
    "print(Task.report_external_task(id=f'{agent_id}-sync', result='sync again').result)",
    "task = await Task.aload(f'{agent_id}-async'); print(task.result)",
]
"""

# In a process of its own: nbclient makes an event loop, and what Jupyter warns of is none of ours.
EXECUTE = f"""
import json, os, sys, warnings
warnings.simplefilter("ignore")
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(source) for source in {CELLS.strip()}]
notebook = nbformat.v4.new_notebook(cells=cells)
# Over sockets of files, which are made here: ports would be guessed, and may be taken.
os.chdir(sys.argv[1])
manager = AsyncKernelManager(transport="ipc")
NotebookClient(notebook, km=manager, timeout=60, kernel_name="python3").execute(cwd=os.getcwd())
outputs = [output for cell in notebook.cells for output in cell.outputs]
assert all(output.output_type == "stream" and output.name == "stdout" for output in outputs), outputs
texts = [output.text.strip() for output in outputs]
assert texts.pop(0) == sys.executable
print(json.dumps(texts))
"""


def test_both_forms_report_from_the_cells_of_a_notebook(target, tmp_path, monkeypatch):
    # Neither the kernels nor the settings of who runs this.
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    done = run(target, EXECUTE, str(tmp_path), strict=False)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == '["sync", "async", "sync again", "async"]'
    assert Task.load(f"{target.agent_id}-sync", target.configuration).result == "sync again"
    assert Task.load(f"{target.agent_id}-async", target.configuration).result == "async"
