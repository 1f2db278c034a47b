"""Execution of this folder's scripts with the interpreter of either environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OFFICIAL_PYTHON = ROOT / ".official-venv" / "bin" / "python"
TIMEOUT = 240  # seconds; the official SDK takes several seconds to import


def run(python: str | Path, script: str, **variables: str) -> Any:
    """Run a script with environment variables, and return the JSON that it prints."""
    process = subprocess.run(
        [str(python), str(HERE / script)],
        env={**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert process.returncode == 0, f"{script} ended with {process.returncode}: {process.stderr[-3_000:]}"
    return json.loads(process.stdout)
