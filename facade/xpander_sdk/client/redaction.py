"""Takes what is secret out of what is shown: a backend, or a proxy, may repeat what it was sent."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from xpander_sdk.client.destination import Destination

HIDDEN = "***"
_SHORTEST = 4  # characters; less is no secret, and part of many a word


class Redaction:
    """What must not be shown of one call: its key, and the password of the proxy that it goes through.

    Called with a text, it gives the text without them, in all the forms in which they may come back. Its repr tells
    none of them.
    """

    def __init__(self, key: str | None, route: Destination) -> None:
        self.key = key
        self._route = route
        self._forms: list[str] | None = None

    def __call__(self, text: str) -> str:
        if self._forms is None:
            found = {form for secret in self._secrets() if len(secret) >= _SHORTEST for form in _forms(secret)}
            self._forms = sorted(found, key=len, reverse=True)  # one of them may be part of another
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def _secrets(self) -> Iterator[str]:
        if self.key is not None:
            yield self.key
        route = self._route
        if route.store is None and route.transport.http is None and route.transport.async_http is None:
            from xpander_sdk.transport.proxies import find_proxy

            proxy = urlsplit(find_proxy(route.transport, route.url) or "")
            if proxy.password:
                user, password = unquote(proxy.username or ""), unquote(proxy.password)
                yield password
                yield base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret)
    yield quote(secret, safe="")
