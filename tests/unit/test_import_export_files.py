"""Files of an import and of an export: rights, links that others have planted, and limits of size."""

import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from xpander_sdk.import_export import checkpoint, entries, importer, jsonl_reader, otlp_reader, reader
from xpander_sdk.import_export.private_files import check_folder, open_private, replace_private

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no rights of users and groups")
VALID = b'{"resourceSpans": []}\n'


@pytest.fixture(autouse=True)
def _working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[0o000, 0o022], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    previous = os.umask(request.param)
    yield request.param
    os.umask(previous)


def write_runs(path: str = "runs.jsonl", rejected: int = 1) -> None:
    Path(path).write_text('{"agent_id": "a", "id": "1"}\n' + '{"x": 1}\n' * rejected)


def mode(path: Path | str) -> int:
    return Path(path).stat().st_mode & 0o777


def read_otlp(content: bytes) -> list[entries.Entry]:
    runs, _ = reader.open_runs(io.BytesIO(content), "otlp", None)
    return list(runs.entries(None))


@posix
def test_only_the_owner_can_read_exports_and_rejected_lines(cli, umask: int):
    write_runs()
    cli("import", "runs.jsonl")
    assert cli("export", "a", "-o", "out.jsonl").exit_code == 0
    assert (mode("runs.jsonl.rejected.jsonl"), mode("out.jsonl")) == (0o600, 0o600)


@posix
def test_state_folder_gets_all_files_of_an_import(cli, umask: int):
    write_runs()
    result = cli("import", "runs.jsonl", "--state-dir", "new/state")
    assert result.exit_code == 1, result.output
    assert os.listdir(".").count("runs.jsonl.rejected.jsonl") == 0
    (rejected,) = Path("new/state").iterdir()
    assert rejected.name.startswith("runs.jsonl-")
    assert rejected.name.endswith(".rejected.jsonl")
    assert str(rejected) in result.output
    assert (mode("new"), mode("new/state"), mode(rejected)) == (0o700, 0o700, 0o600)


def test_state_folder_keeps_files_of_the_same_name_apart(cli):
    for folder in ("one", "two"):
        Path(folder).mkdir()
        write_runs(f"{folder}/runs.jsonl")
    cli("import", "one/runs.jsonl", "two/runs.jsonl", "--state-dir", "state")
    assert len(list(Path("state").iterdir())) == 2


@posix
@pytest.mark.parametrize("name", ["runs.jsonl.progress", "runs.jsonl.progress.new", "runs.jsonl.rejected.jsonl"])
def test_import_never_writes_through_a_link(cli, name: str):
    Path("victim").write_text("precious")
    Path(name).symlink_to("victim")
    write_runs()
    cli("import", "runs.jsonl")
    assert Path("victim").read_text() == "precious"


@posix
def test_export_never_writes_through_a_link(cli):
    write_runs()
    cli("import", "runs.jsonl")
    Path("victim").write_text("precious")
    for name in ("out.jsonl", "out.jsonl.part"):
        Path(name).symlink_to("victim")
    assert cli("export", "a", "-o", "out.jsonl").exit_code == 0
    assert Path("victim").read_text() == "precious"
    assert json.loads(Path("out.jsonl").read_text())["id"] == "1"


@posix
def test_export_to_a_device_does_not_replace_it(cli):
    os.mkfifo("pipe")
    descriptor = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_runs()
        cli("import", "runs.jsonl")
        assert cli("export", "a", "-o", "pipe").exit_code == 0
        assert json.loads(os.read(descriptor, 100_000))["id"] == "1"
        assert not os.path.isfile("pipe")
    finally:
        os.close(descriptor)


@posix
def test_file_with_a_second_name_is_not_used(tmp_path: Path):
    (tmp_path / "victim").write_text("precious")
    os.link(tmp_path / "victim", tmp_path / "planted")
    with pytest.raises(OSError, match="single name"):
        open_private(str(tmp_path / "planted"), "ab")


@posix
def test_folder_whose_files_every_user_may_replace_is_refused(cli, tmp_path: Path):
    write_runs()
    tmp_path.chmod(0o777)
    result = cli("import", "runs.jsonl")
    assert (result.exit_code, "--state-dir" in result.output) == (2, True), result.output
    tmp_path.chmod(0o1777)
    assert cli("import", "runs.jsonl").exit_code == 1


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give a folder to another user")
def test_folder_of_another_user_is_used_only_for_files_of_that_user(tmp_path: Path):
    (tmp_path / "own").write_text("")
    (tmp_path / "theirs").write_text("")
    for name in ("", "theirs"):
        os.chown(tmp_path / name, 65534, 65534)
    check_folder(str(tmp_path), str(tmp_path / "theirs"))
    with pytest.raises(OSError, match="belongs to another user"):
        check_folder(str(tmp_path), str(tmp_path / "own"))
    with pytest.raises(OSError, match="belongs to another user"):
        check_folder(str(tmp_path))


