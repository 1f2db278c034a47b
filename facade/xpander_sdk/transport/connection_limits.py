"""Limits of HTTP connections: how many per destination, and how long an idle one is kept."""

from typing import Any
from urllib.parse import SplitResult

from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport.proxies import build_proxy
from xpander_sdk.transport.tls import build_ssl_context

MAX_CONNECTIONS = 100  # asynchronous requests in flight per destination; the others wait
KEEP_ALIVE = 60.0  # seconds; a connection that the server closes earlier is detected before its next use


def pool_options(settings: TransportSettings, url: SplitResult) -> dict[str, Any]:
    """Return the arguments of httpcore's pool, which opens single connections for a transport's own stack."""
    return {
        "ssl_context": build_ssl_context(settings) if url.scheme.lower() == "https" else None,
        "proxy": build_proxy(settings, url),
        "max_connections": 1,
        "keepalive_expiry": KEEP_ALIVE,
    }
