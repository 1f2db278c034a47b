"""Settings of the transport: proxy, certificates, headers, and httpx transports of the caller."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from xpander_sdk._records import field, frozen
from xpander_sdk.settings.validators import environment_variable, optional_str

if TYPE_CHECKING:
    from ssl import SSLContext

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED_HEADERS = frozenset(
    {"x-api-key", "x-reported-at", "x-request-id", "host", "content-length", "content-type", "transfer-encoding"}
)
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def _as_tuple(value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value


def _parse_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(dict(headers).items())
    for name, value in pairs:
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ValueError(f"headers must have valid names, got {name!r}")
        if name.lower() in _RESERVED_HEADERS:
            raise ValueError(f"headers must not set {name}; the SDK sets it from other settings")
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ValueError(f"headers[{name!r}] must be printable ASCII")
    return pairs


def _allow_plain_http_or_environment(value: bool | None) -> bool:
    if value is None:
        word = environment_variable("XPANDER_ALLOW_PLAIN_HTTP")
        if word is not None and word.lower() not in ("0", "1", "false", "true", "no", "yes"):
            raise ValueError(f"XPANDER_ALLOW_PLAIN_HTTP must be 1 or 0, got {word!r}")
        return word is not None and word.lower() in ("1", "true", "yes")
    if not isinstance(value, bool):
        raise ValueError(f"allow_plain_http must be a bool, got {type(value).__name__}")
    return value


def _without_credentials(url: str | None) -> str:
    if url is None:
        return "None"
    parts = urlsplit(url)
    return repr(f"{parts.scheme}://{'***@' if parts.username else ''}{parts.netloc.rpartition('@')[2]}")


@frozen(kw_only=True)
class TransportSettings:
    """Settings of the transport, which apply to all requests.

    Args:
        proxy: URL of a proxy, `http://user:password@host:port`; https, socks5 and socks5h work too. Default: the
            environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY).
        ca_bundle: File of certificate authorities to trust. Default: SSL_CERT_FILE, else certifi's.
        ssl_context: Your own context, instead of `ca_bundle` and `client_certificate`.
        client_certificate: A PEM file, or a pair of certificate file and key file.
        headers: Headers to send with each request.
        allow_plain_http: Send keys and runs to `http://` URLs of other machines, in clear text. Default:
            XPANDER_ALLOW_PLAIN_HTTP (1 or 0), else False; only addresses of this machine are then allowed.
        http: Callable that returns an httpx transport (`httpx.HTTPTransport`, or your own) for the synchronous forms.
            It is called once per process, and replaces all settings above except `headers` and `allow_plain_http`.
        async_http: Callable that returns an asynchronous httpx transport for the asynchronous forms. It is called once
            per event loop, and replaces all settings above except `headers` and `allow_plain_http`.

    Raises:
        ValueError: A setting is invalid, or contradicts another one.

    Example:
        >>> TransportSettings(proxy="http://proxy.example.com:3128", headers={"x-team": "billing"}).proxy
        'http://proxy.example.com:3128'
    """

    proxy: str | None = field(default=None, validator=optional_str, repr=_without_credentials)
    ca_bundle: str | None = field(default=None, validator=optional_str)
    ssl_context: "SSLContext | None" = None
    client_certificate: tuple[str, ...] | None = field(default=None, converter=_as_tuple)
    headers: tuple[tuple[str, str], ...] = field(default=(), converter=_parse_headers, repr=lambda _: "...")
    allow_plain_http: bool = field(default=None, converter=_allow_plain_http_or_environment)
    http: Callable[[], Any] | None = None
    async_http: Callable[[], Any] | None = None

    def __attrs_post_init__(self) -> None:
        replaced = [name for name in ("proxy", "ca_bundle", "ssl_context", "client_certificate") if getattr(self, name)]
        if (self.http or self.async_http) and replaced:
            raise ValueError(
                f"{replaced[0]} must not be set together with http or async_http; set it on that transport"
            )
        if self.ssl_context and (self.ca_bundle or self.client_certificate):
            raise ValueError(
                "ssl_context must not be set with ca_bundle or client_certificate; load them into the context"
            )
        for path in (self.ca_bundle, *(self.client_certificate or ())):
            if path is not None and not os.path.isfile(path):
                raise ValueError(f"ca_bundle and client_certificate must be files that exist, got {path!r}")
        if self.proxy is not None and urlsplit(self.proxy).scheme not in _PROXY_SCHEMES:
            raise ValueError("proxy must be a URL that begins with http://, https://, socks5:// or socks5h://")
