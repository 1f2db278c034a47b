"""A target, as all who report there share it. It holds no key."""

import logging
import sys
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from attrs import define, field, frozen

from xpander_sdk.client.retry_budget import RetryBudget
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.version import __version__

_log = logging.getLogger("xpander_sdk")


@define
class DestinationHealth:
    """Says once when a target goes away, and once when it is back."""

    target: str
    _is_ill: bool = False

    def is_ill(self, told: str) -> None:
        if not self._is_ill:
            self._is_ill = True
            _log.warning(
                "%s does not answer as it should: %s. This is said once, until it does again", self.target, told
            )

    def is_well(self) -> None:
        if self._is_ill:
            self._is_ill = False
            _log.warning("%s answers again", self.target)


@frozen(eq=False)
class Destination:
    url: SplitResult
    prefix: str
    transport: TransportSettings
    store: tuple[str, str | None] | None
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    budget: RetryBudget
    health: DestinationHealth


def destination_key(configuration: Configuration) -> tuple[Any, ...]:
    """What two configurations have in common that share a route."""
    return _store(configuration) or _base(configuration), configuration.transport, configuration.retry.budget


def build_destination(configuration: Configuration) -> Destination:
    url = urlsplit(_base(configuration))
    agent = f"xpander-report/{__version__} python/{sys.version.split()[0]}"
    fixed = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": agent}
    headers = {**fixed, **{name.lower(): value for name, value in configuration.transport.headers}}
    return Destination(
        url=url,
        prefix=quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
        transport=configuration.transport,
        store=_store(configuration),
        headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()],
        budget=RetryBudget(configuration.retry.budget),
        health=DestinationHealth(configuration.target),
    )


def _base(configuration: Configuration) -> str:
    return "http://embedded" if configuration.is_embedded else configuration.get_full_url()


def _store(configuration: Configuration) -> tuple[str, str | None] | None:
    return (configuration.base_url, configuration.organization_id) if configuration.is_embedded else None
