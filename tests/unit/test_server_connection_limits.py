"""Limits of connections: of all, and of one client address."""

import pytest

from xpander_server.http.connection_limits import MAX_REFUSALS, ConnectionLimits
from xpander_server.http.forwarded import TrustedProxies


def are_above_limit(limits: ConnectionLimits, *hosts: str) -> list[bool]:
    entries = [limits.add(host) for host in hosts]
    return [entry.is_above_limit_of_address for entry in entries]


def test_each_address_has_its_own_limit():
    limits = ConnectionLimits(None, 2)
    assert are_above_limit(limits, "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1") == [False, False, False, True]


def test_ended_connections_do_not_count():
    limits = ConnectionLimits(None, 1)
    for _ in range(3):
        entry = limits.add("192.0.2.1")
        assert not entry.is_excess
        entry.remove()
        entry.remove()


def test_network_of_ipv6_and_mapped_addresses_count_as_one_address():
    limits = ConnectionLimits(None, 1)
    hosts = ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1")
    assert are_above_limit(limits, *hosts) == [False, True, False, False, True]


def test_trusted_proxies_have_no_limit():
    limits = ConnectionLimits(None, 1, TrustedProxies(["192.0.2.0/24"]))
    assert are_above_limit(limits, *["192.0.2.1"] * 3) == [False] * 3
    assert are_above_limit(limits, *["203.0.113.7"] * 2) == [False, True]


def test_peers_without_an_address_have_no_limit():
    limits = ConnectionLimits(None, 1)
    assert are_above_limit(limits, "socket", "socket", "socket") == [False] * 3
    assert not any(limits.add(None).is_excess for _ in range(3))


def test_all_connections_count_in_the_sum():
    limits = ConnectionLimits(3, 1, TrustedProxies(["192.0.2.0/24"]))
    entries = [limits.add(host) for host in (None, "192.0.2.1", "203.0.113.7", "192.0.2.1")]
    assert [entry.is_above_limit for entry in entries] == [False, False, False, True]
    entries[0].remove()
    entries[3].remove()
    assert not limits.add("192.0.2.1").is_above_limit


@pytest.mark.parametrize("limits", [ConnectionLimits(0), ConnectionLimits(None, 0)])
def test_few_connections_above_a_limit_get_a_response_at_a_time(limits: ConnectionLimits):
    entries = [limits.add("192.0.2.1") for _ in range(MAX_REFUSALS + 1)]
    assert [entry.gets_response for entry in entries] == [True] * MAX_REFUSALS + [False]
    entries[0].remove()
    entries[-1].remove()
    assert limits.add("192.0.2.1").gets_response
