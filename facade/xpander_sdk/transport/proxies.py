"""Choice of the proxy for a destination."""

import importlib.util
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

from xpander_sdk import _fork
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport.tls import build_ssl_context


def find_proxy(settings: TransportSettings, url: SplitResult) -> str | None:
    """Return the URL of the proxy for requests to `url`, from the settings or the environment; None for no proxy."""
    address = settings.proxy or _environment_proxy(url)
    return address if address is None or "://" in address else f"http://{address}"


def build_proxy(settings: TransportSettings, url: SplitResult) -> httpcore.Proxy | None:
    """Return httpcore's description of the proxy for requests to `url`.

    Raises:
        ValueError: A SOCKS proxy needs a package that is not installed.
    """
    scheme = urlsplit(find_proxy(settings, url) or "").scheme
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        # Checked before any variable contains the password of the proxy: error reporters show the variables of a frame.
        raise ValueError("a SOCKS proxy needs the package socksio; run pip install 'httpx[socks]'")
    address = find_proxy(settings, url)
    if address is None:
        return None
    parts = urlsplit(address)
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    context = build_ssl_context(settings) if parts.scheme == "https" else None
    return httpcore.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=auth, ssl_context=context)


def _environment_proxy(url: SplitResult) -> str | None:
    with _fork.import_lock:
        from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    # NO_PROXY may name a host with or without its port.
    if proxy_bypass(url.netloc) or proxy_bypass(url.hostname or ""):
        return None
    return proxies.get(url.scheme.lower()) or proxies.get("all")
