"""Test of the wheel in a clean environment: few and small dependencies, and a report that reaches a server.

Usage: python tests/wheel.py dist
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.server import KEY, running_server

MAX_DISTRIBUTIONS = 12  # not counting xpander-report
MAX_MEGABYTES = 15
CONSTRAINTS = Path(__file__).parents[1] / "requirements" / "dev.txt"
PROGRAM = Path(__file__).parent / "support" / "report_from_wheel.py"


def create_environment(environment: Path, wheel: Path) -> None:
    """Create a virtual environment that contains the wheel and its dependencies."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "-c", CONSTRAINTS, wheel.absolute()], check=True
    )


def report_to_server(environment: Path, folder: Path) -> list[str]:
    """Run the program that reports, against a new server, and return the names of the installed distributions."""
    with running_server(folder / "store.db") as server:
        variables = {"XPANDER_BASE_URL": server.url, "XPANDER_API_KEY": KEY, "PATH": os.environ["PATH"]}
        # -P: the program's folder contains modules of the tests, which must not be importable.
        command = [environment / "bin" / "python", "-P", PROGRAM]
        process = subprocess.run(command, env=variables, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return process.stdout.split()


def main(folder: str) -> None:
    (wheel,) = Path(folder).glob("*.whl")
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch, "environment")
        create_environment(environment, wheel)
        (packages,) = environment.glob("lib/python*/site-packages")
        megabytes = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6
        distributions = report_to_server(environment, Path(scratch))
        command = subprocess.run([environment / "bin" / "xpander-report"], capture_output=True, text=True)
    print(f"{len(distributions)} distributions, {megabytes:.1f} MB: {', '.join(distributions)}")
    assert len(distributions) <= MAX_DISTRIBUTIONS, "too many dependencies"
    assert megabytes <= MAX_MEGABYTES, "the dependencies are too large"
    assert "pip install 'xpander-report[cli]'" in command.stderr, "the missing extra is not explained"
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
