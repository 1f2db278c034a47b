"""Does fuzz.py find bugs? Plant some in a copy of the tree, one at a time, and see it go red. Run by hand: minutes."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("generated", "facade", "server", "openapi", "tests", "pyproject.toml")
SOURCES = ("generated", "facade", "server")


@frozen
class Mutant:
    """`old`, which is there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("nothing, for comparison", "server/xpander_server/api/app.py", "", ""),
    Mutant(
        "a lost update",
        "server/xpander_server/store/commit.py",
        "[_row(after[key]) for key in written if key in stored]",
        "[_row(after[key]) for key in written if key in stored and False]",
    ),
    Mutant(
        "an update counts twice",
        "server/xpander_server/store/commit.py",
        "delta(before, after)",
        "delta(None, after)",
    ),
    Mutant(
        "404 after creation",
        "server/xpander_server/api/handlers.py",
        "if task is None:",
        "if task is None or task.created_at == task.updated_at:",
    ),
    Mutant(
        "500 in a rare case",
        "server/xpander_server/api/handlers.py",
        "return json_response(serializers.task(await self._commit(submission)))",
        "task = await self._commit(submission)\n"
        "        assert (task.duration or 0) <= 1000\n        return json_response(serializers.task(task))",
    ),
    Mutant(
        "an id changes hands",
        "server/xpander_server/domain/task.py",
        "if stored is not None and stored.agent_id != agent_id:",
        "if False:",
    ),
    Mutant(
        "a late report wins",
        "server/xpander_server/domain/task.py",
        "if reported_at >= before.get(name, 0)",
        "if True",
    ),
    Mutant(
        "a page skips a task",
        "server/xpander_server/store/task_query.py",
        "_cursor(shown[-1].created_at, shown[-1].id)",
        "_cursor(found[-1].created_at, found[-1].id)",
    ),
    Mutant(
        "a percentile too low", "server/xpander_server/domain/metrics.py", "* percent // 100)", "* percent // 100) - 1"
    ),
)


def main() -> int:
    missed = []
    for mutant in MUTANTS:
        with tempfile.TemporaryDirectory() as folder:
            fuzzed = _fuzz(Path(folder), mutant)
        told = fuzzed.stdout.splitlines()[-4:-1]  # what each part of it found
        print(f"{mutant.name}: {'red' if fuzzed.returncode else 'green'} ({'; '.join(told)})", flush=True)
        if bool(fuzzed.returncode) != bool(mutant.old):
            missed.append(mutant.name)
            print(fuzzed.stdout, fuzzed.stderr)
    print(f"not as expected: {', '.join(missed) or 'none'}")
    return len(missed)


def _fuzz(tree: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    for part in PARTS:
        source, copy = ROOT / part, tree / part
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8")
    assert not mutant.old or text.count(mutant.old) == 1, f"{mutant.file} has changed: {mutant.old!r}"
    path.write_text(text.replace(mutant.old, mutant.new) if mutant.old else text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / source) for source in SOURCES)}
    probe = "import xpander_api as a, xpander_sdk as b, xpander_server as c; print(a.__file__, b.__file__, c.__file__)"
    found = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.count(str(tree)) == len(SOURCES), f"the copies are not what is imported: {found.stdout}"
    command = [sys.executable, str(tree / "tests" / "contract" / "fuzz.py"), "--max-examples", "100"]
    return subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
