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
class Plant:
    """`old`, which is there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


PLANTS = (
    Plant("nothing, for comparison", "server/xpander_server/app.py", "", ""),
    Plant(
        "a lost update",
        "server/xpander_server/store/commit.py",
        "[_row(after[key]) for key in written if key in stored]",
        "[_row(after[key]) for key in written if key in stored and False]",
    ),
    Plant(
        "an update counts twice",
        "server/xpander_server/store/commit.py",
        "movement(before, after)",
        "movement(None, after)",
    ),
    Plant(
        "404 after creation",
        "server/xpander_server/app.py",
        "if task is None:",
        "if task is None or task.created_at == task.updated_at:",
    ),
    Plant(
        "500 in a rare case",
        "server/xpander_server/app.py",
        "return as_json(views.task(await self._commit(submission)))",
        "task = await self._commit(submission)\n"
        "        assert (task.duration or 0) <= 1000\n        return as_json(views.task(task))",
    ),
    Plant(
        "an id changes hands",
        "server/xpander_server/tasks.py",
        "if stored is not None and stored.agent_id != agent_id:",
        "if False:",
    ),
    Plant(
        "a late report wins",
        "server/xpander_server/tasks.py",
        "if reported_at >= before.get(name, 0)",
        "if True",
    ),
    Plant(
        "a page skips a task",
        "server/xpander_server/store/history.py",
        "_cursor(shown[-1].created_at, shown[-1].id)",
        "_cursor(found[-1].created_at, found[-1].id)",
    ),
    Plant("a percentile too low", "server/xpander_server/metrics.py", "* percent // 100)", "* percent // 100) - 1"),
)


def main() -> int:
    missed = []
    for plant in PLANTS:
        with tempfile.TemporaryDirectory() as folder:
            fuzzed = _fuzz(Path(folder), plant)
        told = fuzzed.stdout.splitlines()[-4:-1]  # what each part of it found
        print(f"{plant.name}: {'red' if fuzzed.returncode else 'green'} ({'; '.join(told)})", flush=True)
        if bool(fuzzed.returncode) != bool(plant.old):
            missed.append(plant.name)
            print(fuzzed.stdout, fuzzed.stderr)
    print(f"not as expected: {', '.join(missed) or 'none'}")
    return len(missed)


def _fuzz(tree: Path, plant: Plant) -> subprocess.CompletedProcess[str]:
    for part in PARTS:
        source, copy = ROOT / part, tree / part
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    path = tree / plant.file
    text = path.read_text(encoding="utf-8")
    assert not plant.old or text.count(plant.old) == 1, f"{plant.file} has changed: {plant.old!r}"
    path.write_text(text.replace(plant.old, plant.new) if plant.old else text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(tree / source) for source in SOURCES)}
    probe = "import xpander_api as a, xpander_sdk as b, xpander_server as c; print(a.__file__, b.__file__, c.__file__)"
    found = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.count(str(tree)) == len(SOURCES), f"the copies are not what is imported: {found.stdout}"
    command = [sys.executable, str(tree / "tests" / "contract" / "fuzz.py"), "--max-examples", "100"]
    return subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
