"""Test of the smoke test that CI runs on macOS and Windows."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "smoke.py"

# Removes what Python does not have on Windows.
LIKE_WINDOWS = """
import os, runpy, select, sys
for module in ("fcntl", "grp", "pwd", "resource", "termios", "uvloop"):
    sys.modules[module] = None
for name in ("chown", "fchmod", "fork", "forkpty", "geteuid", "getuid", "register_at_fork", "setsid"):
    delattr(os, name)
for name in {"epoll", "kqueue", "poll"} & set(dir(select)):
    delattr(select, name)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("options", [[], ["-c", LIKE_WINDOWS]], ids=["this system", "like Windows"])
def test_smoke_test_passes(options: list[str]):
    command = [sys.executable, "-W", "error", *options, str(PROGRAM)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout, process.stderr) == (0, "4 runs reported and read\n", "")
