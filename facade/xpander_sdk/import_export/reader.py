"""Reader of files with runs: an open file to entries with positions.

Formats are JSON lines of reports or tasks (`jsonl`), and OTLP JSON (`otlp`) as lines or as one document. Both may be
compressed with gzip.

Each entry has the position at which it ends. After an interruption, the reader continues behind a position:

    first read     entry 1 → entry 2 → entry 3      position 2 is saved, then the process ends
    second read    entries(after=position 2)        skips to position 2, verifies its digest, yields entry 3 …
"""

import gzip
import io
import re
import sys
from typing import IO, Literal, cast

from xpander_sdk.import_export.entries import READ_ERRORS, RunReader, unreadable
from xpander_sdk.import_export.jsonl_reader import JsonlReader
from xpander_sdk.import_export.otlp_reader import OtlpReader

Format = Literal["jsonl", "otlp"]
_OTLP_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"resource(Spans|Logs|Metrics|_spans|_logs|_metrics)"')
_GZIP_MAGIC = b"\x1f\x8b"
_PEEK_BYTES = 4_096


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
    except READ_ERRORS as error:
        raise unreadable(error) from None
    return (OtlpReader(stream, agent_id), "otlp") if is_otlp else (JsonlReader(stream, agent_id), "jsonl")
