"""A file of runs → its entries, in order, each with the place where it ends.

Two formats: JSON lines of reports or tasks; and OTLP JSON, in lines or as one document. Both may be gzipped.
"""

import gzip
import hashlib
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Iterator
from typing import IO, Any, Literal, Protocol, cast

from attrs import evolve, frozen

from xpander_sdk.import_export import jsonl as reports
from xpander_sdk.import_export.genai_runs import runs_from_spans
from xpander_sdk.import_export.otlp import Span, read_spans
from xpander_sdk.import_export.record import Record, named

Format = Literal["jsonl", "otlp"]
MAX_LINE = 64 * 1024 * 1024
"""Bytes. A body may have 4 MiB, and nothing that it holds is written much longer than that."""
_IS_TRACES = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"resourceSpans"')
_HEAD = 4_096
_BOM = b"\xef\xbb\xbf"


@frozen
class Position:
    """How far a source was read.

    Attributes:
        number: of the entry that was last.
        start, end: where it is, in bytes of the uncompressed file; 0 where the file is read as a whole.
        digest: of what is there, to know the file again.
    """

    number: int
    start: int
    end: int
    digest: str


@frozen
class Entry:
    """One run of a source; or why there is none in it; or neither, where there is nothing.

    Attributes:
        line: its line in the file, from 1.
        text: what stands there, for who looks into what was refused.
        place: its number counts from 1 without gaps.
    """

    line: int
    text: str
    place: Position
    record: Record | None = None
    problem: str | None = None


class RunReader(Protocol):
    def entries(self, after: Position | None) -> Iterator[Entry]:
        """The entries, from the one after `after`.

        Raises:
            OtherContent: what was at `after` is not there now.
            Unreadable: it breaks off; what stands before that is given.
        """
        ...


class UnreadableEntry(ValueError):
    """The file cannot be read to its end."""


class ContentChanged(Exception):
    """The file is not the one that was read before."""


def open_binary(path: str) -> IO[bytes]:
    """The file, or standard input for `-`. Raises OSError."""
    if path != "-":
        return open(path, "rb")
    try:
        # A buffer of its own: a thread may still wait in it when the program ends.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, io.UnsupportedOperation):
        return sys.stdin.buffer


def open_runs(raw: IO[bytes], format: Format | None, agent_id: str | None) -> tuple[RunReader, Format]:
    """The source in an open file, and its format.

    Args:
        format: None for the one that it looks like.
        agent_id: the agent of runs that name none.

    Raises:
        Unreadable: not even its beginning can be read.
    """
    stream = cast(io.BufferedReader, raw if hasattr(raw, "peek") else io.BufferedReader(cast(io.RawIOBase, raw)))
    if stream.peek(2)[:2] == b"\x1f\x8b":
        stream = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream))
    try:
        is_traces = format == "otlp" or (format is None and _IS_TRACES.match(stream.peek(_HEAD)))
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableEntry(_broken(error)) from None
    return (_Traces(stream, agent_id), "otlp") if is_traces else (_Lines(stream, agent_id), "jsonl")


class _Lines:
    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id

    def entries(self, after: Position | None) -> Iterator[Entry]:
        number, start = 0, 0
        try:
            if after is not None:
                self._stream.seek(after.start)
                if _digest(self._stream.read(after.end - after.start)) != after.digest:
                    raise ContentChanged
                number, start = after.number, after.end
            while line := self._stream.readline(MAX_LINE):
                length = len(line)
                while not line.endswith(b"\n") and len(line) >= MAX_LINE and (more := self._stream.readline(MAX_LINE)):
                    length += len(more)
                    if more.endswith(b"\n"):
                        break
                number += 1
                place = Position(number, start, start + length, _digest(line) if length == len(line) else "")
                start += length
                yield _entry(line, place, self._agent_id)
        except (EOFError, OSError, zlib.error) as error:
            raise UnreadableEntry(_broken(error)) from None


def _entry(line: bytes, place: Position, agent_id: str | None) -> Entry:
    entry = Entry(place.number, "", place)
    if place.end - place.start > MAX_LINE:
        return evolve(entry, problem=f"it has over {MAX_LINE} bytes")
    text = line.removeprefix(_BOM) if place.start == 0 else line
    if not text.strip():
        return entry
    entry = evolve(entry, text=text.decode("utf-8", "replace").rstrip("\r\n"))
    try:
        record = _of_agent(reports.read(_json(text)), agent_id)
        if record.id is None:
            # The same line of the same file is the same run, however often it is read.
            seed = f"{place.number}:{record.agent_id}:{entry.text.strip()}"
            record = evolve(record, id=named(seed))
        return evolve(entry, record=record)
    except ValueError as error:
        return evolve(entry, problem=str(error))


class _Traces:
    """The spans of a trace may stand anywhere in the file: it is read as a whole."""

    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id

    def entries(self, after: Position | None) -> Iterator[Entry]:
        try:
            content = self._stream.read()
        except (EOFError, OSError, zlib.error) as error:
            raise UnreadableEntry(_broken(error)) from None
        digest = _digest(content)
        if after is not None and after.digest != digest:
            raise ContentChanged
        done = 0 if after is None else after.number
        number = 0
        found: list[Span] = []
        for line, text, document in _documents(content.removeprefix(_BOM)):
            problem = None
            try:
                found += read_spans(_json(text) if document is None else document, line)
            except ValueError as error:
                problem = str(error)
            if problem is not None:
                number += 1
                if number > done:
                    yield Entry(line, text.decode("utf-8", "replace"), Position(number, 0, 0, digest), problem=problem)
        for run in runs_from_spans(found):
            number += 1
            if number > done:
                yield Entry(run.line, run.told, Position(number, 0, 0, digest), _of_agent(run.record, self._agent_id))


def _of_agent(record: Record, agent_id: str | None) -> Record:
    return evolve(record, agent_id=agent_id) if record.agent_id is None else record


def _documents(content: bytes) -> Iterator[tuple[int, bytes, Any]]:
    """Line number, text, and the value where it is known already."""
    first, _, rest = content.lstrip().partition(b"\n")
    if rest.strip() and _is_json(first):
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield number, line, None
    else:
        try:
            yield 1, b"", _json(content)
        except ValueError:
            yield 1, content[:1_000], None


def _is_json(text: bytes) -> bool:
    try:
        _json(text)
    except ValueError:
        return False
    return True


def _json(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _broken(error: Exception) -> str:
    told = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return f"cannot be read to its end: {told}"
