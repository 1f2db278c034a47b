"""Fixture with the interpreter of the official SDK."""

import os
from pathlib import Path

import pytest

from interop.running import OFFICIAL_PYTHON


@pytest.fixture(scope="session")
def official_python(pytestconfig: pytest.Config) -> Path:
    """Path of the interpreter that has the official SDK; without it, the test is skipped."""
    if not OFFICIAL_PYTHON.exists():
        is_requested = pytestconfig.option.markexpr == "official"
        if is_requested and os.environ.get("CI"):
            pytest.fail(".official-venv does not exist, although `make interop` creates it", pytrace=False)
        pytest.skip(".official-venv does not exist; create it with `make interop`")
    return OFFICIAL_PYTHON
