"""Public names of the SDK: exports, signatures, documentation and version."""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

import xpander_sdk
from xpander_sdk import Backend, Task, Tasks, TasksListItem

ROOT = Path(__file__).parents[2]

DOCUMENTED_NAMES = "Task Tasks Backend Tokens Configuration TasksListItem AgentExecutionStatus ModuleException"
REPORT = {
    "id": None, "input": None, "llm_response": None, "tokens": None, "is_success": True, "result": None, "duration": 0,
}  # fmt: skip
TASK_REPORT = {"configuration": None, "agent_id": None, **REPORT, "used_tools": []}
BACKEND_REPORT = {"agent_id": None, "agent": None, **REPORT, "used_tools": None, "configuration": None}
REQUIRED = inspect.Parameter.empty


def parameters(function) -> dict[str, object]:
    """Return the default of each parameter, REQUIRED for those without one."""
    values = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in values if parameter.name != "self"}


def test_documented_names_are_exported():
    assert set(DOCUMENTED_NAMES.split()) <= set(xpander_sdk.__all__)


def test_exported_names_are_unique_and_exist():
    assert len(set(xpander_sdk.__all__)) == len(xpander_sdk.__all__)
    assert all(hasattr(xpander_sdk, name) for name in xpander_sdk.__all__)


@pytest.mark.parametrize(
    ("function", "documented"),
    [
        (Task.report_external_task, TASK_REPORT),
        (Backend.report_external_task, BACKEND_REPORT),
        (Task.load, {"task_id": REQUIRED, "configuration": None}),
        (Backend, {"configuration": None}),
        (Tasks, {"configuration": None}),
        (Tasks.list, {"agent_id": REQUIRED, "filters": None, "limit": None}),
        (Tasks.list_user_tasks, {"user_id": REQUIRED, "filters": None, "limit": None}),
        (Tasks.get, {"task_id": REQUIRED}),
        (Tasks.iterate, {"agent_id": REQUIRED, "filters": None}),
        (TasksListItem.load, {"configuration": None}),
        (Backend.metrics, {"agent_id": None, "since": None, "until": None}),
        (xpander_sdk.ModuleException, {"status_code": REQUIRED, "description": REQUIRED}),
    ],
)
def test_signature_starts_with_documented_arguments(function, documented):
    assert list(parameters(function).items())[: len(documented)] == list(documented.items())


@pytest.mark.parametrize("owner", [Task, Backend, Tasks, TasksListItem])
def test_asynchronous_form_has_arguments_of_synchronous_form(owner):
    names = [name for name, _ in inspect.getmembers(owner, callable) if not name.startswith("_")]
    pairs = [(f"a{name}", name) for name in names if f"a{name}" in names]
    assert pairs
    for asynchronous, synchronous in pairs:
        assert parameters(getattr(owner, asynchronous)) == parameters(getattr(owner, synchronous))


def test_version_is_the_same_in_metadata_and_changelog():
    newest = re.search(r"^## \[?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == xpander_sdk.__version__
    assert importlib.metadata.version("xpander-report") == xpander_sdk.__version__, "run `make setup` again"


def test_every_public_name_has_docstring():
    undocumented = []
    for name in xpander_sdk.__all__:
        value = getattr(xpander_sdk, name)
        if not inspect.isclass(value):
            continue
        if not inspect.getdoc(value):
            undocumented.append(name)
        for method, function in inspect.getmembers(value, inspect.isroutine):
            own = method in vars(value) and not method.startswith("_")
            if own and not function.__doc__ and not hasattr(value, method.removeprefix("a")):
                undocumented.append(f"{name}.{method}")
    assert undocumented == []


def test_only_transport_package_imports_httpx():
    importers = set()
    for path in (ROOT / "facade" / "xpander_sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in ("httpx", "httpcore") for name in names):
                importers.add(path.parent.name)
    assert importers == {"transport"}
