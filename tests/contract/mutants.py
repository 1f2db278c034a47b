"""Mutation test of fuzz.py: insert a bug into a copy of the project, one at a time, and check that fuzz.py fails.

It takes minutes and is run by hand: `python tests/contract/mutants.py`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("generated", "facade", "server", "openapi", "tests", "pyproject.toml")
PACKAGE_FOLDERS = ("generated", "facade", "server")


@frozen
class Mutant:
    """Bug that replaces the only occurrence of a text in a file.

    Attributes:
        name: The effect of the bug.
        file: The path of the file.
        old: The text to replace. Empty for a comparison without a bug.
        new: The text with the bug.
    """

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("no bug, for comparison", "server/xpander_server/api/app.py", "", ""),
    Mutant(
        "a lost update",
        "server/xpander_server/store/commit.py",
        "for key in sorted(before) if after[key] is not before[key]]",
        "for key in sorted(before) if False]",
    ),
    Mutant(
        "metrics count an updated task twice",
        "server/xpander_server/store/commit.py",
        "delta(before, after)",
        "delta(None, after)",
    ),
    Mutant(
        "a new task is not found (404)",
        "server/xpander_server/api/handlers.py",
        "if task is None:",
        "if task is None or task.created_at == task.updated_at:",
    ),
    Mutant(
        "a rare request fails (500)",
        "server/xpander_server/api/handlers.py",
        "        task = await self._writer.report(submission)\n",
        "        task = await self._writer.report(submission)\n        assert (task.duration or 0) <= 1000\n",
    ),
    Mutant(
        "an id is accepted for another agent",
        "server/xpander_server/domain/task.py",
        "if stored is not None and stored.agent_id != agent_id:",
        "if False:",
    ),
    Mutant(
        "a late report overwrites newer values",
        "server/xpander_server/domain/task.py",
        "if reported_at >= before.get(name, 0)",
        "if True",
    ),
    Mutant(
        "a page skips a task",
        "server/xpander_server/store/task_query.py",
        "return Page(listed, cursor_after(listed[-1]))",
        "return Page(listed[:-1], cursor_after(listed[-1]))",
    ),
    Mutant(
        "the last new task of a batch is lost",
        "server/xpander_server/store/commit.py",
        "        _INSERT.execute(connection, [_to_row(after[key]) for key in sorted(after)])",
        "        _INSERT.execute(connection, [_to_row(after[key]) for key in sorted(after)[: len(after) - 1 or 1]])",
    ),
    Mutant(
        "metrics count the second task of a batch twice",
        "server/xpander_server/store/commit.py",
        "    update_pairs(connection, changed)\n",
        "    update_pairs(connection, changed)\n    changed += changed[1:2]\n",
    ),
    Mutant(
        "reports of a batch belong to the agent of the first one",
        "server/xpander_server/api/handlers.py",
        "_batch_submission(request.organization_id, report, now)",
        "_batch_submission(request.organization_id, {**report, 'agent_id': next("
        "other['agent_id'] for other in reports if not isinstance(other, HTTPError))}, now)",
    ),
    Mutant(
        "the outcomes of a batch have the wrong order",
        "server/xpander_server/api/handlers.py",
        "for result in results]",
        "for result in results[::-1]]",
    ),
    Mutant(
        "a percentile is too low",
        "server/xpander_server/domain/metrics.py",
        "* percent // 100)",
        "* percent // 100) - 1",
    ),
)


def main() -> int:
    """Test every mutant, and return the number of mutants with an unexpected result."""
    unexpected = []
    for mutant in MUTANTS:
        with tempfile.TemporaryDirectory() as folder:
            process = run_fuzz(Path(folder), mutant)
        results = process.stdout.splitlines()[-4:-1]  # one line for each part of fuzz.py
        outcome = "failed" if process.returncode else "passed"
        print(f"{mutant.name}: {outcome} ({'; '.join(results)})", flush=True)
        if bool(process.returncode) != bool(mutant.old):
            unexpected.append(mutant.name)
            print(process.stdout, process.stderr)
    print(f"unexpected: {', '.join(unexpected) or 'none'}")
    return len(unexpected)


def run_fuzz(folder: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """Copy the project to a folder, insert the bug, and run fuzz.py there."""
    environment = copy_with_bug(folder, mutant)
    command = [sys.executable, str(folder / "tests" / "contract" / "fuzz.py"), "--max-examples", "100"]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


def copy_with_bug(folder: Path, mutant: Mutant) -> dict[str, str]:
    """Copy the project to a folder, insert the bug, and return the environment of programs that import the copy."""
    for name in COPIED:
        source, copy = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8")
    assert not mutant.old or text.count(mutant.old) == 1, f"{mutant.file} has changed: {mutant.old!r}"
    path.write_text(text.replace(mutant.old, mutant.new) if mutant.old else text, encoding="utf-8")
    python_path = os.pathsep.join(str(folder / name) for name in PACKAGE_FOLDERS)
    environment = {**os.environ, "PYTHONPATH": python_path}
    program = (
        "import xpander_api as a, xpander_sdk as b, xpander_server as c; print(a.__file__, b.__file__, c.__file__)"
    )
    imported = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert imported.count(str(folder)) == len(PACKAGE_FOLDERS), (
        f"packages outside of the copy were imported: {imported}"
    )
    return environment


if __name__ == "__main__":
    sys.exit(main())
