"""Reader of files with runs: an open file to entries with positions.

Formats are JSON lines of reports or tasks (`jsonl`), and OTLP JSON (`otlp`) as lines or as one document. Both may be
compressed with gzip.

Each entry has the position at which it ends. After an interruption, the reader continues behind a position:

    first read     entry 1 → entry 2 → entry 3      position 2 is saved, then the process ends
    second read    entries(after=position 2)        skips to position 2, verifies its digest, yields entry 3 …
"""

import gzip
import hashlib
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, Protocol, cast

from attrs import evolve, frozen

from xpander_sdk.import_export.jsonl import parse_record
from xpander_sdk.import_export.otlp import TraceFile
from xpander_sdk.import_export.record import Record, id_from_seed

Format = Literal["jsonl", "otlp"]
MAX_LINE = 16 << 20
"""Maximum length of a line in bytes. A request body has at most 4 MiB; with escaped characters, JSON of its content has
three times that size."""
MAX_OTLP_DOCUMENT = 64 << 20
"""Maximum size of one document of traces, uncompressed, in bytes."""
MAX_OTLP_FILE = 256 << 20
"""Maximum size of a file with several documents of traces, uncompressed, in bytes. All of its spans are in memory."""
MAX_LINE_VALUES = 1_000_000
"""Maximum number of separators of the values of one line of reports. Small values need 30 times the memory of their
text."""
MAX_OTLP_VALUES = 5_000_000
"""Maximum number of separators of the values of a file of traces."""
MAX_OTLP_PROBLEMS = 10_000
"""Maximum number of invalid documents of a file of traces."""
_MAX_PROBLEM_TEXT = 1 << 20  # Length of the text of an invalid entry, which is only listed.
_OTLP_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"resource(Spans|Logs|Metrics|_spans|_logs|_metrics)"')
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_PEEK_BYTES = 4_096
_MAX_SHOWN_PROBLEMS = 100  # invalid documents whose text is kept for the list of rejected entries
_READ_ERRORS = (EOFError, OSError, zlib.error)


@frozen
class Position:
    """Position in a file, at the end of an entry.

    Attributes:
        number: number of the entry, from 1 without gaps.
        start, end: bytes of the entry in the uncompressed file; 0 if the file is read as a whole.
        digest: digest of the entry or of the whole file, to detect a changed file.
    """

    number: int
    start: int
    end: int
    digest: str


