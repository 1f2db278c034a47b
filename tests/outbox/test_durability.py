"""The kill test in its short form; `make durability` runs the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

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


def test_eight_processes_on_one_file_deliver_all_and_starve_nobody():
    program = PROGRAM.with_name("crowd.py")
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    command = [sys.executable, str(program), "--reports", "2000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-4_000:]
    told = json.loads(done.stdout)
    assert (told["reports"], told["lost"], told["doubled"]) == (2_000, 0, 0)
    assert told["longest (worst process, ms)"] < 5_000, "a process was starved"
    print(told)
