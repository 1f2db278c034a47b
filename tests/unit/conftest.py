"""Fixtures of the unit tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Configuration
from xpander_sdk.cli import main


@pytest.fixture
def cli(embedded: Configuration, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs `xpander-report` on an embedded backend with an empty store, in 120 columns."""
    Path(embedded.base_url.removeprefix("sqlite:///")).touch(mode=0o600)
    monkeypatch.setenv("XPANDER_BASE_URL", embedded.base_url)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=input)

    return run
