"""The official SDK's environment."""

import os
from pathlib import Path

import pytest

from interop.running import OFFICIAL_PYTHON


@pytest.fixture(scope="session")
def official_python(pytestconfig: pytest.Config) -> Path:
    """The interpreter that has the official SDK; without one, tests that need it are skipped."""
    if not OFFICIAL_PYTHON.exists():
        asked_for = pytestconfig.option.markexpr == "official"
        if asked_for and os.environ.get("CI"):
            pytest.fail(".official-venv is missing, and `make interop` was to make it", pytrace=False)
        pytest.skip("there is no .official-venv: `make interop` makes it")
    return OFFICIAL_PYTHON
