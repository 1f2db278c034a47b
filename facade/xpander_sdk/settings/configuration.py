"""Configuration of the SDK: destination, credentials, and how to send."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from weakref import WeakValueDictionary

from xpander_sdk._records import evolve, field, frozen
from xpander_sdk.settings.base_url import POSTGRESQL_SCHEMES, is_loopback, parse_base_url, without_password
from xpander_sdk.settings.outbox import OutboxSettings, parse_outbox
from xpander_sdk.settings.retry import RetryPolicy, Timeouts
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.settings.validators import environment_variable, instance_of, optional_str

if TYPE_CHECKING:
    from attrs import Attribute


@frozen
class KeyFile:
    """API key in a file.

    The file is read for each call, so that a key can be replaced while the program runs.

    Args:
        path: Path of a UTF-8 file that contains the key and nothing else; white space around the key is ignored.
    """

    path: str

    def __call__(self) -> str:
        """Return the key.

        Raises:
            ValueError: The file cannot be read.
        """
        try:
            with open(self.path, encoding="utf-8") as file:
                return file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ValueError(f"XPANDER_API_KEY_FILE must be a readable file, got {self.path!r}: {reason}") from None


def _api_key_or_environment(value: str | Callable[[], str] | None) -> str | Callable[[], str] | None:
    if value is not None:
        return value
    key, path = environment_variable("XPANDER_API_KEY"), environment_variable("XPANDER_API_KEY_FILE")
    if key and path:
        raise ValueError("XPANDER_API_KEY and XPANDER_API_KEY_FILE must not both be set; unset one of them")
    return KeyFile(path) if path else key


def _organization_id_or_environment(value: str | None) -> str | None:
    return environment_variable("XPANDER_ORGANIZATION_ID") if value is None else value


_RUNS = {"on": True, "off": False}


def _runs_or_environment(value: bool | None) -> bool:
    if value is not None:
        return value
    word = environment_variable("XPANDER_RUNS") or "on"
    if word not in _RUNS:
        raise ValueError(f"XPANDER_RUNS must be 'on' or 'off', got {word!r}")
    return _RUNS[word]


def _validate_api_key(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    rule = None if value is None or callable(value) else _violated_key_rule(value)
    if rule:
        del value  # error reporters show the variables of each frame
        raise ValueError(f"api_key must be {rule}")


def _violated_key_rule(value: Any) -> str | None:
    """Return the rule for keys that the value violates, or None. The text does not contain the value."""
    if not isinstance(value, str):
        return f"a str, got {type(value).__name__}"
    if not value.strip():
        return "a key, got an empty text"
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        return "printable ASCII without surrounding white space; check for a trailing newline"
    return None


@frozen(kw_only=True, cache_hash=True)
class Configuration:
    """Destination, credentials and settings of all calls. Immutable.

    The environment supplies each setting that is not passed. It is read once, when the configuration is created. An
    empty setting or variable is an error.

    Args:
        api_key: The API key, or a callable that returns it and is called for each call. Default: XPANDER_API_KEY, else
            the content of the file that XPANDER_API_KEY_FILE names. Embedded backends need no key.
        organization_id: The organization. Default: XPANDER_ORGANIZATION_ID. A self-hosted controller has it in its
            URLs; an embedded backend records it as the owner of the tasks. Elsewhere the key determines it.
        base_url: URL of the backend. Default: XPANDER_BASE_URL, else xpander.ai's cloud. `https://…` (the cloud or a
            self-hosted controller), `http://127.0.0.1:8100` (our server), or an embedded backend:
            `sqlite:///runs.db` (made absolute) or `postgresql://user:password@host/database`.
        agent_id: Agent of calls that name none. Default: None; calls then use XPANDER_AGENT_ID.
        timeouts: Time limits, in seconds. Default: `Timeouts()`.
        retry: Number of attempts and delays between them. Default: `RetryPolicy()`.
        transport: Proxy, certificates, headers. Default: `TransportSettings()`.
        outbox: A file, or `OutboxSettings(file=…, …)`, for undelivered reports. Default: XPANDER_OUTBOX, else no outbox
            for `report_external_task`, and the user's default outbox for `submit_external_task`.
        runs: Whether `Backend.run` records runs. Default: XPANDER_RUNS, "on" or "off", else True.

    Raises:
        ValueError: A setting is invalid, or contradicts another one. The text names it.

    Example:
        >>> Configuration(base_url="sqlite:///runs.db").with_options(agent_id="agent-123").agent_id
        'agent-123'
    """

    api_key: str | Callable[[], str] | None = field(
        default=None,
        converter=_api_key_or_environment,
        validator=_validate_api_key,
        repr=lambda key: "None" if key is None else "***",
    )
    organization_id: str | None = field(default=None, converter=_organization_id_or_environment, validator=optional_str)
    base_url: str = field(default=None, converter=parse_base_url, repr=lambda url: repr(without_password(url)))
    agent_id: str | None = field(default=None, validator=optional_str)
    timeouts: Timeouts = field(factory=Timeouts, validator=instance_of(Timeouts))
    retry: RetryPolicy = field(factory=RetryPolicy, validator=instance_of(RetryPolicy))
    transport: TransportSettings = field(factory=TransportSettings, validator=instance_of(TransportSettings))
    outbox: OutboxSettings | None = field(default=None, converter=parse_outbox)
    runs: bool = field(default=None, converter=_runs_or_environment, validator=instance_of(bool))

    def __attrs_post_init__(self) -> None:
        live_configurations[id(self)] = self

    def with_options(self, **changes: Any) -> "Configuration":
        """Return a copy with other settings.

        Args:
            **changes: Arguments of `Configuration`.

        Returns:
            A new configuration. Settings that are not named keep their values.

        Raises:
            ValueError: A setting is invalid.
            TypeError: An argument is unknown.
        """
        return evolve(self, **changes)

    def current_key(self) -> str | None:
        """Return the API key; read its file, or call its callable.

        Raises:
            ValueError: The file cannot be read, or the callable returned an invalid key.
        """
        if not callable(self.api_key):
            return self.api_key
        key = self.api_key()
        rule = _violated_key_rule(key)
        if rule:
            del key
            raise ValueError(f"the callable of api_key must return a key that is {rule}")
        return key

    @property
    def is_embedded(self) -> bool:
        """True for a database file or a database, which this process opens itself."""
        return self.base_url.partition("://")[0] in ("sqlite", *POSTGRESQL_SCHEMES)

    @property
    def target(self) -> str:
        """`base_url` without a password, for messages."""
        return without_password(self.base_url)

    def get_full_url(self) -> str:
        """Return the URL that precedes the paths of the API; for a self-hosted controller it ends in the organization.

        Raises:
            ValueError: A self-hosted controller needs `organization_id`.
        """
        base = self.base_url.rstrip("/")
        if not self._is_controller():
            return base
        if self.organization_id is None:
            raise ValueError(
                "organization_id must be set for a self-hosted controller; pass it, or set XPANDER_ORGANIZATION_ID"
            )
        return f"{base}/{quote(self.organization_id, safe='')}"

    def check_key_protection(self) -> None:
        """Check that no other machine can read the key on its way.

        Raises:
            ValueError: The URL begins with `http://` and names another machine, and `allow_plain_http` is not set.
        """
        if not self.base_url.startswith("http://") or self.transport.allow_plain_http:
            return
        host = urlsplit(self.base_url).hostname or ""
        if not is_loopback(host):
            raise ValueError(
                f"base_url must begin with https://, got {self.target}: the key and the runs would cross the network "
                f"to {host} in clear text. If that network is trusted, set XPANDER_ALLOW_PLAIN_HTTP=1 or pass "
                "TransportSettings(allow_plain_http=True)"
            )

    def _is_controller(self) -> bool:
        if self.is_embedded:
            return False
        parts = urlsplit(self.base_url)
        first_segment = parts.path.strip("/").split("/")[0]
        return "agent-controller" in (parts.hostname or "") or parts.port == 9016 or first_segment == "agent-controller"


live_configurations: "WeakValueDictionary[int, Configuration]" = WeakValueDictionary()
"""Configurations that the program has kept. At its end, they know the outboxes and keys that it uses."""


redirections: list[Callable[[Configuration], Configuration]] = []
"""Functions of `xpander_sdk.testing`: the last one returns the configuration that each call uses instead of its own."""


def resolve_configuration(configuration: Configuration | None) -> Configuration:
    """Return the configuration, or for None a new one from the environment.

    Every call passes here, so that tests can redirect the calls of a program that has created its backends before.

    Raises:
        ValueError: The argument has another type.
    """
    if configuration is None:
        configuration = Configuration()
    if not isinstance(configuration, Configuration):
        kind = type(configuration).__name__
        raise ValueError(f"configuration must be Configuration(base_url=…, …) or None, got {kind}")
    return redirections[-1](configuration) if redirections else configuration
