"""JSON text of a document, as the server stores and shows it: without spaces, not restricted to ASCII."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def as_text(document: Any) -> str:
    """Return a document as JSON text."""
    return _encode(document).decode()
