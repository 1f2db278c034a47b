"""API keys in a store: creation, verification, rotation, revocation, and the verifier's cache."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import false

from store.test_schema import SQL_OF_0001
from xpander_server.auth import api_keys
from xpander_server.auth import verifier as verifier_module
from xpander_server.auth.api_keys import SCOPES, ApiKeys
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import SECOND
from xpander_server.store import KeyTable, Store, StoreUnavailable


class Clock:
    """Clock that the test sets, in microseconds."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    """Return a clock for keys and verifier."""
    return Clock()


@pytest.fixture
def keys(store, clock):
    """Return the keys of an empty store."""
    return ApiKeys(store.keys, clock)


@pytest.fixture
def verifier(store, clock):
    """Return a verifier with an empty cache."""
    return Verifier(store.keys, clock)


@pytest.fixture
def monotonic(monkeypatch):
    """Return a list with the one value of the monotonic clock that the cache uses; the test changes it."""
    seconds = [0.0]
    monkeypatch.setattr(verifier_module.time, "monotonic", lambda: seconds[0])
    return seconds


def verify(verifier: Verifier, key: str):
    """Return the grant of a request with this key, or None, by the calls that the server makes."""
    verification = verifier.cached(key.encode())
    if verification is None:
        verification = verifier.verify(key.encode())
    elif verification.grant is not None and not verification.is_fresh():
        verification = verifier.refresh(key.encode(), verification)
    return verification.grant


def test_a_created_key_is_valid_and_not_added_twice(keys, verifier):
    key = keys.create("ci", "org")
    keys.ensure(key, "org")
    assert len(keys.list_keys("org")) == 1
    assert verify(verifier, key).organization_id == "org"


def test_only_a_salted_hash_of_a_key_is_stored(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    created = [ApiKeys(store.keys).create(name, "org") for name in ("one", "two")]
    ApiKeys(store.keys).ensure("hunter2-key-of-the-operator", "org")
    rows = store.keys.list_keys()
    assert len({row.salt for row in rows}) == len({row.hash for row in rows}) == 3
    store.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for key in (*created, "hunter2"):
        assert key.encode() not in stored


def test_a_key_has_the_scopes_of_its_creation(keys, verifier):
    grant = verify(verifier, keys.create("ci", "org", scopes=["read", "report", "read"]))
    assert (grant.key_name, grant.scopes) == ("ci", {"report", "read"})
    assert keys.list_keys("org")[0].scopes == ["report", "read"]


def test_a_key_from_the_command_serve_has_all_scopes(keys, verifier):
    keys.ensure("known-key-of-the-operator", "org")
    assert verify(verifier, "known-key-of-the-operator").scopes == set(SCOPES)


def test_an_existing_key_from_the_command_serve_keeps_its_scopes(keys, verifier):
    key = keys.create("ci", "org", scopes=["report"])
    keys.ensure(key, "org")
    assert verify(verifier, key).scopes == {"report"}


@pytest.mark.parametrize("key", [b"", b"unknown", b"\xff\xfe", "ключ".encode(), b"x" * 10_000])
def test_an_unknown_key_is_invalid(key, keys, verifier):
    keys.ensure("known-key-of-the-operator", "org")
    assert verifier.verify(key).grant is None


def test_a_key_belongs_to_one_organization(keys):
    keys.ensure("known-key-of-the-operator", "org")
    with pytest.raises(ValueError, match="got a key of 'org'"):
        keys.ensure("known-key-of-the-operator", "other")


def test_a_name_is_unique_within_an_organization_only(keys):
    keys.create("ci", "one")
    keys.create("ci", "two")
    with pytest.raises(ValueError, match="has a key 'ci' already"):
        keys.create("ci", "one")


@pytest.mark.parametrize(
    ("name", "organization_id", "scopes"),
    [("", "org", ["read"]), ("x" * 101, "org", ["read"]), ("a\nb", "org", ["read"]), ("a", "", ["read"]),
     ("a", "o" * 101, ["read"]), ("a", "org", ["write"])],
)  # fmt: skip
def test_a_key_with_invalid_arguments_is_not_created(name, organization_id, scopes, keys):
    with pytest.raises(ValueError, match=r"printable|must be among"):
        keys.create(name, organization_id, scopes=scopes)
    assert keys.list_keys() == []


def test_a_valid_key_is_hashed_once(keys, verifier, monkeypatch):
    keys.ensure("known-key-of-the-operator", "org")
    assert verify(verifier, "known-key-of-the-operator")
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("hashed again"))
    assert verify(verifier, "known-key-of-the-operator")


def test_a_key_is_invalid_from_the_microsecond_of_its_expiry(keys, verifier, clock):
    key = keys.create("ci", "org", expires_at=clock.now + SECOND)
    clock.now += SECOND - 1
    assert verify(verifier, key)
    clock.now += 1
    assert verify(verifier, key) is None
    with pytest.raises(ValueError, match="'ci' has expired"):
        keys.ensure(key, "org")


def test_a_revoked_key_is_invalid_when_the_cache_is_stale(keys, verifier, monotonic):
    key = keys.create("ci", "org")
    assert verify(verifier, key)
    keys.revoke("ci", "org")
    monotonic[0] += verifier_module.CACHE_SECONDS
    assert verify(verifier, key) is None
    with pytest.raises(ValueError, match="'ci' was revoked"):
        keys.ensure(key, "org")


def test_the_name_of_a_revoked_key_can_be_used_again(keys, verifier):
    keys.create("ci", "org")
    keys.revoke("ci", "org")
    assert verify(verifier, keys.create("ci", "org"))


def test_only_an_active_key_is_revoked_or_rotated(keys):
    keys.create("ci", "org")
    for unknown in (("other", "org"), ("ci", "other")):
        with pytest.raises(LookupError, match="has no key"):
            keys.revoke(*unknown)
        with pytest.raises(LookupError, match="has no key"):
            keys.rotate(*unknown, grace=SECOND)
    keys.revoke("ci", "org")
    with pytest.raises(LookupError, match="has no key"):
        keys.revoke("ci", "org")


def test_both_secrets_are_valid_during_a_rotation(keys, store, clock):
    old = keys.create("ci", "org", scopes=["report"], expires_at=clock.now + 100 * SECOND)
    clock.now += SECOND
    new = keys.rotate("ci", "org", grace=10 * SECOND)
    for key in (old, new):
        grant = verify(Verifier(store.keys, clock), key)
        assert (grant.key_name, grant.scopes) == ("ci", {"report"})
    clock.now += 10 * SECOND
    assert verify(Verifier(store.keys, clock), old) is None
    assert verify(Verifier(store.keys, clock), new)
    clock.now += 89 * SECOND
    assert verify(Verifier(store.keys, clock), new) is None  # the expiry of the key has not changed


def test_a_stale_cache_notices_a_rotation_without_grace(keys, verifier, clock, monotonic):
    old = keys.create("ci", "org")
    assert verify(verifier, old)
    clock.now += 1
    new = keys.rotate("ci", "org", grace=0)
    monotonic[0] += verifier_module.CACHE_SECONDS
    assert verify(verifier, old) is None
    assert verify(verifier, new)


def test_revoking_a_key_revokes_both_secrets(keys, store, clock):
    old = keys.create("ci", "org")
    clock.now += 1
    new = keys.rotate("ci", "org", grace=SECOND)
    keys.revoke("ci", "org")
    assert [verify(Verifier(store.keys, clock), key) for key in (old, new)] == [None, None]


def test_the_time_of_use_is_recorded_once_an_hour(keys, verifier, clock, monotonic):
    key = keys.create("ci", "org")
    times = []
    for _ in range(3):
        assert verify(verifier, key)
        times.append(keys.list_keys("org")[0].last_used_at)
        monotonic[0] += verifier_module.CACHE_SECONDS
        clock.now += 1_801 * SECOND
    assert times == [1_000 * SECOND, 1_000 * SECOND, 4_602 * SECOND]


def test_a_key_is_valid_when_its_use_cannot_be_recorded(keys, verifier, monkeypatch):
    def unavailable(*_: object) -> None:
        raise StoreUnavailable("database is locked")

    key = keys.create("ci", "org")
    monkeypatch.setattr("xpander_server.store.keys.KeyTable.record_use", unavailable)
    assert verify(verifier, key)


def test_a_stale_key_is_read_again_after_the_store_was_unavailable(keys, verifier, monotonic, monkeypatch):
    key = keys.create("ci", "org")
    assert verify(verifier, key)
    monotonic[0] += verifier_module.CACHE_SECONDS

    def unavailable(*_: object) -> None:
        raise StoreUnavailable("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr("xpander_server.store.keys.KeyTable.get", unavailable)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                verify(verifier, key)
    assert verify(verifier, key)


def test_an_unknown_key_is_cached_until_the_cache_is_stale(keys, verifier, monotonic, monkeypatch):
    assert verify(verifier, "late-key-of-the-operator") is None
    with monkeypatch.context() as patched:
        patched.setattr("xpander_server.store.keys.KeyTable.find_by_tag", lambda *_: pytest.fail("looked again"))
        assert verify(verifier, "late-key-of-the-operator") is None
    keys.ensure("late-key-of-the-operator", "org")
    monotonic[0] += verifier_module.CACHE_SECONDS
    assert verify(verifier, "late-key-of-the-operator")


def test_the_cache_of_unknown_keys_is_bounded(verifier, monkeypatch):
    monkeypatch.setattr(verifier_module, "MAX_UNKNOWN", 10)
    for number in range(50):
        assert verify(verifier, f"guess {number}") is None
    assert len(verifier._unknown) == 10


def test_an_unknown_key_is_not_hashed_with_scrypt(keys, verifier, monkeypatch):
    keys.ensure("known-key-of-the-operator", "org")
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("hashed a guess"))
    # The tags of these strings differ from the tag of the key (a tag has 15 bits).
    assert verify(verifier, "a guess") is None
    assert verify(verifier, "another guess") is None


def test_keys_from_the_command_serve_get_different_names(keys):
    for name in ("a", "b", "c", "b"):
        keys.ensure(f"{name}-key-of-the-operator", "org")
    names = {row.name for row in keys.list_keys("org")}
    assert len(names) == 3
    assert {name.partition("-")[0] for name in names} == {"serve"}


def test_a_key_that_two_servers_add_at_once_is_revoked_as_one(store, clock, monkeypatch):
    # Both servers look for the key before either of them adds it.
    with monkeypatch.context() as patched:
        patched.setattr(KeyTable, "find_by_tag", lambda *_: [])
        patched.setattr("xpander_server.store.keys._has_name", lambda *_: (false(),))
        for _ in range(2):
            ApiKeys(store.keys, clock).ensure("known-key-of-the-operator", "org")
    names = [row.name for row in store.keys.list_keys("org")]
    assert len(names) == 2
    ApiKeys(store.keys, clock).revoke(names[0], "org")
    assert verify(Verifier(store.keys, clock), "known-key-of-the-operator") is None


def test_a_generated_name_avoids_existing_names(keys, verifier, monkeypatch):
    monkeypatch.setattr("xpander_server.auth.api_keys._tag", lambda _: 7)
    keys.ensure("a-key-of-the-operator", "org")
    keys.ensure("b-key-of-the-operator", "org")
    assert [row.name for row in keys.list_keys("org")] == ["serve-0007", "serve-0007-2"]
    assert verify(verifier, "b-key-of-the-operator").key_name == "serve-0007-2"


def test_keys_of_revision_0001_get_names_and_all_scopes(tmp_path):
    salts = [bytes([number]) * 16 for number in range(2)]
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.executescript(SQL_OF_0001)
        connection.execute("DELETE FROM api_keys")
        for number, salt in enumerate(salts):
            raw = f"key {number}".encode()
            row = ("org", salt, api_keys._tag(raw), api_keys._hash(raw, salt), 1)
            connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    store = Store(f"sqlite:///{tmp_path}/store.db")
    assert [row.name for row in store.keys.list_keys("org")] == ["key-00000000", "key-01010101"]
    assert verify(Verifier(store.keys), "key 1").scopes == set(SCOPES)
    store.close()
