"""Both SDKs on the wire: what each of them sends for the same arguments."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from interop.compare import differences
from interop.running import ROOT, SECONDS, run

pytestmark = [pytest.mark.official, pytest.mark.timeout(2 * SECONDS)]

RECORD = ROOT / "tests" / "unit" / "official_bodies.json"


@pytest.fixture(scope="module")
def official(official_python: Path) -> Any:
    return run(official_python, "record.py")


def test_both_send_the_same(official: Any) -> None:
    assert differences(official, run(sys.executable, "record.py")) == []


def test_the_record_is_what_the_official_sdk_says(official: Any) -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    changed = {row for row in {*official, *recorded} if official.get(row) != recorded.get(row)}
    assert not changed, "record it again, as tests/unit/test_official_bodies.py says"
