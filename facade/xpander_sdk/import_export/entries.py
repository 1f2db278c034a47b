"""Entries of a file with runs, the interface of its readers, and what the readers share."""

import json
import os
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from attrs import evolve, frozen

from xpander_sdk.import_export.record import Record

BOM = b"\xef\xbb\xbf"
READ_ERRORS = (EOFError, OSError, zlib.error)
"""Errors of a file that cannot be read to its end, for example a truncated one of gzip."""
MAX_PROBLEM_TEXT = 1 << 20
"""Maximum length of the text of an invalid entry, which is only listed."""


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


def with_agent(record: Record, agent_id: str | None) -> Record:
    """Return the record, with this agent if it has none."""
    return evolve(record, agent_id=agent_id) if record.agent_id is None else record


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not UTF-8 or not JSON.
    """
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the text must be UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the text must be JSON: {error}") from None


def count_values(text: bytes) -> int:
    """Return the number of separators of JSON values, also of those in strings: a fast upper limit of the values."""
    return sum(map(text.count, (b",", b"[", b"{", b":")))


def unreadable(error: Exception) -> UnreadableSource:
    """Return the error for a file whose rest cannot be read."""
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return UnreadableSource(f"cannot be read to its end: {reason}")
