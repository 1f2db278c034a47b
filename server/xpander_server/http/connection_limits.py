"""Limits of open connections: of all, and of each client address.

Without a limit for each address, one machine could occupy all connections of the server. Addresses of IPv6 are counted
by their /64 network, because one machine usually has all addresses of such a network.
"""

import ipaddress

from xpander_server.http.forwarded import Address, TrustedProxies, parse_address

_IPV6_PREFIX = 64


class ConnectionLimits:
    """Counter of the open connections of a server.

    Args:
        max_connections: Largest number of connections. None for no limit.
        max_connections_of_address: Largest number of connections of one client address. None for no limit.
        proxies: Proxies, whose connections are those of many clients and count only in the sum.
    """

    def __init__(
        self,
        max_connections: int | None,
        max_connections_of_address: int | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.max_connections = max_connections
        self._max_of_address = max_connections_of_address
        self._proxies = proxies
        self._counts: dict[Address, int] = {}

    def add(self, host: str | None) -> "CountedAddress | None":
        """Count a connection, and return its entry, which must be removed at its end.

        Args:
            host: Address of the peer; None for a peer without one.

        Returns:
            The entry; None for a connection without a limit of its address.
        """
        peer = None if host is None or self._max_of_address is None else parse_address(host)
        if peer is None or (self._proxies is not None and self._proxies.trusts(peer)):
            return None
        address: Address = peer
        if isinstance(peer, ipaddress.IPv6Address):
            address = ipaddress.IPv6Network((peer, _IPV6_PREFIX), strict=False).network_address
        count = self._counts[address] = self._counts.get(address, 0) + 1
        assert self._max_of_address is not None
        return CountedAddress(self._counts, address, is_above_limit=count > self._max_of_address)


class CountedAddress:
    """Connection that is counted for its address.

    Attributes:
        is_above_limit: Whether the address had as many connections as permitted before this one.
    """

    def __init__(self, counts: dict[Address, int], address: Address, *, is_above_limit: bool) -> None:
        self.is_above_limit = is_above_limit
        self._counts = counts
        self._address = address

    def remove(self) -> None:
        """Count the end of the connection."""
        count = self._counts[self._address] - 1
        if count:
            self._counts[self._address] = count
        else:
            del self._counts[self._address]
