"""Limits of open connections: of all, and of each client address.

Without a limit for each address, one machine could occupy all connections of the server. Addresses of IPv6 are counted
by their /64 network, because one machine usually has all addresses of such a network. A trusted proxy has the
connections of many clients, and the address of a client is unknown before its request is read. So the connections of
trusted proxies count in the sum of all connections only, and the proxy must limit those of one client.
"""

import ipaddress

from xpander_server.http.forwarded import Address, TrustedProxies, parse_address

MAX_REFUSALS = 32
"""Connections above a limit that get a response at the same time; further ones are closed without one.

Each of them needs a file descriptor until the client has received the response.
"""
MAX_UNSENT_BYTES = 128 * 1024 * 1024
"""Bytes of responses that clients have not accepted, in all connections, above which slow clients have less time."""
_IPV6_PREFIX = 64


class ConnectionLimits:
    """Counter of the open connections of a server.

    Args:
        max_connections: Largest number of connections. None for no limit.
        max_connections_of_address: Largest number of connections of one client address. None for no limit.
        proxies: Proxies, whose connections are those of many clients and count only in the sum.
        max_unsent_bytes: Bytes of unsent responses above which `has_too_many_unsent_bytes` is True.
    """

    def __init__(
        self,
        max_connections: int | None,
        max_connections_of_address: int | None = None,
        proxies: TrustedProxies | None = None,
        max_unsent_bytes: int = MAX_UNSENT_BYTES,
    ) -> None:
        self._max_connections = max_connections
        self._max_unsent_bytes = max_unsent_bytes
        self._unsent_bytes = 0
        self._max_of_address = max_connections_of_address
        self._proxies = proxies
        self._count = 0
        self._counts: dict[Address, int] = {}
        self._excess_count = 0

    @property
    def has_too_many_unsent_bytes(self) -> bool:
        """True while clients have not accepted more than the maximum of unsent bytes."""
        return self._unsent_bytes > self._max_unsent_bytes

    def count_unsent_bytes(self, change: int) -> None:
        """Count bytes that were given to a connection, or that its client has accepted."""
        self._unsent_bytes += change

    def add(self, host: str | None) -> "CountedConnection":
        """Count a connection, and return its entry, which must be removed at its end.

        Args:
            host: Address of the peer; None for a peer without one.
        """
        address = self._limited_address(host)
        self._count += 1
        of_address = 0
        if address is not None:
            of_address = self._counts[address] = self._counts.get(address, 0) + 1
        connection = CountedConnection(
            self,
            address,
            is_above_limit=self._max_connections is not None and self._count > self._max_connections,
            is_above_limit_of_address=self._max_of_address is not None and of_address > self._max_of_address,
        )
        if connection.is_excess:
            self._excess_count += 1
            connection.gets_response = self._excess_count <= MAX_REFUSALS
        return connection

    def remove(self, connection: "CountedConnection") -> None:
        """Count the end of a connection."""
        self._count -= 1
        self._excess_count -= connection.is_excess
        address = connection.address
        if address is None:
            return
        count = self._counts[address] - 1
        if count:
            self._counts[address] = count
        else:
            del self._counts[address]

    def _limited_address(self, host: str | None) -> Address | None:
        """Return the address whose connections are limited; None if there is none."""
        peer = None if host is None or self._max_of_address is None else parse_address(host)
        if peer is None or (self._proxies is not None and self._proxies.trusts(peer)):
            return None
        if isinstance(peer, ipaddress.IPv6Address):
            return ipaddress.IPv6Network((peer, _IPV6_PREFIX), strict=False).network_address
        return peer


class CountedConnection:
    """Connection that is counted until `remove`.

    Attributes:
        address: Address for which it is counted; None if its address has no limit.
        is_above_limit: Whether the server had as many connections as permitted before this one.
        is_above_limit_of_address: Whether its address had as many connections as permitted before this one.
        gets_response: Whether the client gets a response; otherwise the connection must be closed at once.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        address: Address | None,
        *,
        is_above_limit: bool,
        is_above_limit_of_address: bool,
    ) -> None:
        self.address = address
        self.is_above_limit = is_above_limit
        self.is_above_limit_of_address = is_above_limit_of_address
        self.gets_response = True
        self._limits: ConnectionLimits | None = limits
        self._unsent_bytes = 0

    @property
    def is_excess(self) -> bool:
        """True for a connection above one of the limits."""
        return self.is_above_limit or self.is_above_limit_of_address

    def set_unsent_bytes(self, size: int) -> None:
        """Count the bytes that the client has not accepted."""
        if self._limits is not None:
            self._limits.count_unsent_bytes(size - self._unsent_bytes)
            self._unsent_bytes = size

    def remove(self) -> None:
        """Count the end of the connection, once."""
        self.set_unsent_bytes(0)
        limits, self._limits = self._limits, None
        if limits is not None:
            limits.remove(self)
