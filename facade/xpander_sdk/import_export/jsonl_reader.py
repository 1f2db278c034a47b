"""Reader of JSON lines."""

import hashlib
from collections.abc import Iterator
from typing import IO

from attrs import evolve

from xpander_sdk.import_export.entries import (
    BOM,
    MAX_PROBLEM_TEXT,
    READ_ERRORS,
    ContentChanged,
    Entry,
    Position,
    count_values,
    parse_json,
    unreadable,
    with_agent,
)
from xpander_sdk.import_export.jsonl import parse_record
from xpander_sdk.import_export.record import id_from_seed

MAX_LINE = 16 << 20
"""Maximum length of a line in bytes. A request body has at most 4 MiB; with escaped characters, JSON of its content has
three times that size."""
MAX_LINE_VALUES = 1_000_000
"""Maximum number of separators of the values of one line of reports. Small values need 30 times the memory of their
text."""


class JsonlReader:
    """Reader of JSON lines. It seeks to the position, and holds one line at a time."""

    def __init__(self, stream: IO[bytes], agent_id: str | None) -> None:
        self._stream = stream
        self._agent_id = agent_id
        self.ignored: str | None = None

    def entries(self, after: Position | None) -> Iterator[Entry]:
        """Yield the entries behind a position, or all; see `RunReader.entries`."""
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
        except READ_ERRORS as error:
            raise unreadable(error) from None

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
    content = line.removeprefix(BOM) if position.start == 0 else line
    if not content.strip():
        return entry
    entry = evolve(entry, text=content.decode("utf-8", "replace").rstrip("\r\n"))
    try:
        # Before it is parsed, which needs the memory.
        if len(content) > MAX_LINE_VALUES and count_values(content) > MAX_LINE_VALUES:
            raise ValueError(f"the line must have at most {MAX_LINE_VALUES} values")
        record = with_agent(parse_record(parse_json(content)), agent_id)
        if record.id is None:
            # The same line of the same file is the same run, also when the file is imported again.
            seed = f"{position.number}:{record.agent_id}:{entry.text.strip()}"
            record = evolve(record, id=id_from_seed(seed))
        return evolve(entry, record=record)
    except ValueError as error:
        return evolve(entry, text=entry.text[:MAX_PROBLEM_TEXT], problem=str(error))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
