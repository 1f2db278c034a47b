"""Short form of the crash test. Run `crash_test.py` for the long form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("crash_test.py")


@pytest.mark.slow
def test_answered_reports_survive_kills(store_url):
    command = [sys.executable, str(PROGRAM), "--store", store_url, "--kills", "3", "--clients", "8"]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert process.returncode == 0, process.stdout + process.stderr[-4_000:]
    result = json.loads(process.stdout)
    assert (result["lost"], result["doubled"], result["metrics equal a rebuild"]) == (0, 0, True)
    assert result["runs"] > 0
