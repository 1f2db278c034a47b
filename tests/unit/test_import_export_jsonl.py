"""JSON lines: reader and parser."""

import gzip
import io
import json
import uuid
from typing import Any

import pytest

from xpander_sdk.import_export.entries import ContentChanged, Entry, UnreadableSource
from xpander_sdk.import_export.jsonl import parse_record
from xpander_sdk.import_export.jsonl_reader import MAX_LINE
from xpander_sdk.import_export.reader import open_runs

MICROSECONDS = 1_735_787_045_000_000  # 2025-01-02T03:04:05Z
TIME = "2025-01-02T03:04:05Z"
TASK: dict[str, Any] = {
    "id": "t", "agent_id": "a", "organization_id": "o", "input": {"text": "question", "files": [], "user": {"id": "u"}},
    "status": "completed", "created_at": TIME, "started_at": "2025-01-02T03:04:03.5Z", "finished_at": TIME,
}  # fmt: skip


def read_entries(content: bytes, after=None) -> list[Entry]:
    reader, file_format = open_runs(io.BytesIO(content), None, None)
    assert file_format == "jsonl"
    return list(reader.entries(after))


def test_a_report_has_the_arguments_of_the_sdk_and_is_successful_by_default():
    record = parse_record({"agent_id": "a", "id": "r", "result": "up", "used_tools": ["x"]})
    assert (record.agent_id, record.id, record.reported_at) == ("a", "r", None)
    assert record.arguments["is_success"] is True
    assert {name for name, value in record.arguments.items() if value is not None} == {
        "result", "used_tools", "is_success",
    }  # fmt: skip


def test_a_finished_run_without_end_ended_at_its_creation():
    assert parse_record({"created_at": TIME}).arguments["finished_at"] == TIME
    assert parse_record({"created_at": TIME, "is_success": None}).arguments["finished_at"] is None
    assert parse_record({"created_at": TIME, "finished_at": "2025-02-01"}).arguments["finished_at"] == "2025-02-01"


@pytest.mark.parametrize(
    "times",
    [
        {"created_at": TIME},
        {"created_at": "2024-01-01", "finished_at": TIME},
        {"created_at": "2024-01-01", "finished_at": "2024-01-02", "updated_at": TIME},
    ],
)
def test_time_of_report_is_the_latest_known_time(times):
    assert parse_record(times).reported_at == MICROSECONDS


def test_a_task_becomes_the_report_that_created_it():
    record = parse_record(TASK)
    assert (record.agent_id, record.id, record.reported_at) == ("a", "t", MICROSECONDS)
    arguments = record.arguments
    names = ("input", "is_success", "duration", "user_id")
    assert tuple(arguments[name] for name in names) == ("question", True, 1.5, "u")


@pytest.mark.parametrize(
    ("status", "is_success"),
    [("completed", True), ("failed", False), ("error", False), ("stopped", False), ("executing", None)],
)
def test_status_of_a_task_determines_success(status, is_success):
    assert parse_record({**TASK, "status": status}).arguments["is_success"] is is_success


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "the text must be JSON"),
        (b"[" * 100_000, "the text must be JSON"),
        (b'"text"', "the line must be a JSON object, got str"),
        (b'{"resutl": 1}', "unknown argument 'resutl'"),
        (b'{"id": "\xff"}', "the text must be UTF-8"),
        (b'{"status": "happy"}', "status must be one of completed"),
        (b'{"status": ["completed"]}', "status must be one of completed"),
        (b'{"created_at": "soon"}', "created_at must be a time such as"),
        (b'{"created_at": "1950-01-01"}', "created_at must be within the years 1971 to 2999"),
    ],
)
def test_an_invalid_line_has_a_reason_and_does_not_block_the_next(line, message):
    first, second = read_entries(line + b'\n{"id": "next"}')
    assert (first.line, first.record) == (1, None)
    assert message in (first.problem or "")
    assert second.record is not None


def test_a_line_that_is_too_long_is_skipped():
    first, second = read_entries(b" " * (MAX_LINE + 5) + b'\n{"id": "next"}\n')
    assert first.problem == f"the line must have at most {MAX_LINE} bytes"
    assert second.record is not None
    assert second.line == 2


def test_empty_lines_and_a_byte_order_mark_are_ignored():
    lines = read_entries(b'\xef\xbb\xbf{"id": "1"}\r\n\r\n{"id": "2"}')
    assert [(entry.line, entry.record and entry.record.id) for entry in lines] == [(1, "1"), (2, None), (3, "2")]
    assert not any(entry.problem for entry in lines)


def test_a_run_without_id_gets_a_stable_id_that_depends_on_the_line():
    line = b'{"agent_id": "a"}\n'
    ids = [entry.record.id for entry in read_entries(line * 2) if entry.record]
    assert ids == [entry.record.id for entry in read_entries(line * 2) if entry.record]
    assert len({uuid.UUID(str(run_id)) for run_id in ids}) == 2


@pytest.mark.parametrize("encode", [lambda content: content, gzip.compress], ids=["plain", "gzip"])
def test_reading_continues_behind_any_position(encode):
    content = encode(b"".join(b'{"id": "%d"}\n' % number for number in range(20)))
    all_entries = read_entries(content)
    for number in (0, 7, 19):
        assert read_entries(content, all_entries[number].position) == all_entries[number + 1 :]


def test_changed_content_before_the_position_is_detected():
    position = read_entries(b'{"id": "1"}\n{"id": "2"}\n')[1].position
    with pytest.raises(ContentChanged):
        read_entries(b'{"id": "1"}\n{"id": "3"}\n', position)
    with pytest.raises(ContentChanged):
        read_entries(b"", position)


def test_a_truncated_gzip_file_is_read_as_far_as_possible():
    lines = [json.dumps({"id": str(uuid.uuid4())}) for _ in range(2_000)]
    iterator = open_runs(io.BytesIO(gzip.compress("\n".join(lines).encode())[:-200]), None, None)[0].entries(None)
    assert next(iterator).record is not None
    with pytest.raises(UnreadableSource, match="cannot be read to its end"):
        list(iterator)


def test_an_invalid_gzip_file_is_rejected():
    with pytest.raises(UnreadableSource):
        open_runs(io.BytesIO(b"\x1f\x8bnonsense"), None, None)
