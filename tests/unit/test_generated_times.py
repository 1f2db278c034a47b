"""Times in responses: the fast form of `parse_datetime` gives what dateutil gives."""

import string
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime

import pytest
from dateutil.parser import isoparse
from hypothesis import example, given
from hypothesis import strategies as st

from xpander_api.types import parse_datetime

_NUMBERS = [f"{number:02}" for number in (0, 1, 9, 12, 13, 23, 24, 25, 59, 60, 61, 99)]
_TEXTS = st.tuples(
    st.sampled_from(["2026-01-31", "2026-02-30", "0000-01-01", "9999-12-31", "20260131", "2026-W05-6", "2026-01"]),
    st.sampled_from(["T", " ", "", "t"]),
    st.sampled_from(_NUMBERS),
    st.sampled_from([":", ""]),
    st.sampled_from(_NUMBERS),
    st.sampled_from(["", ":00", ":59", ":60", "30"]),
    st.sampled_from(["", ".5", ".123456", ",123", ".1234567", "."]),
    st.sampled_from(["", "Z", "z", "+00:00", "-00:00", "+23:59", "+24:00", "-05:30", "+0530", "+05", "+01:60"]),
).map("".join)


def _outcome(parse: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


@given(_TEXTS | st.text(string.digits + "-:.+TZ", max_size=32))
@example("2026-01-31T24:00:00Z")
@example("2026-01-31T09:30:00٠Z")
def test_times_are_those_of_dateutil(text: str) -> None:
    expected, actual = _outcome(isoparse, text), _outcome(parse_datetime, text)
    assert actual == expected
    assert (actual and actual.utcoffset()) == (expected and expected.utcoffset())


@pytest.mark.parametrize("text", ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456+00:00", "2026-01-31T09:30:00"])
def test_usual_times_are_read_without_dateutil(text: str) -> None:
    program = f"import sys, xpander_api.types as t; t.parse_datetime({text!r}); print('dateutil' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_report_path_imports_no_model_of_lists_and_metrics() -> None:
    program = "import sys, xpander_sdk._runtime; print('xpander_api.models.task_list_item' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_all_models_are_imported_at_once_for_lists_and_metrics() -> None:
    program = """
import sys
from xpander_api import models
from xpander_sdk.client import read_operations
loaded = {name.removeprefix("xpander_api.models") for name in sys.modules}
print(set(models._MODULES.values()) - loaded)
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


def test_reports_import_no_model_after_the_modules_of_the_first_call() -> None:
    program = """
import sys
from xpander_sdk import _runtime
from xpander_sdk.client import operations, report_batch
from xpander_sdk.reporting.report import new_report
before = set(sys.modules)
report = new_report("a", id="r", error="e", calls=[{"model": "m"}], metadata={"a": "b"}, llm_response={})
operations.report_task(report).parse({"id": "r", "created_at": "2026-01-31T09:30:00Z"}, {})
outcome = {"status": 200, "task": {"id": "r"}}
report_batch.report_tasks([report], is_compressed=True).parse({"outcomes": [outcome]}, {})[0].record()
operations.get_report_fields(None), operations.get_task("r"), operations.invalid_report("a")
print(sorted(name for name in set(sys.modules) - before if not name.startswith("encodings")))
"""
    # An import without the import lock would block a child that another thread forks meanwhile.
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
