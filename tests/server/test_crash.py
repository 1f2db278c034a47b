"""The server's kill test in its short form; `crash_test.py` by itself runs the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("crash_test.py")


@pytest.mark.slow
def test_what_was_answered_survives_kills_of_the_server(store_url):
    command = [sys.executable, str(PROGRAM), "--store", store_url, "--kills", "3", "--clients", "8"]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    told = json.loads(done.stdout)
    assert (told["lost"], told["doubled"], told["metrics equal a rebuild"]) == (0, 0, True)
    assert told["runs"] > 0
