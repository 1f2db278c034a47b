"""Removal of secrets from logs and errors.

A backend or a proxy may repeat the secrets that it received: the API key, or the password of the proxy.
"""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from xpander_sdk.client.destination import Destination

HIDDEN = "***"
_MIN_LENGTH = 4  # characters; a shorter secret is part of many ordinary words


class Redaction:
    """Function that replaces the secrets of one call by `***`.

    The secrets are the API key and the password of the proxy, each in the encodings in which a response may repeat
    it: plain, escaped as JSON, percent-encoded, and the base64 form of HTTP's basic authentication.

    Args:
        key: The API key, or None.
        destination: Destination of the call, which may have a proxy.
    """

    def __init__(self, key: str | None, destination: Destination) -> None:
        self.key = key
        self._destination = destination
        self._encodings: list[str] | None = None

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._encodings is None:
            encodings = {form for secret in self._secrets() if len(secret) >= _MIN_LENGTH for form in _encode(secret)}
            self._encodings = sorted(encodings, key=len, reverse=True)  # one of them may be part of another
        for encoding in self._encodings:
            text = text.replace(encoding, HIDDEN)
        return text

    def _secrets(self) -> Iterator[str]:
        if self.key is not None:
            yield self.key
        destination = self._destination
        settings = destination.transport
        if destination.store is None and settings.http is None and settings.async_http is None:
            from xpander_sdk.transport.proxies import find_proxy

            proxy = urlsplit(find_proxy(settings, destination.url) or "")
            if proxy.password:
                user, password = unquote(proxy.username or ""), unquote(proxy.password)
                yield password
                yield base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _encode(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret)
    yield quote(secret, safe="")
