"""Destination of requests: state that all callers of one backend share. It contains no key."""

import logging
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from xpander_sdk._records import define, field, frozen
from xpander_sdk.client.batch_size import BatchSize
from xpander_sdk.client.retry_budget import RetryBudget
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.version import __version__

_log = logging.getLogger("xpander_sdk")


@define
class DestinationHealth:
    """Availability of a backend. Logs one warning when it becomes unavailable, and one when it recovers."""

    target: str
    _is_unavailable: bool = False
    _is_unusual: bool = False

    def mark_unavailable(self, reason: str) -> None:
        """Record a failed attempt; log it if the backend was available until now."""
        if not self._is_unavailable:
            self._is_unavailable = True
            _log.warning(
                "%s is unavailable: %s. Further failures are not logged until it recovers", self.target, reason
            )

    def mark_available(self) -> None:
        """Record a successful attempt; log it if the backend was unavailable until now."""
        if self._is_unavailable:
            self._is_unavailable = False
            _log.warning("%s is available again", self.target)

    def warn_of_unusual_response(self, names: Iterable[str]) -> None:
        """Log that fields of a task are missing or invalid, once."""
        if not self._is_unusual:
            self._is_unusual = True
            _log.warning(
                "%s returned a task whose fields %s are missing or invalid. The task has the report's values instead, "
                "and Task.extra has the invalid ones. Further unusual responses are not logged",
                self.target,
                ", ".join(names),
            )


@define
class SupportedFields:
    """Extended fields of reports that a backend supports.

    Attributes:
        names: The fields; None if the backend has not been asked yet.
    """

    target: str
    names: frozenset[str] | None = None
    _has_warned: bool = False

    def warn_of_dropped(self, names: frozenset[str]) -> None:
        """Log that fields of a report are not sent, once."""
        if names and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s does not support the report fields %s, which are left out of this report and all further ones",
                self.target,
                ", ".join(sorted(names)),
            )


@frozen(eq=False)
class Destination:
    """State that all configurations of one destination share.

    Attributes:
        url: URL that precedes the paths of the API; `http://embedded` for an embedded backend.
        prefix: Path of `url`, percent-encoded, without a slash at its end.
        transport: Settings of the transport.
        store: `base_url` and organization of an embedded backend; None for all others.
        headers: Headers of each request. They may contain credentials, and are not part of the repr.
        budget: Retries that are left.
        health: Availability of the backend.
        report_fields: Extended fields that the backend supports.
        batch_size: Number of reports that one request may carry.
    """

    url: SplitResult
    prefix: str
    transport: TransportSettings
    store: tuple[str, str | None] | None
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    budget: RetryBudget
    health: DestinationHealth
    report_fields: SupportedFields
    batch_size: BatchSize = field(factory=BatchSize)


def destination_key(configuration: Configuration) -> tuple[Any, ...]:
    """Return the key by which configurations share a destination: equal keys, same destination."""
    return _store(configuration) or _base_url(configuration), configuration.transport, configuration.retry.budget


def build_destination(configuration: Configuration) -> Destination:
    """Return a new destination.

    Raises:
        ValueError: A self-hosted controller needs `organization_id`, or the key would be sent in clear text.
    """
    configuration.check_key_protection()
    url = urlsplit(_base_url(configuration))
    user_agent = f"xpander-report/{__version__} python/{sys.version.split()[0]}"
    default_headers = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": user_agent}
    headers = {**default_headers, **{name.lower(): value for name, value in configuration.transport.headers}}
    return Destination(
        url=url,
        prefix=quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
        transport=configuration.transport,
        store=_store(configuration),
        headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()],
        budget=RetryBudget(configuration.retry.budget),
        health=DestinationHealth(configuration.target),
        report_fields=SupportedFields(configuration.target),
    )


def _base_url(configuration: Configuration) -> str:
    return "http://embedded" if configuration.is_embedded else configuration.get_full_url()


def _store(configuration: Configuration) -> tuple[str, str | None] | None:
    return (configuration.base_url, configuration.organization_id) if configuration.is_embedded else None
