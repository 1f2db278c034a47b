"""Lines of JSON → records."""

import gzip
import io
import json
import uuid
from typing import Any

import pytest

from xpander_sdk.import_export import jsonl as reports
from xpander_sdk.import_export.reader import MAX_LINE, ContentChanged, Entry, UnreadableEntry, open_runs

MICROSECONDS = 1_735_787_045_000_000  # 2025-01-02T03:04:05Z
TIME = "2025-01-02T03:04:05Z"
TASK: dict[str, Any] = {
    "id": "t", "agent_id": "a", "organization_id": "o", "input": {"text": "asked", "files": [], "user": {"id": "u"}},
    "status": "completed", "created_at": TIME, "started_at": "2025-01-02T03:04:03.5Z", "finished_at": TIME,
}  # fmt: skip


def entries(content: bytes, after=None) -> list[Entry]:
    found, kind = open_runs(io.BytesIO(content), None, None)
    assert kind == "jsonl"
    return list(found.entries(after))


def test_a_report_is_what_the_sdk_takes_and_success_where_it_does_not_say():
    record = reports.read({"agent_id": "a", "id": "r", "result": "up", "used_tools": ["x"]})
    assert (record.agent_id, record.id, record.reported_at) == ("a", "r", None)
    assert record.arguments["is_success"] is True
    assert {name for name, value in record.arguments.items() if value is not None} == {
        "result", "used_tools", "is_success",
    }  # fmt: skip


def test_a_run_that_has_ended_ended_when_it_was_first_seen_unless_it_says_otherwise():
    assert reports.read({"created_at": TIME}).arguments["finished_at"] == TIME
    assert reports.read({"created_at": TIME, "is_success": None}).arguments["finished_at"] is None
    assert reports.read({"created_at": TIME, "finished_at": "2025-02-01"}).arguments["finished_at"] == "2025-02-01"


@pytest.mark.parametrize(
    "times",
    [
        {"created_at": TIME},
        {"created_at": "2024-01-01", "finished_at": TIME},
        {"created_at": "2024-01-01", "finished_at": "2024-01-02", "updated_at": TIME},
    ],
)
def test_the_time_of_report_is_the_last_that_is_known(times):
    assert reports.read(times).reported_at == MICROSECONDS


def test_a_task_is_what_it_was_reported_as():
    record = reports.read(TASK)
    assert (record.agent_id, record.id, record.reported_at) == ("a", "t", MICROSECONDS)
    told = record.arguments
    assert (told["input"], told["is_success"], told["duration"], told["user_id"]) == ("asked", True, 1.5, "u")


@pytest.mark.parametrize(
    ("status", "is_success"),
    [("completed", True), ("failed", False), ("error", False), ("stopped", False), ("executing", None)],
)
def test_the_status_of_a_task_tells_its_outcome(status, is_success):
    assert reports.read({**TASK, "status": status}).arguments["is_success"] is is_success


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'"text"', "it is no JSON object"),
        (b'{"resutl": 1}', "there is no argument 'resutl'"),
        (b'{"id": "\xff"}', "it is not UTF-8 text"),
        (b'{"status": "happy"}', "status must be one of completed"),
        (b'{"status": ["completed"]}', "status must be one of completed"),
        (b'{"created_at": "soon"}', "created_at must be a time such as"),
        (b'{"created_at": "1950-01-01"}', "created_at must be within the years 1971 to 2999"),
    ],
)
def test_a_bad_line_says_why_and_holds_up_nothing(line, told):
    first, second = entries(line + b'\n{"id": "next"}')
    assert (first.line, first.record) == (1, None)
    assert told in (first.problem or "")
    assert second.record is not None


def test_a_line_that_is_too_long_is_refused_without_being_held():
    first, second = entries(b" " * (MAX_LINE + 5) + b'\n{"id": "next"}\n')
    assert first.problem == f"it has over {MAX_LINE} bytes"
    assert second.record is not None
    assert second.line == 2


def test_empty_lines_and_a_byte_order_mark_are_no_runs():
    found = entries(b'\xef\xbb\xbf{"id": "1"}\r\n\r\n{"id": "2"}')
    assert [(entry.line, entry.record and entry.record.id) for entry in found] == [(1, "1"), (2, None), (3, "2")]
    assert not any(entry.problem for entry in found)


def test_what_has_no_id_gets_one_that_is_the_same_each_time_and_differs_by_line():
    line = b'{"agent_id": "a"}\n'
    made = [entry.record.id for entry in entries(line * 2) if entry.record]
    assert made == [entry.record.id for entry in entries(line * 2) if entry.record]
    assert len({uuid.UUID(str(one)) for one in made}) == 2


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress], ids=["plain", "gzip"])
def test_a_source_goes_on_after_any_place(pack):
    content = pack(b"".join(b'{"id": "%d"}\n' % number for number in range(20)))
    found = entries(content)
    for number in (0, 7, 19):
        assert entries(content, found[number].place) == found[number + 1 :]


def test_another_content_at_the_place_is_noticed():
    place = entries(b'{"id": "1"}\n{"id": "2"}\n')[1].place
    with pytest.raises(ContentChanged):
        entries(b'{"id": "1"}\n{"id": "3"}\n', place)
    with pytest.raises(ContentChanged):
        entries(b"", place)


def test_a_gzip_that_breaks_off_gives_what_is_there_and_says_so():
    lines = [json.dumps({"id": str(uuid.uuid4())}) for _ in range(2_000)]
    walk = open_runs(io.BytesIO(gzip.compress("\n".join(lines).encode())[:-200]), None, None)[0].entries(None)
    assert next(walk).record is not None
    with pytest.raises(UnreadableEntry, match="cannot be read to its end"):
        list(walk)


def test_what_is_no_gzip_after_all_says_so():
    with pytest.raises(UnreadableEntry):
        open_runs(io.BytesIO(b"\x1f\x8bnonsense"), None, None)
