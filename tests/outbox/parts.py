"""The outbox's own parts, with a clock and a backend that a test moves by hand."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field

from xpander_sdk import Configuration, Timeouts, errors
from xpander_sdk.outbox.delivery import Delivery
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.models import Batch, OutboxStats
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.reporting.report import Report, encode_json
from xpander_sdk.settings.outbox import OutboxSettings

SECOND = 1_000_000
HOUR = 3_600 * SECOND
ROOM = {"max_reports": 1_000_000, "max_bytes": 1 << 30}
KEY = "key-that-nobody-may-see"
QUICK = Timeouts(connect=1.0, read=1.0, total=5.0)


@define
class Clock:
    """Microseconds since 1970, as a wall clock shows them: it may be put back."""

    now: int = field(factory=lambda: time.time_ns() // 1_000)

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


def file_at(path: Path, clock: Callable[[], int] | None = None) -> QueueStore:
    database = Database(str(path), "crash", 1_000)
    return QueueStore(database) if clock is None else QueueStore(database, clock)


def report(id: str = "run-1", reported_at: int = 1, agent_id: str = "agent-1", **said: Any) -> Report:
    return Report(agent_id=agent_id, id=id, reported_at=reported_at, content=encode_json({"id": id, **said}))


def configuration(path: Path, base_url: str = "http://backend.test", **settings: Any) -> Configuration:
    outbox = {name: settings.pop(name) for name in list(settings) if name in OutboxSettings.__annotations__}
    return Configuration(
        **{
            "base_url": base_url, "api_key": KEY, "agent_id": "agent-1", "timeouts": QUICK,
            "outbox": OutboxSettings(file=str(path), **outbox), **settings,
        }
    )  # fmt: skip


def refusal(status: int, detail: str = "told", retry_after: float | None = None) -> errors.ModuleException:
    """The error that an answer with this status stands for."""
    said = json.dumps({"detail": detail}).encode()
    return errors.error_from_response(status, {}, said, errors.RequestInfo(), retry_after, lambda text: text)


def balanced(stats: OutboxStats) -> OutboxStats:
    assert stats.accepted == stats.delivered + stats.pending + stats.dead + sum(stats.dropped.values())
    return stats


@define
class Bench:
    """One process's delivery, by hand: `send` stands for the backend, and is told the configuration and the report."""

    path: Path
    send: Callable[[Configuration, Any], Any]
    clock: Clock = field(factory=Clock)
    max_dead: tuple[int, int] = (1_000_000, 1 << 30)
    settled: list[tuple[Batch, str, Any]] = field(factory=list)
    file: QueueStore = field(init=False)
    keyring: Keyring = field(init=False)
    delivery: Delivery = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.file = file_at(self.path, self.clock)
        self.keyring = Keyring(self.file)
        self.delivery = self.another("holder-1")

    def another(self, holder: str) -> Delivery:
        """The delivery of another process."""
        return Delivery(
            self.file, self.keyring, holder, lambda *told: self.settled.append(told),
            send=self.send, max_dead=self.max_dead,
        )  # fmt: skip

    def put(self, given: Report, **settings: Any) -> int:
        configured = configuration(self.path, **settings)
        return self.file.put(lambda salt: self.keyring.add(configured, salt), given, **ROOM)

    def stats(self) -> OutboxStats:
        return balanced(Counters(self.file.database).stats())

    def deliver_due(self, at_most: int = 10_000) -> int:
        """All that is due now; how many attempts that took."""
        for attempts in range(at_most):
            group = self.delivery.claim()
            if group is None:
                return attempts
            self.delivery.deliver(group)
        raise AssertionError(f"it still has something to send after {at_most} attempts")

    def close(self) -> None:
        self.file.database.close()
