"""Helpers of the outbox tests: a clock that a test sets, backends without network, and reports."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field

from xpander_sdk import Configuration, ConnectionFailedError, Receipt, TimedOutError, Timeouts, errors
from xpander_sdk.outbox.delivery import Claim, Delivery
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.settlement import Resolved
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import OutboxStats
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.reporting import plain_json
from xpander_sdk.reporting.report import Report
from xpander_sdk.settings.outbox import OutboxSettings

TESTS = Path(__file__).parents[1]
SECOND = 1_000_000
HOUR = 3_600 * SECOND
NO_LIMITS = {"max_reports": 1_000_000, "max_bytes": 1 << 30}
ONE, TWO = "http://one.test", "http://two.test"
KEY = "key-that-nobody-may-see"
TIMEOUT = 20.0  # seconds; generous for a busy machine, no test needs that long
SHORT_CALLS = Timeouts(connect=1.0, read=1.0, total=5.0)


@define
class Clock:
    """Wall clock in microseconds that a test moves, also backwards."""

    now: int = field(factory=lambda: time.time_ns() // 1_000)

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


def store_at(path: Path, clock: Callable[[], int] | None = None) -> QueueStore:
    database = Database(str(path), "crash", 1_000)
    return QueueStore(database) if clock is None else QueueStore(database, clock)


def make_report(id: str = "run-1", reported_at: int = 1, agent_id: str = "agent-1", **fields: Any) -> Report:
    return Report(agent_id=agent_id, id=id, reported_at=reported_at, content=plain_json.encode({"id": id, **fields}))


def make_configuration(path: Path, base_url: str = "http://backend.test", **settings: Any) -> Configuration:
    """Return a configuration; settings of the outbox and of the configuration are mixed."""
    outbox = {name: settings.pop(name) for name in list(settings) if name in OutboxSettings.__annotations__}
    return Configuration(
        **{
            "base_url": base_url, "api_key": KEY, "agent_id": "agent-1", "timeouts": SHORT_CALLS,
            "outbox": OutboxSettings(file=str(path), **outbox), **settings,
        }
    )  # fmt: skip


def error_of_status(status: int, detail: str = "detail", retry_after: float | None = None) -> errors.ModuleException:
    content = json.dumps({"detail": detail}).encode()
    return errors.error_from_response(status, {}, content, errors.RequestInfo(), retry_after, lambda text: text)


def assert_balanced(stats: OutboxStats) -> OutboxStats:
    assert stats.accepted == stats.delivered + stats.pending + stats.dead + sum(stats.dropped.values())
    return stats


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)


def run_program(name: str, *arguments: str) -> str:
    """Run a program of `programs/` in another process, and return its output.

    That process can fork, because it has no threads.
    """
    result = subprocess.run(
        [sys.executable, str(TESTS / "outbox" / "programs" / name), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        cwd="/",  # A user without rights can read it.
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert result.returncode == 0, result.stderr[-4_000:]
    print(result.stdout)
    return result.stdout


def read_files(path: Path) -> bytes:
    """Return the content of the database and of SQLite's other files."""
    return b"".join(file.read_bytes() for file in path.parent.glob("outbox.db*"))


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 1_000)


def remove_files(path: Path) -> None:
    for file in path.parent.glob("outbox.db*"):
        file.unlink()


@define
class RecordingBackend:
    """Backend that records reports, unless it is unavailable or blocked."""

    is_unavailable: bool = False
    unblocked: threading.Event = field(factory=threading.Event)
    recorded: list[dict[str, Any]] = field(factory=list)
    calls: int = 0

    def __attrs_post_init__(self) -> None:
        self.unblocked.set()

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        self.calls += 1
        if not self.unblocked.wait(min(TIMEOUT, configuration.timeouts.total)):
            raise TimedOutError(None, "no response")
        if self.is_unavailable:
            raise ConnectionFailedError(None, "unavailable")
        body = json.loads(operation.content)
        self.recorded.append(body)
        return operation.parse({"id": body["id"]}, {})

    @property
    def runs(self) -> list[str]:
        return [body["id"] for body in self.recorded]


