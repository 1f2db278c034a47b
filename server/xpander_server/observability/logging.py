"""What the server writes down of itself: lines of text, or of JSON, with the id of the request that they belong to."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from xpander_server.http.dispatcher import request_id

LogFormat = Literal["text", "json"]


def configure_logging(form: LogFormat, level: str) -> None:
    """Log to standard error, from `level` (`INFO`, `WARNING`, …) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The server's own steps are told by ours; what is left of theirs are warnings.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def with_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """`extra=` of a log call: facts that JSON shall keep apart."""
    return {"fields": fields}


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class _Json(logging.Formatter):
    """An object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Text(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        # Nothing that came from outside may begin a line of its own, or steer a terminal.
        message = record.getMessage().encode("unicode_escape").decode("ascii")
        line = f"{_moment(record)} {record.levelname} {record.name}: {message}"
        fields = getattr(record, "fields", {})
        line += "".join(f" {name}={value}" for name, value in fields.items())
        if current := request_id.get():
            line += f" [{current}]"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