def test_failed_replacement_leaves_the_previous_file_alone(tmp_path: Path):
    (tmp_path / "file").write_text("previous")

    def write() -> None:
        with replace_private(str(tmp_path / "file")) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "previous")]


def test_list_of_rejected_lines_is_limited_and_all_are_counted(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "MAX_LISTED", 5)
    write_runs(rejected=20)
    result = cli("import", "runs.jsonl")
    assert len(Path("runs.jsonl.rejected.jsonl").read_text().splitlines()) == 5
    assert "First 5 rejected lines of runs.jsonl" in result.output
    summary = json.loads(cli("import", "runs.jsonl", "--json").stdout)
    assert (summary["rejected"], summary["listed"]) == (20, 5)


def test_list_of_rejected_lines_is_limited_by_size(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "MAX_LISTED_BYTES", 1_000)
    monkeypatch.setattr(checkpoint, "MAX_TEXT", 400)
    Path("runs.jsonl").write_text(("x" * 10_000 + "\n") * 50)
    cli("import", "runs.jsonl")
    entries = [json.loads(line) for line in Path("runs.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [entry["text"] for entry in entries] == ["x" * 400] * 2


@pytest.mark.parametrize(
    ("limit", "value", "content"),
    [
        ("MAX_OTLP_DOCUMENT", 1_000, b'{"resourceSpans":[' + b" " * 1_000 + b"]}"),
        ("MAX_OTLP_DOCUMENT", 1_000, b'{\n"resourceSpans":[' + b" " * 1_000 + b"]}"),
        ("MAX_OTLP_FILE", 1_000, VALID * 100),
        ("MAX_OTLP_VALUES", 100, b'{"resourceSpans":[' + b"[]," * 100 + b"[]]}"),
        ("MAX_OTLP_PROBLEMS", 10, VALID + b"x\n" * 11),
    ],
)
def test_file_of_traces_that_exceeds_a_limit_is_not_read_further(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, content: bytes
):
    monkeypatch.setattr(otlp_reader, limit, value)
    with pytest.raises(entries.UnreadableSource, match=rf"{value}"):
        read_otlp(content)


def test_compressed_traces_are_limited_by_their_size_after_decompression(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(otlp_reader, "MAX_OTLP_DOCUMENT", 1 << 20)
    content = gzip.compress(b'{"resourceSpans":[' + b" " * (64 << 20) + b"]}")
    assert len(content) < 100_000
    with pytest.raises(entries.UnreadableSource, match="uncompressed"):
        read_otlp(content)


def test_error_of_a_file_of_traces_that_is_too_large_advises_no_second_attempt(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(otlp_reader, "MAX_OTLP_FILE", 1_000)
    Path("traces.jsonl").write_bytes(VALID * 100)
    result = cli("import", "traces.jsonl")
    assert (result.exit_code, "split it between traces" in result.output) == (2, True), result.output
    assert "again to resume" not in result.output


def test_line_with_too_many_values_is_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jsonl_reader, "MAX_LINE_VALUES", 100)
    runs, _ = reader.open_runs(io.BytesIO(b'{"llm_response": [' + b"1," * 200 + b'1]}\n{"id": "next"}'), "jsonl", None)
    first, second = runs.entries(None)
    assert first.problem == "the line must have at most 100 values"
    assert second.record is not None


def test_size_of_unfinished_entries_is_limited(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importer, "_MAX_UNFINISHED_BYTES", 1_000)
    largest = 0
    acquire = importer._SizeLimit.acquire

    def measure(self: importer._SizeLimit, size: int) -> None:
        nonlocal largest
        acquire(self, size)
        largest = max(largest, self._used)

    monkeypatch.setattr(importer._SizeLimit, "acquire", measure)
    lines = [json.dumps({"agent_id": "a", "id": str(number), "result": "x" * 300}) + "\n" for number in range(30)]
    lines.insert(5, json.dumps({"agent_id": "a", "id": "large", "result": "x" * 3_000}) + "\n")
    Path("runs.jsonl").write_text("".join(lines))
    assert cli("import", "runs.jsonl").exit_code == 0
    assert len(lines[5]) <= largest <= len(lines[5]) + 10
