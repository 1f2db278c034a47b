"""Log records on standard error, as text or JSON lines, each with the id of its request.

Example of both formats:
    2026-01-02T03:04:05.678Z INFO xpander_server.access: GET /health 200 method=GET path=/health status=200 … [4f0c…]
    {"time":"2026-01-02T03:04:05.678Z","level":"INFO","logger":"xpander_server.access","message":"GET /health 200",…}
"""

import json
import logging
import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from xpander_server.http.dispatcher import request_id

LogFormat = Literal["text", "json"]


def configure_logging(log_format: LogFormat, level: str, worker: int | None = None) -> None:
    """Write log records to standard error.

    Args:
        log_format: `text` for people, `json` for one JSON object per line.
        level: Lowest level to write, such as `INFO` or `WARNING`.
        worker: Number of this process among several, for each record; None for the only one.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    if worker is not None:
        handler.addFilter(partial(_add_worker, worker))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The server writes its own record for each request and at its start.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # The store writes one record when it becomes unavailable; psycopg would write one for each lost connection.
    logging.getLogger("psycopg").setLevel(logging.ERROR)


def with_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the `extra` argument of a log call that adds `fields` to the record."""
    return {"fields": fields}


def _add_worker(worker: int, record: logging.LogRecord) -> bool:
    record.fields = {**getattr(record, "fields", {}), "worker": worker}
    return True


def _format_time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii").replace("\x7f", "\\x7f")


def _escape_field(value: object) -> str:
    """Return a value that cannot be read as two fields: with quotation marks if it contains a space."""
    text = _escape(str(value))
    return json.dumps(text) if any(character in text for character in ' "=') else text


class _JsonFormatter(logging.Formatter):
    """Formatter that writes one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _format_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=str).replace("\x7f", "\\u007f")


class _TextFormatter(logging.Formatter):
    """Formatter that writes one text line, followed by a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        # Escaping prevents that data from outside forges a log line or sends control codes to a terminal.
        message = _escape(record.getMessage())
        line = f"{_format_time(record)} {record.levelname} {record.name}: {message}"
        fields = getattr(record, "fields", {})
        line += "".join(f" {name}={_escape_field(value)}" for name, value in fields.items())
        if current := request_id.get():
            line += f" [{current}]"
        if record.exc_info:
            # Indented, because the message of an exception can contain newlines.
            line += "".join(f"\n  {_escape(text)}" for text in self.formatException(record.exc_info).split("\n"))
        return line
