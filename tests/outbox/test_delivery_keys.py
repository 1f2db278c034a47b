"""Keys of deliveries: each report is sent with the key and to the URL that it was submitted for."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import HOUR, ONE, SECOND, TWO, DeliveryBench, ScriptedBackend, make_report
from xpander_sdk import Configuration
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.settings.configuration import KeyFile


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


def test_each_report_is_sent_with_its_own_key(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(5):
        for key in ("key-a", "key-b"):
            bench.put(make_report(f"{key}-{number}"), api_key=key)
    bench.deliver_due()
    assert {(key, run.rpartition("-")[0]) for (_, key, _), run in zip(backend.seen, backend.runs, strict=True)} == {
        ("key-a", "key-a"),
        ("key-b", "key-b"),
    }


def test_other_program_sends_only_with_the_same_key(bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    bench.put(make_report("run-1"), api_key="key-a")
    other = bench.delivery_of("other", Keyring(bench.store))
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-b")
    other.refresh()
    assert other.claim() is None
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    other.refresh()
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert backend.seen[0][:2] == ("http://backend.test", "key-a")


def claims_as_other_program(bench: DeliveryBench) -> bool:
    """Return whether another program, which knows only the environment, would send the report."""
    claim = bench.delivery_of("other", Keyring(bench.store)).claim()
    if claim is not None:
        bench.store.release_lease(*claim.batches)
    return claim is not None


def test_other_program_reads_only_its_own_key_file_and_sends_it_only_to_its_own_url(
    bench: DeliveryBench, tmp_path: Path, monkeypatch
):
    (tmp_path / "key").write_text("key-of-a-file")
    bench.put(make_report("run-1"), base_url=ONE, api_key=KeyFile(str(tmp_path / "key")))
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert not claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_API_KEY_FILE", str(tmp_path / "key"))
    assert claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_BASE_URL", TWO)
    assert not claims_as_other_program(bench)


def redirect(bench: DeliveryBench, **columns: str | int) -> None:
    """Change columns of all destinations, as somebody does who can write to the file."""
    for name, value in columns.items():
        bench.store.database.fetch(f"UPDATE destinations SET {name} = :value", {"value": value})


@pytest.mark.parametrize("columns", [{"base_url": TWO}, {"organization_id": "org-2"}])
def test_key_is_not_sent_to_another_destination_than_it_was_submitted_for(columns, bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert claims_as_other_program(bench)
    redirect(bench, **columns)
    assert not claims_as_other_program(bench)
    bench.delivery.refresh()
    assert bench.delivery.claim() is None


@pytest.mark.parametrize("credentials", ["none", "", "file:/etc/hostname", "file:", "bound-key:", "url:", "callable:x"])
def test_planted_reference_gets_no_key(credentials, bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    redirect(bench, base_url=TWO, credentials=credentials)
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert not claims_as_other_program(bench)
    bench.delivery.refresh()
    assert bench.delivery.claim() is None


def test_reports_of_an_earlier_version_are_sent_to_the_url_of_the_program_only(bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="key-a")
    mark = hashlib.blake2b(b"key-a", key=bench.store.salt(), digest_size=4).hexdigest()
    redirect(bench, credentials=f"key:{mark}")
    monkeypatch.setenv("XPANDER_API_KEY", "key-a")
    assert not claims_as_other_program(bench)
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert claims_as_other_program(bench)
    # A program whose configuration is not in the environment.
    monkeypatch.delenv("XPANDER_API_KEY")
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url=TWO, api_key="key-a"), bench.store.salt())
    assert bench.delivery_of("other", keyring).claim() is None
    keyring.add(Configuration(base_url=ONE, api_key="key-a"), bench.store.salt())
    assert bench.delivery_of("other", keyring).claim() is not None


def test_any_key_is_sent_to_the_url_of_the_program_only(bench: DeliveryBench, monkeypatch):
    bench.put(make_report("run-1"), base_url=ONE, api_key="old-key")
    keyring = Keyring(bench.store)
    keyring.allow_any_key = True
    monkeypatch.setenv("XPANDER_API_KEY", "new-key")
    assert bench.delivery_of("other", keyring).claim() is None
    monkeypatch.setenv("XPANDER_BASE_URL", ONE)
    assert bench.delivery_of("other", keyring).claim() is not None


def test_other_program_does_not_send_for_another_organization(
    bench: DeliveryBench, backend: ScriptedBackend, monkeypatch
):
    bench.put(make_report("run-1"), base_url=f"sqlite:///{bench.path}.store", api_key=None)
    other = bench.delivery_of("other", Keyring(bench.store))
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "org-of-others")
    assert other.claim() is None
    monkeypatch.delenv("XPANDER_ORGANIZATION_ID")
    other.refresh()
    assert other.claim() is not None


@pytest.mark.parametrize("failure", ["raises", "no key", "file removed"])
def test_unavailable_key_keeps_the_report(failure, bench: DeliveryBench, backend: ScriptedBackend, tmp_path: Path):
    path = tmp_path / "key"
    path.write_text("key-1")
    works = [True]

    def key() -> str:
        if failure == "raises" and not works[0]:
            raise RuntimeError("the key is unavailable")
        return "key-1" if works[0] else ""

    bench.put(make_report("run-1"), api_key=KeyFile(str(path)) if failure == "file removed" else key)
    works[0] = False
    path.unlink()
    bench.deliver_due()
    assert bench.counts() == (0, 1, 0)
    assert backend.seen == []
    works[0] = True
    path.write_text("key-1")
    bench.clock.advance(HOUR / SECOND)
    bench.deliver_due()
    assert bench.counts() == (1, 0, 0)
    assert backend.seen[0][1] == "key-1"


class Tenant:
    def __init__(self, name: str) -> None:
        self.name = name

    def key(self) -> str:
        return f"key-of-{self.name}"

    def __call__(self) -> str:
        return self.key()


def _key_of(name: str) -> str:
    return f"key-of-{name}"


def callables_of(name: str) -> dict[str, Any]:
    from functools import partial

    return {
        "method": Tenant(name).key,
        "instance": Tenant(name),
        "partial": partial(_key_of, name),
        "closure": lambda: _key_of(name),
        "default": lambda name=name: _key_of(name),
    }


@pytest.mark.parametrize("kind", list(callables_of("")))
def test_callables_of_one_name_never_share_keys(kind, bench: DeliveryBench, backend: ScriptedBackend):
    for name in ("a", "b"):
        bench.put(make_report(f"run-of-{name}"), api_key=callables_of(name)[kind])
    bench.deliver_due()
    assert {(key, body["id"]) for _, key, body in backend.seen} == {("key-of-a", "run-of-a"), ("key-of-b", "run-of-b")}
    # Another process uses the right callable for the reports of this one, too.
    bench.put(make_report("late-of-a"), api_key=callables_of("a")[kind])
    backend.seen.clear()
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("b")[kind]), bench.store.salt())
    other = bench.delivery_of("other", keyring)
    assert other.claim() is None
    keyring.add(Configuration(base_url="http://backend.test", api_key=callables_of("a")[kind]), bench.store.salt())
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert [(key, body["id"]) for _, key, body in backend.seen] == [("key-of-a", "late-of-a")]


def _rotating_key() -> str:
    return os.environ["ROTATING"]


@pytest.mark.parametrize("key", [_rotating_key, lambda: os.environ["ROTATING"]], ids=["function", "lambda"])
def test_function_identifies_its_key_after_a_rotation(key, bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    monkeypatch.setenv("ROTATING", "key-1")
    bench.put(make_report("run-1"), api_key=key)
    monkeypatch.setenv("ROTATING", "key-2")
    keyring = Keyring(bench.store)
    keyring.add(Configuration(base_url="http://backend.test", api_key=key), bench.store.salt())
    other = bench.delivery_of("other", keyring)
    batch = other.claim()
    assert batch is not None
    other.deliver(batch)
    assert backend.seen[0][1] == "key-2"
