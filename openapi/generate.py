"""Generate the package generated/xpander_api from task-report.yaml, or compare it with the checked-in package.

python openapi/generate.py            generate the package
python openapi/generate.py --check    list the files that differ, and exit with 1 if any does; change no file
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CONTRACT = HERE / "task-report.yaml"
CHECKED_IN = HERE.parent / "generated" / "xpander_api"
NOT_GENERATED = "traces"
"""Tag of the operations that are not in the generated package: exporters of OpenTelemetry call them."""


def generate(package: Path) -> None:
    """Generate the package in the directory `package`.

    The directory must not exist: the generator does not remove stale files.
    """
    contract = yaml.safe_load(CONTRACT.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as directory:
        generated_part = Path(directory, "generated-part.json")
        generated_part.write_text(json.dumps(without_tag(contract, NOT_GENERATED)), "utf-8")
        subprocess.run(
            [
                sys.executable, "-m", "openapi_python_client", "generate",
                "--path", str(generated_part), "--config", str(HERE / "generator.yaml"),
                "--custom-template-path", str(HERE / "templates"),
                "--meta", "none", "--output-path", str(package), "--fail-on-warning",
            ],
            check=True,
            # The post hooks must find the pinned ruff of the virtual environment, not a ruff of the machine.
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )  # fmt: skip
    (package / "py.typed").touch()
    # The server validates requests against these two files, and serves them.
    shutil.copyfile(CONTRACT, package / "contract.yaml")
    (package / "contract.json").write_text(json.dumps(contract, ensure_ascii=False, indent=1) + "\n", "utf-8")


def without_tag(contract: dict[str, Any], tag: str) -> dict[str, Any]:
    """Return the contract without the operations that have a tag."""
    paths = {
        path: {name: part for name, part in item.items() if not (isinstance(part, dict) and tag in part["tags"])}
        for path, item in contract["paths"].items()
    }
    return {**contract, "paths": {path: item for path, item in paths.items() if item}}


def list_files(package: Path) -> set[str]:
    """Return the paths of all files of a package, relative to it."""
    paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package).as_posix() for path in paths}


def compare(generated: Path, checked_in: Path) -> list[str]:
    """Return one line for each file that differs between two packages."""
    expected, actual = list_files(generated), list_files(checked_in)
    _, changed, unreadable = filecmp.cmpfiles(generated, checked_in, sorted(expected & actual), shallow=False)
    return (
        [f"missing: {name}" for name in sorted(expected - actual)]
        + [f"not generated: {name}" for name in sorted(actual - expected)]
        + [f"differs: {name}" for name in sorted(changed + unreadable)]
    )


def main(arguments: list[str]) -> int:
    """Run the command, and return its exit status."""
    with tempfile.TemporaryDirectory() as directory:
        generated = Path(directory, "xpander_api")
        generate(generated)
        if arguments == ["--check"]:
            differences = compare(generated, CHECKED_IN)
            print("\n".join(differences) if differences else "generated/ matches openapi/.")
            if differences:
                print("\nRun `make generate` and commit the result. Do not edit generated/ by hand.")
            return 1 if differences else 0
        shutil.rmtree(CHECKED_IN, ignore_errors=True)
        shutil.copytree(generated, CHECKED_IN)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
