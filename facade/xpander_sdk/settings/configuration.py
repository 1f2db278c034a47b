"""Settings: who reports, and where to."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from attrs import Attribute, evolve, field, frozen

from xpander_sdk import _fork
from xpander_sdk.settings.outbox import OutboxSettings, parse_outbox
from xpander_sdk.settings.retry import RetryPolicy, Timeouts

if TYPE_CHECKING:
    from ssl import SSLContext

CLOUD = "https://inbound.xpander.ai"
STAGING = "https://inbound.stg.xpander.ai"


def _from_environment(name: str) -> str | None:
    return os.environ.get(name) or None


def _base_url(given: str | None) -> str:
    url = given or _from_environment("XPANDER_BASE_URL")
    if url is None:
        return STAGING if os.environ.get("IS_STG") == "true" else CLOUD
    if not isinstance(url, str):
        raise ValueError(f"base_url must be a str, not {type(url).__name__}")
    url = url.strip()
    if len(url) > 2_000 or not url.isprintable():
        raise ValueError("base_url must be printable and have at most 2,000 characters")
    if "://" not in url:
        if url.startswith("sqlite:") or url.endswith((".db", ".sqlite", ".sqlite3")):
            raise ValueError(f"base_url {url!r} looks like a file; write sqlite:///runs.db, or sqlite:////tmp/runs.db")
        url = f"https://{url}"
    scheme, separator, rest = url.partition("://")
    url = f"{scheme.lower()}{separator}{rest}"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"base_url {without_password(url)!r} is no URL") from None
    if parts.scheme in _POSTGRESQL:
        return _database_url(url)
    if parts.scheme not in ("http", "https", "sqlite"):
        raise ValueError(
            f"base_url cannot be a {parts.scheme}:// URL; write https://, http://, sqlite:///FILE or postgresql://"
        )
    if parts.username or parts.password:
        raise ValueError("base_url must not carry a user or a password; the key goes into api_key")
    if parts.query or parts.fragment:
        raise ValueError("base_url must end before any ? or #")
    if parts.scheme == "sqlite":
        if parts.netloc or parts.path in ("", "/", "/:memory:"):
            raise ValueError(f"base_url {url!r} names no file; write sqlite:///runs.db, or sqlite:////tmp/runs.db")
        # Absolute from now on: a relative file would be another one after a change of directory.
        url = f"sqlite:///{os.path.abspath(url.removeprefix('sqlite:///'))}"
    elif not parts.hostname or _port(url) == 0:
        raise ValueError(f"base_url {url!r} names no host")
    else:
        try:
            with _fork.import_lock:  # the first use of this codec is an import
                parts.hostname.encode("idna" if ":" not in parts.hostname else "ascii")
        except UnicodeError:
            raise ValueError(f"base_url {url!r} has a host that cannot be: {parts.hostname!r}") from None
    return url


def _database_url(url: str) -> str:
    # Here alone the URL carries what opens the target: its own form has a place for that.
    parts = urlsplit(url)
    if parts.fragment:
        raise ValueError("base_url must end before any #; in a password, write it as %23")
    if len(parts.path) < 2 or _port(url) == 0:
        raise ValueError(f"base_url {without_password(url)!r} names no database; {_DATABASE_FORM}")
    return url


_POSTGRESQL = ("postgresql", "postgresql+psycopg")
_DATABASE_FORM = "write postgresql://user:password@host/database"


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    start, at, end = rest.rpartition("@")
    user, colon, _ = start.partition(":")
    shown = f"{scheme}{separator}{user}{':***' if colon else ''}{at}{end}"
    return _SECRET.sub(r"\1***", shown)


_SECRET = re.compile(r"((?:password|passfile|sslpassword)=)[^&]*")


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError(f"base_url {without_password(url)!r} has a port that is no number up to 65535") from None


@frozen
class KeyFile:
    """A file that holds the key, read anew for each call, so that a key can be changed under a running program."""

    path: str

    def __call__(self) -> str:
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ValueError(f"XPANDER_API_KEY_FILE {self.path!r} cannot be read: {reason}") from None


def _api_key(given: str | Callable[[], str] | None) -> str | Callable[[], str] | None:
    if given:
        return given
    key, path = _from_environment("XPANDER_API_KEY"), _from_environment("XPANDER_API_KEY_FILE")
    if key and path:
        raise ValueError("XPANDER_API_KEY and XPANDER_API_KEY_FILE are both set; which one is meant?")
    return KeyFile(path) if path else key


def _organization_id(given: str | None) -> str | None:
    return given or _from_environment("XPANDER_ORGANIZATION_ID")


def _optional_text(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name} must be a str, not {type(value).__name__}")
    if any("\ud800" <= character <= "\udfff" or character < " " for character in value):
        raise ValueError(f"{attribute.name} must not have control characters or lone surrogates")


def _of_type(kind: type) -> Callable[[object, "Attribute[Any]", object], None]:
    def check(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"{attribute.name} must be {kind.__name__}(…), not {type(value).__name__}")

    return check


def _key_or_callable(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    wrong = None if value is None or callable(value) else _wrong_with_key(value)
    if wrong:
        del value  # not even among the variables of this frame, which tools that report errors show
        raise ValueError(f"api_key must be {wrong}")


def _wrong_with_key(value: Any) -> str | None:
    """What a key must be that this one is not; never the key."""
    if not isinstance(value, str):
        return f"a str, not {type(value).__name__}"
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        return "printable ASCII without spaces around it; a stray newline?"
    return None


def _pair(given: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (given,) if isinstance(given, str) else given


def _headers(given: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(dict(given).items())
    for name, value in pairs:
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise ValueError(f"headers cannot have the name {name!r}")
        if name.lower() in _OUR_HEADERS:
            raise ValueError(f"headers must not set {name}, which is set from the other settings")
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise ValueError(f"headers[{name!r}] must be printable ASCII")
    return pairs


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS = frozenset(
    {"x-api-key", "x-reported-at", "x-request-id", "host", "content-length", "content-type", "transfer-encoding"}
)


@frozen(kw_only=True)
class TransportSettings:
    """How requests travel; one setting for all traffic.

    Args:
        proxy: a proxy's URL, `http://user:password@host:port`. Default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.
        ca_bundle: a file of certificates to trust. Default: SSL_CERT_FILE, else certifi's.
        ssl_context: a context of your own, in place of `ca_bundle` and `client_certificate`.
        client_certificate: a PEM file, or a pair of certificate and key.
        headers: sent with every request.
        http: makes an httpx transport (`httpx.HTTPTransport` or one of your own) that is to carry the requests, in
            place of all that is above but `headers`; called once for each process.
        async_http: the same for the asynchronous forms; called once for each event loop.

    Raises:
        ValueError: settings that cannot be, or that contradict each other.
    """

    proxy: str | None = field(default=None, validator=_optional_text, repr=lambda url: _without_password(url))
    ca_bundle: str | None = field(default=None, validator=_optional_text)
    ssl_context: "SSLContext | None" = None
    client_certificate: tuple[str, ...] | None = field(default=None, converter=_pair)
    headers: tuple[tuple[str, str], ...] = field(default=(), converter=_headers, repr=lambda _: "...")
    http: Callable[[], Any] | None = None
    async_http: Callable[[], Any] | None = None

    def __attrs_post_init__(self) -> None:
        ours = [name for name in ("proxy", "ca_bundle", "ssl_context", "client_certificate") if getattr(self, name)]
        if (self.http or self.async_http) and ours:
            raise ValueError(f"{ours[0]} has no effect on a transport of your own; set it there")
        if self.ssl_context and (self.ca_bundle or self.client_certificate):
            raise ValueError("ssl_context stands in place of ca_bundle and client_certificate; set them in it")
        for path in (self.ca_bundle, *(self.client_certificate or ())):
            if path is not None and not os.path.isfile(path):
                raise ValueError(f"there is no file {path!r} to read certificates from")
        if self.proxy is not None and urlsplit(self.proxy).scheme not in ("http", "https", "socks5", "socks5h"):
            raise ValueError("proxy must be a URL that begins with http://, https:// or socks5://")


def _without_password(url: str | None) -> str:
    if url is None:
        return "None"
    parts = urlsplit(url)
    return repr(f"{parts.scheme}://{'***@' if parts.username else ''}{parts.netloc.rpartition('@')[2]}")


@frozen(kw_only=True, cache_hash=True)
class Configuration:
    """Who reports, and where to. What is not given comes from the environment, at the time of creation.

    Args:
        api_key: the key, or a callable that gives it for each call. Default: XPANDER_API_KEY, else the content of the
            file that XPANDER_API_KEY_FILE names. Not needed for an embedded target.
        organization_id: the organisation. Default: XPANDER_ORGANIZATION_ID. Part of the path at a self-hosted
            controller, and the owner of the runs in an embedded store; elsewhere the key tells it.
        base_url: the target. Default: XPANDER_BASE_URL, else xpander.ai's cloud. `https://…` (cloud or self-hosted
            controller), `http://127.0.0.1:8100` (our server); embedded, without a server: `sqlite:///runs.db` (made
            absolute) and `postgresql://user:password@host/database`.
        agent_id: the agent of calls that name none. Default: None, which leaves it to XPANDER_AGENT_ID.
        timeouts: how long to wait for an answer.
        retry: how hard to try.
        transport: how requests travel.
        outbox: a file, or `OutboxSettings(file=…, …)`, for undelivered reports. Default: XPANDER_OUTBOX, else
            none for `report_external_task`, and the user's own for `submit_external_task`, which always needs one.

    Raises:
        ValueError: a setting cannot be, or contradicts another; the text names it.

    Example:
        >>> Configuration(base_url="sqlite:///runs.db").with_options(agent_id="agent-123").agent_id
        'agent-123'
    """

    api_key: str | Callable[[], str] | None = field(
        default=None,
        converter=_api_key,
        validator=_key_or_callable,
        repr=lambda key: "None" if key is None else "***",
    )
    organization_id: str | None = field(default=None, converter=_organization_id, validator=_optional_text)
    base_url: str = field(default=None, converter=_base_url, repr=lambda url: repr(without_password(url)))
    agent_id: str | None = field(default=None, validator=_optional_text)
    timeouts: Timeouts = field(factory=Timeouts, validator=_of_type(Timeouts))
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_of_type(RetryPolicy))
    transport: TransportSettings = field(factory=TransportSettings, validator=_of_type(TransportSettings))
    outbox: OutboxSettings | None = field(default=None, converter=parse_outbox)

    def with_options(self, **changes: Any) -> "Configuration":
        """A copy with other settings, named as the arguments are.

        Raises:
            ValueError: a setting cannot be.
            TypeError: there is no such setting.
        """
        return evolve(self, **changes)

    def current_key(self) -> str | None:
        """The key, as it is now.

        Raises:
            ValueError: its file cannot be read, or its callable gives no key.
        """
        if not callable(self.api_key):
            return self.api_key
        key = self.api_key()
        wrong = _wrong_with_key(key or None)
        if wrong:
            del key
            raise ValueError(f"what the callable of api_key gives must be {wrong}")
        return key

    @property
    def is_embedded(self) -> bool:
        """Whether the target is a file or a database, which is opened here, without a server in between."""
        return self.base_url.partition("://")[0] in ("sqlite", *_POSTGRESQL)

    @property
    def target(self) -> str:
        """The target as it may be shown: `base_url` without a password."""
        return without_password(self.base_url)

    def get_full_url(self) -> str:
        """The URL that the paths of the contract follow: of a self-hosted controller, with its organisation.

        Raises:
            ValueError: a self-hosted controller without an organisation.
        """
        base = self.base_url.rstrip("/")
        if not self._is_controller():
            return base
        if self.organization_id is None:
            raise ValueError("a self-hosted controller needs organization_id= or XPANDER_ORGANIZATION_ID")
        return f"{base}/{quote(self.organization_id, safe='')}"

    def _is_controller(self) -> bool:
        if self.is_embedded:
            return False
        parts = urlsplit(self.base_url)
        first_segment = parts.path.strip("/").split("/")[0]
        return "agent-controller" in (parts.hostname or "") or parts.port == 9016 or first_segment == "agent-controller"


def resolve_configuration(configuration: Configuration | None) -> Configuration:
    """The configuration that a call was given; where it was given none, a new one.

    Raises:
        ValueError: it is something else.
    """
    if configuration is None:
        return Configuration()
    if not isinstance(configuration, Configuration):
        told = type(configuration).__name__
        raise ValueError(f"configuration must be Configuration(base_url=…, …) or None, not {told}")
    return configuration
