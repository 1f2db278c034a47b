"""Settings: who reports, and where to."""

import os
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import Attribute, field, frozen

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
    if "://" not in url:
        url = f"https://{url}"
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https", "sqlite"):
        raise ValueError(f"base_url cannot be a {parts.scheme}:// URL; write https://, http:// or sqlite:///FILE")
    if parts.username or parts.password:
        raise ValueError("base_url must not carry a user or a password; the key goes into api_key")
    if parts.query or parts.fragment:
        raise ValueError("base_url must end before any ? or #")
    if parts.scheme == "sqlite":
        if parts.netloc or parts.path in ("", "/"):
            raise ValueError(f"base_url {url!r} names no file; write sqlite:///runs.db, or sqlite:////tmp/runs.db")
    elif not parts.hostname or _port(url) == 0:
        raise ValueError(f"base_url {url!r} names no host")
    return url


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError(f"base_url {url!r} has a port that is no number up to 65535") from None


def _api_key(given: str | None) -> str | None:
    return given or _from_environment("XPANDER_API_KEY")


def _organization_id(given: str | None) -> str | None:
    return given or _from_environment("XPANDER_ORGANIZATION_ID")


def _optional_text(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{attribute.name} must be a str, not {type(value).__name__}")


def _fits_a_header(instance: object, attribute: "Attribute[Any]", value: str | None) -> None:
    if value is not None and not (value.isascii() and value.isprintable() and value == value.strip()):
        # The value stays out of the text.
        raise ValueError(f"{attribute.name} must be printable ASCII without spaces around it; a stray newline?")


@frozen(kw_only=True)
class Configuration:
    """Who reports, and where to. What is not given comes from the environment, at the time of creation.

    Args:
        api_key: the key. Default: XPANDER_API_KEY. Not needed for `sqlite:///`.
        organization_id: the organisation. Default: XPANDER_ORGANIZATION_ID. Part of the path at a self-hosted
            controller, and the owner of the runs in an embedded store; elsewhere the key tells it.
        base_url: the target. Default: XPANDER_BASE_URL, else xpander.ai's cloud. `https://…` (cloud or self-hosted
            controller), `http://127.0.0.1:8100` (our server), `sqlite:///runs.db` (embedded, no server).
        agent_id: the agent of calls that name none. Default: None, which leaves it to XPANDER_AGENT_ID.

    Raises:
        ValueError: a setting cannot be; the text names it.

    Example:
        >>> Configuration(base_url="sqlite:///runs.db").base_url
        'sqlite:///runs.db'
    """

    api_key: str | None = field(
        default=None,
        converter=_api_key,
        validator=[_optional_text, _fits_a_header],
        repr=lambda key: "None" if key is None else "***",
    )
    organization_id: str | None = field(default=None, converter=_organization_id, validator=_optional_text)
    base_url: str = field(default=None, converter=_base_url)
    agent_id: str | None = field(default=None, validator=_optional_text)

    @property
    def is_embedded(self) -> bool:
        """Whether the target is a file on this machine."""
        return urlsplit(self.base_url).scheme == "sqlite"

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


def configured(configuration: Configuration | None) -> Configuration:
    """The configuration that a call was given; where it was given none, a new one.

    Raises:
        ValueError: it is something else.
    """
    if configuration is None:
        return Configuration()
    if not isinstance(configuration, Configuration):
        raise ValueError(f"configuration must be a Configuration or None, not {type(configuration).__name__}")
    return configuration
