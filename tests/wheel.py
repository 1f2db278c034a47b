"""The wheel as a user gets it: installed alone into a clean environment, does it stay small, and does it report?

python tests/wheel.py dist
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.server import KEY, running_server

MAX_DISTRIBUTIONS = 12  # beside our own
MAX_MEGABYTES = 15

REPORT = """
import importlib.metadata, sys
from xpander_sdk import Task, Tokens
distributions = {d.name for d in importlib.metadata.distributions()} - {"pip", "setuptools", "xpander-report"}
assert "starlette" not in distributions and "click" not in distributions, distributions
task = Task.report_external_task(agent_id="agent-of-the-wheel", id="w", tokens=Tokens(prompt_tokens=1), result="r")
assert (task.status, Task.load("w").result) == ("completed", "r")
print(*sorted(distributions))
"""


def main(folder: str) -> None:
    (wheel,) = Path(folder).glob("*.whl")
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch, "environment")
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
        python = environment / "bin" / "python"
        constraints = Path(__file__).parents[1] / "requirements" / "dev.txt"
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", python, "-c", constraints, wheel.absolute()], check=True
        )
        (packages,) = environment.glob("lib/python*/site-packages")
        megabytes = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6
        with running_server(Path(scratch, "store.db")) as server:
            settings = {"XPANDER_BASE_URL": server.url, "XPANDER_API_KEY": KEY, "PATH": os.environ["PATH"]}
            done = subprocess.run([python, "-c", REPORT], env=settings, cwd=scratch, check=True, stdout=subprocess.PIPE)
        distributions = done.stdout.decode().split()
        command = subprocess.run([environment / "bin" / "xpander-report"], capture_output=True, text=True)
        print(f"{len(distributions)} distributions, {megabytes:.1f} MB: {', '.join(distributions)}")
        assert len(distributions) <= MAX_DISTRIBUTIONS, "the core has grown"
        assert megabytes <= MAX_MEGABYTES, "the core has grown"
        assert "pip install 'xpander-report[cli]'" in command.stderr, "the missing extra is not explained"
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
