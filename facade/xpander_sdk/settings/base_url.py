"""Validation of `base_url`: HTTP URLs, database files and databases."""

import os
import re
from urllib.parse import urlsplit

from xpander_sdk import _fork
from xpander_sdk.settings.validators import environment_variable

CLOUD = "https://inbound.xpander.ai"
STAGING = "https://inbound.stg.xpander.ai"
POSTGRESQL_SCHEMES = ("postgresql", "postgresql+psycopg")

_MAX_LENGTH = 2_000  # characters
_PASSWORD_PARAMETER = re.compile(r"((?:password|passfile|sslpassword)=)[^&]*")


def parse_base_url(value: str | None) -> str:
    """Return the validated URL; for None that of XPANDER_BASE_URL, else xpander.ai's cloud.

    A URL without a scheme becomes `https://…`. A relative path after `sqlite:///` becomes absolute.

    Raises:
        ValueError: The URL is malformed or empty. The text contains no password.
    """
    url = environment_variable("XPANDER_BASE_URL") if value is None else value
    if url is None:
        return STAGING if os.environ.get("IS_STG") == "true" else CLOUD
    url = _with_scheme(url)
    parts = urlsplit(url)
    scheme = parts.scheme
    if scheme in POSTGRESQL_SCHEMES:
        _check_database_url(url)
        return url
    if scheme not in ("http", "https", "sqlite"):
        raise ValueError(
            f"base_url must not begin with {scheme}://; write https://, http://, sqlite:///FILE or postgresql://"
        )
    if parts.username or parts.password:
        raise ValueError("base_url must not contain a user or a password; pass the key as api_key")
    if parts.query or parts.fragment:
        raise ValueError("base_url must not contain a query (?) or a fragment (#)")
    if scheme == "sqlite":
        return _absolute_file_url(url)
    _check_host(url)
    return url


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is one of this machine that no other machine can listen to."""
    if host.rstrip(".").lower() == "localhost":
        return True
    import ipaddress  # imported here because it takes milliseconds

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(url: str) -> str:
    """Return the URL with `***` for each password."""
    scheme, separator, rest = url.partition("://")
    start, at, end = rest.rpartition("@")
    user, colon, _ = start.partition(":")
    shown = f"{scheme}{separator}{user}{':***' if colon else ''}{at}{end}"
    return _PASSWORD_PARAMETER.sub(r"\1***", shown)


def _with_scheme(url: object) -> str:
    if not isinstance(url, str):
        raise ValueError(f"base_url must be a str, got {type(url).__name__}")
    url = url.strip()
    if not url:
        raise ValueError("base_url must not be empty; omit it for XPANDER_BASE_URL, or else xpander.ai's cloud")
    if len(url) > _MAX_LENGTH or not url.isprintable():
        raise ValueError(f"base_url must be printable and have at most {_MAX_LENGTH:,} characters, got {len(url):,}")
    if "://" not in url:
        if url.startswith("sqlite:") or url.endswith((".db", ".sqlite", ".sqlite3")):
            raise ValueError(f"base_url must be a URL, got {url!r}; write sqlite:///runs.db, or sqlite:////tmp/runs.db")
        url = f"https://{url}"
    scheme, separator, rest = url.partition("://")
    url = f"{scheme.lower()}{separator}{rest}"
    try:
        urlsplit(url)
    except ValueError:
        raise ValueError(f"base_url must be a URL, got {without_password(url)!r}") from None
    return url


def _absolute_file_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.netloc or parts.path in ("", "/", "/:memory:"):
        raise ValueError(
            f"base_url must contain the path of a file, got {url!r}; write sqlite:///runs.db, or sqlite:////tmp/runs.db"
        )
    # A relative path would name another file after a change of directory.
    return f"sqlite:///{os.path.abspath(url.removeprefix('sqlite:///'))}"


def _check_host(url: str) -> None:
    hostname = urlsplit(url).hostname
    if not hostname or _port(url) == 0:
        raise ValueError(f"base_url must contain a host, got {url!r}")
    try:
        with _fork.import_lock:  # the first use of the codec imports a module
            hostname.encode("idna" if ":" not in hostname else "ascii")
    except UnicodeError:
        raise ValueError(f"base_url must contain a valid host, got {hostname!r}") from None


def _check_database_url(url: str) -> None:
    # Only a database URL carries its own user and password; those of HTTP belong in `api_key`.
    parts = urlsplit(url)
    if parts.fragment:
        raise ValueError("base_url must not contain a fragment (#); in a password, write %23")
    # Several hosts, as libpq writes them: postgresql://host1:5432,host2:5432/database
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(parts.path) < 2 or 0 in [_port(f"postgresql://{host}") for host in hosts]:
        raise ValueError(
            f"base_url must contain a database, got {without_password(url)!r}; "
            "write postgresql://user:password@host/database"
        )


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError(f"base_url must contain a port between 1 and 65535, got {without_password(url)!r}") from None
