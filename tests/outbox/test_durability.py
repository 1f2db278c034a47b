"""The kill test in its short form; `make durability` runs the long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("durability.py")


@pytest.mark.parametrize(("durability", "kills"), [("crash", 25), ("power", 10)])
def test_no_report_is_lost_or_doubled_by_kills(durability, kills):
    # In a process of its own, which can fork without threads.
    command = [sys.executable, str(PROGRAM), "--kills", str(kills), "--seed", "7", "--durability", durability]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-4_000:]
    assert "lost: 0, doubled: 0" in done.stdout
    print(done.stdout)
