"""Requests of both SDKs for the same arguments."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from interop.compare import differences
from interop.running import ROOT, TIMEOUT, run

pytestmark = [pytest.mark.official, pytest.mark.timeout(2 * TIMEOUT)]

RECORDED_BODIES = ROOT / "tests" / "unit" / "official_bodies.json"


@pytest.fixture(scope="module")
def official_outcomes(official_python: Path) -> Any:
    return run(official_python, "record.py")


def test_both_sdks_send_same_requests(official_outcomes: Any) -> None:
    assert differences(official_outcomes, run(sys.executable, "record.py")) == []


def test_recorded_bodies_are_current(official_outcomes: Any) -> None:
    recorded = json.loads(RECORDED_BODIES.read_text(encoding="utf-8"))
    changed = {row for row in {*official_outcomes, *recorded} if official_outcomes.get(row) != recorded.get(row)}
    assert not changed, "record the bodies again; tests/unit/test_official_bodies.py describes how"
