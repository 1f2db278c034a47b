"""Documents: their code runs, their links and make targets exist, and the reference is complete."""

import doctest
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import xpander_sdk

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
TUTORIAL = ROOT / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A block that needs an agent framework names it: "```python langchain". `make integrations` runs it.
FRAMEWORK_FENCE = re.compile(r"^```python ([\w-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADAPTERS = "xpander_sdk.integrations."
FRAMEWORKS = [
    path.stem.removeprefix("integrations-")
    for path in ROOT.glob("requirements/integrations-*.txt")
    if not path.stem.endswith("-oldest")
]

RUN_CODE = ROOT / "tests" / "support" / "run_code.py"


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def python_blocks(path: Path) -> dict[int, str]:
    """Return the Python blocks of a document by their number among all blocks, except those that need a framework."""
    blocks = enumerate(FENCE.findall(FRAMEWORK_FENCE.sub("", text_of(path))), start=1)
    return {number: code for number, (language, code) in blocks if language == "python"}


@pytest.fixture(scope="module")
def code_runner() -> Iterator[subprocess.Popen[str]]:
    """Process that runs each block in a fork of itself; the import of all modules takes longer than most blocks."""
    command = [sys.executable, "-P", "-W", "error", str(RUN_CODE), "fork"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=f"{path.relative_to(ROOT)}-{number}")
        for path in DOCUMENTS
        if path != TUTORIAL
        for number, code in python_blocks(path).items()
    ],
)
def test_every_python_block_runs(code, code_runner, tmp_path):
    run_block(code, code_runner, tmp_path)


def test_python_blocks_of_the_tutorial_run_one_after_another(code_runner, tmp_path):
    for code in python_blocks(TUTORIAL).values():
        run_block(code, code_runner, tmp_path)


def run_block(code: str, code_runner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    folder, output = tmp_path / "folder", tmp_path / "output"
    folder.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "XPANDER_BASE_URL": f"sqlite:///{folder}/runs.db",
        "XPANDER_AGENT_ID": "agent-of-the-documents",
    }
    request = {"code": code, "folder": str(folder), "environment": environment, "output": str(output), "timeout": 60}
    print(json.dumps(request), file=code_runner.stdin, flush=True)
    assert code_runner.stdout.readline() == "0\n", output.read_text()


def test_blocks_that_are_run_elsewhere_name_a_framework_with_an_environment():
    named = {name for path in DOCUMENTS for name, _ in FRAMEWORK_FENCE.findall(text_of(path))}
    assert named == set(FRAMEWORKS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(path):
    text = FENCE.sub("", path.read_text("utf-8"))
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_make_targets_exist(path):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text("utf-8"), re.MULTILINE))
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in targets if not re.search(rf"^{target}\s", listed, re.MULTILINE)] == []


def test_each_recorded_framework_has_a_row_that_states_what_to_add_and_what_is_recorded():
    text = text_of(ROOT / "docs" / "opentelemetry.md")
    table = text.partition("| framework | add | recorded | not recorded |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert all(len(row) == 4 and all(row) for row in rows), [row for row in rows if len(row) != 4 or not all(row)]
    recordings = {path.stem.partition("-o")[0] for path in (ROOT / "tests" / "data" / "spans").glob("*.json")}
    recordings = {name.removesuffix("-content").removesuffix("-langsmith") for name in recordings}
    names = "".join(row[0] for row in rows).lower().replace(" ", "-")
    assert not {name for name in {*recordings, *FRAMEWORKS} if name not in names}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_versions_that_an_adapter_is_tested_with_are_stated(name):
    text = text_of(ROOT / "docs" / "integrations.md")
    newest, oldest = (
        dict(line.split("==") for line in text_of(path).splitlines() if "==" in line)
        for path in (ROOT / "requirements" / f"integrations-{name}{suffix}.txt" for suffix in ("", "-oldest"))
    )
    assert f"{name} {newest[name]} and {oldest[name]}" in text


def test_reference_documents_every_public_name():
    reference = (ROOT / "docs" / "reference" / "sdk.md").read_text("utf-8")
    documented = set(re.findall(r"^\.\. auto\w+:: xpander_sdk\.(\w+)$", reference, re.MULTILINE))
    assert documented == set(xpander_sdk.__all__) - {"__version__"}


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for module in pkgutil.walk_packages(xpander_sdk.__path__, "xpander_sdk.")
        # `make integrations` runs the examples of the modules that import a framework.
        if ".cli" not in module.name and module.name.removeprefix(ADAPTERS).replace("_", "-") not in FRAMEWORKS
    ],
)
def test_examples_of_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XPANDER_BASE_URL", "sqlite:///runs.db")
    monkeypatch.setenv("XPANDER_OUTBOX", "outbox.db")
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_no_file_contains_path_of_a_machine():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    if tracked == [""]:
        pytest.skip("not a git checkout")
    machine_paths = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")
    files = [name for name in tracked if name and machine_paths.search(_text(ROOT / name))]
    assert files == []


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""
