"""Reader of OTLP JSON: documents on lines of their own, or one document."""

import hashlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from attrs import evolve

from xpander_sdk.import_export.entries import (
    BOM,
    MAX_PROBLEM_TEXT,
    READ_ERRORS,
    ContentChanged,
    Entry,
    Position,
    SourceTooLarge,
    count_values,
    parse_json,
    unreadable,
    with_agent,
)
from xpander_sdk.import_export.otlp import TraceFile

MAX_OTLP_DOCUMENT = 64 << 20
"""Maximum size of one document of traces, uncompressed, in bytes."""
MAX_OTLP_FILE = 256 << 20
"""Maximum size of a file with several documents of traces, uncompressed, in bytes. All of its spans are in memory."""
MAX_OTLP_VALUES = 5_000_000
"""Maximum number of separators of the values of a file of traces."""
MAX_OTLP_PROBLEMS = 10_000
"""Maximum number of invalid documents of a file of traces."""
_MAX_SHOWN_PROBLEMS = 100  # invalid documents whose text is kept for the list of rejected entries


class OtlpReader:
    """Reader of OTLP JSON. It reads the whole file, because the spans of a trace may be on any lines."""

    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id
        self.ignored: str | None = None

    def entries(self, after: Position | None) -> Iterator[Entry]:
        """Yield the entries behind a position, or all; see `RunReader.entries`."""
        traces = TraceFile()
        problems: list[Entry] = []
        content = _HashedLines(self._stream)
        for line, text, document in _documents(content):
            try:
                traces.add(parse_json(text) if document is None else document, line)
            except ValueError as error:
                shown = text[:MAX_PROBLEM_TEXT] if len(problems) < _MAX_SHOWN_PROBLEMS else b""
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
            record = with_agent(with_agent(run.record, self._agent_id), run.fallback_agent)
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
        except READ_ERRORS as error:
            raise unreadable(error) from None
        self._hash.update(content)
        self._size += len(content)
        self._values += count_values(content)
        if self._size > MAX_OTLP_FILE:
            raise _too_large("a file", f"{MAX_OTLP_FILE} bytes uncompressed")
        if self._values > MAX_OTLP_VALUES:
            raise _too_large("a file", f"{MAX_OTLP_VALUES} values")
        return content


def _too_large(what: str, limit: str) -> SourceTooLarge:
    return SourceTooLarge(f"cannot be imported: {what} of traces must have at most {limit}; split it between traces")


def _documents(content: _HashedLines) -> Iterator[tuple[int, bytes, Any]]:
    """Yield line number, text and value of each document; the value is None if it is not parsed yet."""
    number = 1
    line = content.read_line().removeprefix(BOM)
    while line.isspace():
        number, line = number + 1, content.read_line()
    if line.endswith(b"\n"):
        try:
            document = parse_json(line)
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
        yield 1, b"", parse_json(text)
    except ValueError:
        yield 1, text[:1_000], None
