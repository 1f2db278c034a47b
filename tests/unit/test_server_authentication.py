"""Authentication of concurrent requests."""

import asyncio
import hashlib
import threading
from collections import Counter

import pytest
from starlette.requests import Request

from xpander_server.auth import authentication
from xpander_server.auth.api_keys import READ, ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import Verifier
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    yield store
    store.close()


def request(key: str, address: str = "192.0.2.1") -> Request:
    return Request({"type": "http", "headers": [(b"x-api-key", key.encode())], "client": (address, 1)})


async def outcomes(authenticator: KeyAuthenticator, *requests: Request) -> list[object]:
    """Authenticate requests concurrently; return the organization or the error status of each."""

    async def authenticate_one(request: Request) -> object:
        try:
            return (await authenticator.authenticate(request, READ, {})).organization_id
        except HTTPError as error:
            return error.status

    return await asyncio.gather(*(authenticate_one(request) for request in requests))


def test_concurrent_first_requests_compute_one_hash(store, monkeypatch):
    key = ApiKeys(store.keys).create("ci", "org")
    hashes = Counter()
    scrypt = hashlib.scrypt

    def counting_scrypt(*arguments, **named):
        hashes["spent"] += 1
        return scrypt(*arguments, **named)

    monkeypatch.setattr("hashlib.scrypt", counting_scrypt)
    results = asyncio.run(outcomes(KeyAuthenticator(Verifier(store.keys)), *[request(key)] * 64))
    assert (set(results), hashes["spent"]) == ({"org"}, 1)


def test_cached_keys_do_not_wait_for_unknown_keys(store, monkeypatch):
    key = ApiKeys(store.keys).create("ci", "org")
    authenticator = KeyAuthenticator(Verifier(store.keys))
    release = threading.Event()

    async def scenario() -> object:
        assert await outcomes(authenticator, request(key)) == ["org"]
        monkeypatch.setattr("xpander_server.auth.api_keys.find_key", lambda *_: release.wait(60) and None)
        guesses = asyncio.gather(*(outcomes(authenticator, request(f"guess {number}")) for number in range(50)))
        await asyncio.sleep(0)
        known = await outcomes(authenticator, *[request(key)] * 10)
        release.set()
        return known, await guesses

    assert asyncio.run(scenario()) == (["org"] * 10, [[401]] * 50)


def test_queue_of_verifications_is_bounded(store, monkeypatch):
    monkeypatch.setattr(authentication, "MAX_PENDING_VERIFICATIONS", 5)
    authenticator = KeyAuthenticator(Verifier(store.keys))
    results = asyncio.run(outcomes(authenticator, *(request(f"guess {number}") for number in range(50))))
    assert Counter(results) == {401: 5, 503: 45}


@pytest.mark.parametrize(
    ("addresses", "are_counted_together"),
    [
        (["192.0.2.1", "192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["2001:db8::1", "2001:db8::2"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["::ffff:192.0.2.1", "::ffff:192.0.2.2"], False),
        (["fe80::1%eth0", "fe80::2%eth0"], True),
        (["a unix socket", "a unix socket"], True),
    ],
)
def test_failures_are_counted_by_address_or_ipv6_network(addresses, are_counted_together):
    results = [authentication.rate_limit_address(request("k", address)) for address in addresses]
    assert (results[0] == results[1]) is are_counted_together
