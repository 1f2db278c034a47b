"""Scripts of this directory in either environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OFFICIAL_PYTHON = ROOT / ".official-venv" / "bin" / "python"
SECONDS = 240  # the official SDK takes seconds to import, more on a busy machine


def run(python: str | Path, script: str, **settings: str) -> Any:
    """The JSON that the script prints."""
    done = subprocess.run(
        [str(python), str(HERE / script)],
        env={**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script} ended with {done.returncode}: {done.stderr[-3_000:]}"
    return json.loads(done.stdout)