@frozen
class Entry:
    """One run of a file. An entry without record and problem is an empty line.

    Attributes:
        line: line of the file, from 1.
        text: text of the entry, for the list of rejected entries.
        position: position at the end of the entry.
        record: the run; None if the entry is invalid or empty.
        problem: reason why the entry is invalid; None if it is valid or empty.
    """

    line: int
    text: str
    position: Position
    record: Record | None = None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Approximate size of the entry in memory, in bytes; 0 for an entry of a file that is read as a whole."""
        return self.position.end - self.position.start if self.record is not None else len(self.text)


class RunReader(Protocol):
    """Reader of one format.

    Attributes:
        ignored: Sentence about contents that are no runs, after all entries were read; None if there are none.
    """

    ignored: str | None

    def entries(self, after: Position | None) -> Iterator[Entry]:
        """Yield the entries behind a position, or all.

        Raises:
            ContentChanged: the file has other contents at the position.
            UnreadableSource: the rest of the file cannot be read. All entries before it were yielded.
        """
        ...


class UnreadableSource(ValueError):
    """The file cannot be read to its end."""


class SourceTooLarge(UnreadableSource):
    """The file exceeds a limit, so another attempt cannot succeed."""


class ContentChanged(Exception):
    """The file has other contents than at the previous import."""


def open_binary(path: str) -> IO[bytes]:
    """Open a file, or standard input if the path is `-`.

    Raises:
        OSError: the file cannot be opened.
    """
    if path != "-":
        return open(path, "rb")
    try:
        # Not sys.stdin.buffer: at exit, the interpreter would wait for the lock of a buffer that a thread still reads.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, io.UnsupportedOperation):
        return sys.stdin.buffer


def open_runs(file: IO[bytes], format: Format | None, agent_id: str | None) -> tuple[RunReader, Format]:
    """Return the reader of an open file, and the file's format.

    Args:
        file: open file, compressed or not.
        format: format of the file; None to detect it from the first bytes.
        agent_id: agent of runs without one.

    Raises:
        UnreadableSource: the first bytes of the file cannot be read.
    """
    stream = cast(io.BufferedReader, file if hasattr(file, "peek") else io.BufferedReader(cast(io.RawIOBase, file)))
    if stream.peek(2)[:2] == _GZIP_MAGIC:
        stream = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream))
    try:
        is_otlp = format == "otlp" or (format is None and _OTLP_START.match(stream.peek(_PEEK_BYTES)))
    except _READ_ERRORS as error:
        raise _unreadable(error) from None
    return (_OtlpReader(stream, agent_id), "otlp") if is_otlp else (_JsonlReader(stream, agent_id), "jsonl")


class _JsonlReader:
    """Reader of JSON lines. It seeks to the position, and holds one line at a time."""

    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id
        self.ignored: str | None = None

    def entries(self, after: Position | None) -> Iterator[Entry]:
        number, start = 0, 0
        try:
            if after is not None:
                self._stream.seek(after.start)
                if _digest(self._stream.read(after.end - after.start)) != after.digest:
                    raise ContentChanged
                number, start = after.number, after.end
            while line := self._stream.readline(MAX_LINE):
                length = len(line) + self._skip_rest(line)
                number += 1
                position = Position(number, start, start + length, _digest(line) if length == len(line) else "")
                start += length
                yield _jsonl_entry(line, position, self._agent_id)
        except _READ_ERRORS as error:
            raise _unreadable(error) from None

    def _skip_rest(self, line: bytes) -> int:
        """Skip the rest of a line that is too long; return its length."""
        length = 0
        part = line
        while len(line) >= MAX_LINE and not part.endswith(b"\n") and (part := self._stream.readline(MAX_LINE)):
            length += len(part)
        return length


def _jsonl_entry(line: bytes, position: Position, agent_id: str | None) -> Entry:
    entry = Entry(position.number, "", position)
    if position.end - position.start > MAX_LINE:
        return evolve(entry, problem=f"the line must have at most {MAX_LINE} bytes")
    content = line.removeprefix(_BOM) if position.start == 0 else line
    if not content.strip():
        return entry
    entry = evolve(entry, text=content.decode("utf-8", "replace").rstrip("\r\n"))
    try:
        # Before it is parsed, which needs the memory.
        if len(content) > MAX_LINE_VALUES and _count_values(content) > MAX_LINE_VALUES:
            raise ValueError(f"the line must have at most {MAX_LINE_VALUES} values")
        record = _with_agent(parse_record(_parse_json(content)), agent_id)
        if record.id is None:
            # The same line of the same file is the same run, also when the file is imported again.
            seed = f"{position.number}:{record.agent_id}:{entry.text.strip()}"
            record = evolve(record, id=id_from_seed(seed))
        return evolve(entry, record=record)
    except ValueError as error:
        return evolve(entry, text=entry.text[:_MAX_PROBLEM_TEXT], problem=str(error))


class _OtlpReader:
    """Reader of OTLP JSON. It reads the whole file, because the spans of a trace may be on any lines."""

    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id
        self.ignored: str | None = None

    def entries(self, after: Position | None) -> Iterator[Entry]:
        traces = TraceFile()
        problems: list[Entry] = []
        content = _HashedLines(self._stream)
        for line, text, document in _documents(content):
            try:
                traces.add(_parse_json(text) if document is None else document, line)
            except ValueError as error:
                shown = text[:_MAX_PROBLEM_TEXT] if len(problems) < _MAX_SHOWN_PROBLEMS else b""
                no_position = Position(0, 0, 0, "")
                problems.append(Entry(line, shown.decode("utf-8", "replace"), no_position, problem=str(error)))
                if len(problems) > MAX_OTLP_PROBLEMS:
                    reason = (
                        f"more than {MAX_OTLP_PROBLEMS} documents are invalid, the last one in line {line}: {error}"
                    )
                    raise SourceTooLarge(f"cannot be imported: {reason}") from None
        digest = content.digest()
        if after is not None and after.digest != digest:
            raise ContentChanged
        skipped = 0 if after is None else after.number
        for number, entry in enumerate(self._all_entries(problems, traces), start=1):
            if number > skipped:
                yield evolve(entry, position=Position(number, 0, 0, digest))

    def _all_entries(self, problems: list[Entry], traces: TraceFile) -> Iterator[Entry]:
        """Yield the invalid documents, then the runs of the valid ones."""
        yield from problems
        no_position = Position(0, 0, 0, "")
        for run in traces.runs():
            record = _with_agent(_with_agent(run.record, self._agent_id), run.fallback_agent)
            yield Entry(run.line, run.description, no_position, record)
        self.ignored = traces.ignored


class _HashedLines:
    """Lines of a file of traces, within the limits of its size, and the digest of the whole file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.blake2b(digest_size=16)
        self._size = self._values = 0

    def digest(self) -> str:
        """Return the digest of the lines that were read."""
        return self._hash.hexdigest()

    def read_line(self) -> bytes:
        """Return the next line; b"" at the end of the file.

        Raises:
            SourceTooLarge: the file exceeds a limit.
            UnreadableSource: the file cannot be read.
        """
        line = self._read(lambda: self._stream.readline(MAX_OTLP_DOCUMENT + 1))
        if len(line) > MAX_OTLP_DOCUMENT:
            raise _too_large("a line", f"{MAX_OTLP_DOCUMENT} bytes uncompressed")
        return line

    def read_rest(self, size: int) -> bytes:
        """Return the rest of the file.

        Args:
            size: number of bytes that the document has already.

        Raises:
            SourceTooLarge: the document is too large.
            UnreadableSource: the file cannot be read.
        """
        rest = self._read(lambda: self._stream.read(MAX_OTLP_DOCUMENT - size + 1))
        if size + len(rest) > MAX_OTLP_DOCUMENT:
            raise _too_large("a document", f"{MAX_OTLP_DOCUMENT} bytes uncompressed")
        return rest

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            content = read()
        except _READ_ERRORS as error:
            raise _unreadable(error) from None
        self._hash.update(content)
        self._size += len(content)
        self._values += _count_values(content)
        if self._size > MAX_OTLP_FILE:
            raise _too_large("a file", f"{MAX_OTLP_FILE} bytes uncompressed")
        if self._values > MAX_OTLP_VALUES:
            raise _too_large("a file", f"{MAX_OTLP_VALUES} values")
        return content


