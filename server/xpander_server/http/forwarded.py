"""Client address of a request that a trusted proxy forwards.

Each proxy appends the address of its own client to `X-Forwarded-For`. Only the entries that trusted proxies have
appended are reliable. The list is therefore read from its end; the first address of no trusted proxy is the client:

    X-Forwarded-For: 10.9.9.9, 203.0.113.7, 192.0.2.10      trusted: 192.0.2.0/24
                     └ invented └ client    └ trusted proxy

An entry may contain a port (`203.0.113.7:4711`, `[2001:db8::1]:4711`). An entry that is not an address ends the search:
the client is then the proxy that has sent it.
"""

import ipaddress
import re
from collections.abc import Sequence

from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+", re.ASCII)


class TrustedProxies:
    """Addresses of the proxies in front of the server.

    Args:
        networks: Addresses or networks. `*` trusts every direct peer, but no further proxy: the client is then the last
            address of the header, because a client can invent all others.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._trusts_any_peer = "*" in networks
        self._networks = [ipaddress.ip_network(network) for network in networks if network != "*"]

    def apply(self, scope: Scope) -> None:
        """Replace the client and the scheme in `scope` by those that a trusted proxy states."""
        client = scope.get("client")
        peer = parse_address(client[0]) if client else None
        if peer is None or not self.trusts(peer):
            return
        forwarded: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                forwarded += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                scheme = value.decode("latin-1").rpartition(",")[2].strip().lower()
                if scheme in ("http", "https"):
                    scope["scheme"] = scheme
        if forwarded:
            scope["client"] = (str(self._find_client(peer, forwarded)), 0)

    def trusts(self, peer: Address) -> bool:
        """Return whether a direct peer is a trusted proxy."""
        return self._trusts_any_peer or self._trusts(peer)

    def _find_client(self, peer: Address, forwarded: list[str]) -> Address:
        address = peer
        for entry in reversed(forwarded):
            previous = parse_address(entry)
            if previous is None:
                return address
            address = previous
            if not self._trusts(address):
                return address
        return address

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """Return the IP address in `text`, without a port and a zone; None if there is none."""
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match["v6"] or match["v4"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address
