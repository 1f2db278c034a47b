"""Program that executes a Jupyter notebook whose cells report, and prints the outputs of the cells.

The argument is a folder for the sockets of the kernel.
"""

import json
import os
import sys
import warnings

warnings.simplefilter("ignore")  # Jupyter's packages warn of their own use of asyncio

import nbformat  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402
from nbclient import NotebookClient  # noqa: E402

CELLS = [
    "import sys; print(sys.executable)",
    "import os; from xpander_sdk import Task; agent_id = os.environ['XPANDER_AGENT_ID']",
    "print(Task.report_external_task(id=f'{agent_id}-sync', result='sync').result)",
    "task = await Task.areport_external_task(id=f'{agent_id}-async', result='async'); print(task.result)",
    "print(Task.report_external_task(id=f'{agent_id}-sync', result='sync again').result)",
    "task = await Task.aload(f'{agent_id}-async'); print(task.result)",
]
# Cells that end in an expression, whose value the notebook shows.
SHOWN_CELLS = [
    "Task.report_external_task(id=f'{agent_id}-shown', result='<script>alert(1)</script>', input='$x$ \\ud800')",
    "from xpander_sdk import Tasks; Tasks().list(agent_id)",
    "from xpander_sdk import Backend; Backend().metrics(by='day')",
]


def main(folder: str) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in [*CELLS, *SHOWN_CELLS]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    # Unix sockets in the current folder: jupyter_client chooses TCP ports that may be in use.
    os.chdir(folder)
    manager = AsyncKernelManager(transport="ipc")
    NotebookClient(notebook, km=manager, timeout=60, kernel_name="python3").execute(cwd=os.getcwd())
    printed = [cell.outputs for cell in notebook.cells[: len(CELLS)] if cell.outputs]
    assert all(output.output_type == "stream" and output.name == "stdout" for outputs in printed for output in outputs)
    # A kernel may send the output of one cell in several parts.
    texts = ["".join(output.text for output in outputs).strip() for outputs in printed]
    assert texts.pop(0) == sys.executable, "the kernel runs in another environment"
    shown = [cell.outputs[0].data for cell in notebook.cells[len(CELLS) :]]
    print(json.dumps({"printed": texts, "shown": shown}))


if __name__ == "__main__":
    main(*sys.argv[1:])
