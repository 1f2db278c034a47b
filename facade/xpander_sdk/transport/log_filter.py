"""httpcore's own logs, which may tell all headers of an answer: a key that a backend repeats, too."""

import logging
from collections.abc import Callable
from contextvars import ContextVar

redaction: ContextVar[Callable[[str], str] | None] = ContextVar("redaction", default=None)
"""Of the call that is under way."""


class _Redacted(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        redacted = redaction.get()
        if redacted is not None:
            record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("connection", "http11", "proxy", "socks"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_Redacted())
