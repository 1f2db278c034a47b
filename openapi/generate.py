"""Build generated/xpander_api from task-report.yaml, or check that what is checked in equals what would be built.

python openapi/generate.py            rebuild
python openapi/generate.py --check    exit 1 and name the files where they differ; change nothing
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
CONTRACT = HERE / "task-report.yaml"
CHECKED_IN = HERE.parent / "generated" / "xpander_api"


def build(package: Path) -> None:
    """Generate the client into `package`, which must not exist yet: the generator leaves stale files behind."""
    subprocess.run(
        [
            sys.executable, "-m", "openapi_python_client", "generate",
            "--path", str(CONTRACT), "--config", str(HERE / "generator.yaml"),
            "--custom-template-path", str(HERE / "templates"),
            "--meta", "none", "--output-path", str(package), "--fail-on-warning",
        ],
        check=True,
        # The hooks must find the pinned ruff, not one of the machine.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    (package / "py.typed").touch()
    # The server validates by these, and serves them as they are.
    shutil.copyfile(CONTRACT, package / "contract.yaml")
    contract = yaml.safe_load(CONTRACT.read_text("utf-8"))
    (package / "contract.json").write_text(json.dumps(contract, ensure_ascii=False, indent=1) + "\n", "utf-8")


def files(package: Path) -> set[str]:
    found = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package).as_posix() for path in found}


def differences(built: Path, checked_in: Path) -> list[str]:
    ours, theirs = files(built), files(checked_in)
    _, changed, unreadable = filecmp.cmpfiles(built, checked_in, sorted(ours & theirs), shallow=False)
    return (
        [f"missing: {name}" for name in sorted(ours - theirs)]
        + [f"left over: {name}" for name in sorted(theirs - ours)]
        + [f"differs: {name}" for name in sorted(changed + unreadable)]
    )


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch, "xpander_api")
        build(built)
        if arguments == ["--check"]:
            drift = differences(built, CHECKED_IN)
            print("\n".join(drift) if drift else "generated/ is what openapi/ says.")
            if drift:
                print("\nRun `make generate` and commit the result; generated/ is never edited by hand.")
            return 1 if drift else 0
        shutil.rmtree(CHECKED_IN, ignore_errors=True)
        shutil.copytree(built, CHECKED_IN)
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
