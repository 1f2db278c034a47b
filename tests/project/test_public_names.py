"""What users rely on by name."""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path

import pytest

import xpander_sdk
from xpander_sdk import Backend, Task, Tasks, TasksListItem

ROOT = Path(__file__).parents[2]

NEEDED = "Task Tasks Backend Tokens Configuration TasksListItem AgentExecutionStatus ModuleException"
REPORT = {
    "id": None, "input": None, "llm_response": None, "tokens": None, "is_success": True, "result": None, "duration": 0,
}  # fmt: skip
TASK_REPORT = {"configuration": None, "agent_id": None, **REPORT, "used_tools": []}
BACKEND_REPORT = {"agent_id": None, "agent": None, **REPORT, "used_tools": None, "configuration": None}
REQUIRED = inspect.Parameter.empty


def parameters(function) -> dict[str, object]:
    found = inspect.signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in found if parameter.name != "self"}


def test_the_documented_names_can_be_imported():
    assert set(NEEDED.split()) <= set(xpander_sdk.__all__)


def test_every_public_name_is_there_once_and_sorted_by_kind():
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
def test_arguments_and_defaults_are_those_documented_in_their_order(function, documented):
    found = parameters(function)
    assert list(found.items())[: len(documented)] == list(documented.items())


@pytest.mark.parametrize("owner", [Task, Backend, Tasks, TasksListItem])
def test_every_asynchronous_form_has_the_arguments_of_its_twin(owner):
    names = [name for name, _ in inspect.getmembers(owner, callable) if not name.startswith("_")]
    pairs = [(f"a{name}", name) for name in names if f"a{name}" in names]
    assert pairs
    for asynchronous, synchronous in pairs:
        assert parameters(getattr(owner, asynchronous)) == parameters(getattr(owner, synchronous))


def test_package_metadata_and_changelog_have_the_version_of_the_sdk():
    newest = re.search(r"^## \[?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest
    assert newest[1] == xpander_sdk.__version__
    assert importlib.metadata.version("xpander-report") == xpander_sdk.__version__, "`make setup` installs it anew"


def test_every_public_function_is_explained():
    unexplained = []
    for name in xpander_sdk.__all__:
        value = getattr(xpander_sdk, name)
        if not inspect.isclass(value):
            continue
        if not inspect.getdoc(value):
            unexplained.append(name)
        for method, function in inspect.getmembers(value, inspect.isroutine):
            own = method in vars(value) and not method.startswith("_")
            if own and not function.__doc__ and not hasattr(value, method.removeprefix("a")):
                unexplained.append(f"{name}.{method}")
    assert unexplained == []


def test_httpx_is_imported_by_one_package_of_the_facade_alone():
    importers = set()
    for path in (ROOT / "facade" / "xpander_sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in ("httpx", "httpcore") for name in names):
                importers.add(path.parent.name)
    assert importers == {"transport"}
