"""Redaction of httpcore's logs, which may contain all headers of a response."""

import logging
from collections.abc import Callable
from contextvars import ContextVar

redaction: ContextVar[Callable[[str], str] | None] = ContextVar("redaction", default=None)
"""Redaction of the current call; None outside calls."""


class _RedactingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        redact = redaction.get()
        if redact is not None:
            record.msg, record.args = redact(record.getMessage()), ()
        return True


for _name in ("connection", "http11", "proxy", "socks"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_RedactingFilter())