@define
class ScriptedBackend:
    """Backend with a scripted response for each destination, run or result; all other reports are recorded."""

    responses: dict[str, Any] = field(factory=dict)
    """Status, exception or response body, by base URL, id or result of the report."""
    retry_after: float | None = None
    detail: str = "detail"
    seen: list[tuple[str, str | None, dict[str, Any]]] = field(factory=list)

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        key = configuration.current_key()
        body = json.loads(operation.content)
        self.seen.append((configuration.base_url, key, body))
        for name in (configuration.base_url, body["id"], body.get("result")):
            if name in self.responses:
                return self._respond(self.responses[name], operation)
        return operation.parse({"id": body["id"]}, {})

    def _respond(self, response: Any, operation: Any) -> Any:
        if isinstance(response, int):
            raise error_of_status(response, self.detail, self.retry_after)
        if isinstance(response, BaseException):
            raise response
        return operation.parse(response, {})

    @property
    def runs(self) -> list[str]:
        return [body["id"] for _, _, body in self.seen]

    @property
    def results(self) -> list[str]:
        return [body["result"] for _, _, body in self.seen]


@define
class ReplaceableSend:
    """Function that sends for an outbox; a test may replace the backend behind it."""

    backend: Callable[[Configuration, Any], Any]

    def __call__(self, configuration: Configuration, operation: Any) -> Any:
        return self.backend(configuration, operation)


def reject_all(configuration: Configuration, operation: Any) -> Any:
    """Backend that rejects every report permanently."""
    raise error_of_status(422)


def put(
    outbox: Outbox,
    id: str = "run-1",
    convert: Callable[[Any], Any] = lambda response: response,
    report: Report | None = None,
    result: str | None = None,
    **settings: Any,
) -> Receipt[Any]:
    """Submit a report; `settings` are those of `make_configuration`."""
    if report is None:
        report = make_report(id) if result is None else make_report(id, result=result)
    configuration = make_configuration(Path(outbox.path), **settings)
    assert configuration.outbox is not None
    return outbox._state.submitter.put(configuration, configuration.outbox, report, convert)


@define
class DeliveryBench:
    """Delivery of one process without threads: a test calls each step and moves the clock."""

    path: Path
    send: Callable[[Configuration, Any], Any]
    clock: Clock = field(factory=Clock)
    max_dead: tuple[int, int] = (1_000_000, 1 << 30)
    resolved: list[Resolved] = field(factory=list)
    store: QueueStore = field(init=False)
    keyring: Keyring = field(init=False)
    delivery: Delivery = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = store_at(self.path, self.clock)
        self.keyring = Keyring(self.store)
        self.delivery = self.delivery_of("owner-1")

    def delivery_of(self, owner: str, keyring: Keyring | None = None) -> Delivery:
        """Return the delivery of another process, with the keys of this one or with its own."""
        return Delivery(
            self.store,
            self.keyring if keyring is None else keyring,
            owner,
            self.resolved.extend,
            send=self._send,
            max_dead=self.max_dead,
        )

    def _send(self, configuration: Configuration, operation: Any) -> Any:
        return self.send(configuration, operation)

    def put(self, report: Report, **settings: Any) -> int:
        configuration = make_configuration(self.path, **settings)
        return self.store.put(lambda salt: self.keyring.add(configuration, salt), report, **NO_LIMITS)

    def claim(self) -> Claim:
        claim = self.delivery.claim()
        assert claim is not None
        return claim

    def deliver_one(self) -> None:
        self.delivery.deliver(self.claim())

    def deliver_due(self, max_attempts: int = 10_000) -> int:
        """Deliver everything that is due now, and return the number of attempts."""
        for attempts in range(max_attempts):
            claim = self.delivery.claim()
            if claim is None:
                return attempts
            self.delivery.deliver(claim)
        raise AssertionError(f"a report is still due after {max_attempts} attempts")

    def stats(self) -> OutboxStats:
        return assert_balanced(Counters(self.store.database).stats())

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of delivered, pending and dead reports."""
        stats = self.stats()
        return stats.delivered, stats.pending, stats.dead

    def close(self) -> None:
        self.store.database.close()