def _too_large(what: str, limit: str) -> SourceTooLarge:
    return SourceTooLarge(f"cannot be imported: {what} of traces must have at most {limit}; split it between traces")


def _with_agent(record: Record, agent_id: str | None) -> Record:
    return evolve(record, agent_id=agent_id) if record.agent_id is None else record


def _documents(content: _HashedLines) -> Iterator[tuple[int, bytes, Any]]:
    """Yield line number, text and value of each document; the value is None if it is not parsed yet."""
    number = 1
    line = content.read_line().removeprefix(_BOM)
    while line.isspace():
        number, line = number + 1, content.read_line()
    if line.endswith(b"\n"):
        try:
            document = _parse_json(line)
        except ValueError:
            pass  # The document has further lines, or is invalid.
        else:
            # Documents on lines of their own, or one document with blank lines behind it.
            yield number, line.rstrip(b"\r\n"), document
            del document
            while line := content.read_line():
                number += 1
                if not line.isspace():
                    yield number, line.rstrip(b"\r\n"), None
            return
    text = line + content.read_rest(len(line))
    try:
        yield 1, b"", _parse_json(text)
    except ValueError:
        yield 1, text[:1_000], None


def _parse_json(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the text must be UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the text must be JSON: {error}") from None


def _count_values(text: bytes) -> int:
    """Return the number of separators of JSON values, also of those in strings: a fast upper limit of the values."""
    return sum(map(text.count, (b",", b"[", b"{", b":")))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _unreadable(error: Exception) -> UnreadableSource:
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return UnreadableSource(f"cannot be read to its end: {reason}")
