"""Choice of the proxy for a destination."""

import importlib.util
import os
import sys
from urllib.parse import SplitResult, unquote, urlsplit

from xpander_sdk import _fork
from xpander_sdk.settings.base_url import is_loopback
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.transport.http_library import httpcore
from xpander_sdk.transport.tls import build_ssl_context


def find_proxy(settings: TransportSettings, url: SplitResult) -> str | None:
    """Return the URL of the proxy for requests to `url`, from the settings or the environment; None for no proxy."""
    address = settings.proxy or _environment_proxy(url)
    return address if address is None or "://" in address else f"http://{address}"


def build_proxy(settings: TransportSettings, url: SplitResult) -> httpcore.Proxy | None:
    """Return httpcore's description of the proxy for requests to `url`.

    Raises:
        ValueError: A SOCKS proxy needs a package that is not installed, or the proxy would receive the key in clear
            text.
    """
    check_proxy_protection(settings, url)
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


def check_proxy_protection(settings: TransportSettings, url: SplitResult) -> None:
    """Check that no proxy on another machine receives requests to an `http://` URL.

    Raises:
        ValueError: A proxy would receive them, and `allow_plain_http` is not set.
    """
    if url.scheme.lower() != "http" or settings.allow_plain_http:
        return
    host = urlsplit(find_proxy(settings, url) or "").hostname
    if host is not None and not is_loopback(host):
        raise ValueError(
            f"base_url must begin with https://, got {url.geturl()}: the key and the runs would cross the network "
            f"to the proxy {host} in clear text. Add {url.hostname} to NO_PROXY. If that network is trusted, set "
            "XPANDER_ALLOW_PLAIN_HTTP=1 or pass TransportSettings(allow_plain_http=True)"
        )


def _environment_proxy(url: SplitResult) -> str | None:
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # other systems have no settings of proxies, so urllib, which imports 30 modules, is not needed
    with _fork.import_lock:
        from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    # NO_PROXY may name a host with or without its port.
    if proxy_bypass(url.netloc) or proxy_bypass(url.hostname or ""):
        return None
    return proxies.get(url.scheme.lower()) or proxies.get("all")
