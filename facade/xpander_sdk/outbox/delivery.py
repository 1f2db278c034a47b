"""Takes reports out of the file, sends them, and writes down what became of them."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from xpander_sdk import errors
from xpander_sdk.client import client as connection
from xpander_sdk.client import operations
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.keyring import Keyring
from xpander_sdk.outbox.policy import SECOND, FailureKind
from xpander_sdk.outbox.storage.models import Batch, Destination
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.settings.configuration import Configuration

_log = logging.getLogger("xpander_sdk")

Send = Callable[[Configuration, operations.Operation[Any]], Any]
Settled = Callable[[Batch, str, Any], None]
_MARGIN = 5  # seconds that a turn is held beyond the longest call
_MAX_CALL = 600.0  # seconds: a turn that was held for longer than all waits would seem to be free
_LEAST_CALL = 0.05
_LOOK_SECONDS = 5.0  # between two looks for targets that other processes made known


class Delivery:
    """What one process delivers. Safe to share between threads; each takes the runs of its own.

    Args:
        holder: what this process is called in the file.
        settled: told of each group whose fate is decided: its state, and the backend's answer where it was delivered.
        send: how to send; raises ModuleException.
        max_dead: how many dead letters are kept, and how many bytes of them.
    """

    def __init__(
        self,
        file: QueueStore,
        keyring: Keyring,
        holder: str,
        settled: Settled,
        *,
        send: Send = connection.send,
        max_dead: tuple[int, int] = (1_000_000, 1 << 30),
    ) -> None:
        self._file = file
        self._keyring = keyring
        self._holder = holder
        self._settled = settled
        self._send = send
        self.max_dead = max_dead
        self._lock = threading.Lock()
        self._ways: dict[int, tuple[Destination, Configuration]] = {}
        self._generation = -1
        self._looked = 0.0
        self._turn = 0
        self.in_flight = 0

    def refresh(self) -> None:
        """Look which targets there are, and which of them this process has a key for."""
        self._generation = self._keyring.generation
        self._looked = time.monotonic()
        ways = {}
        for target in self._file.targets() if self._file.database.exists() else ():
            configuration = self._keyring.configuration(target)
            if configuration is not None:
                once = evolve(configuration.retry, attempts=1)  # the next attempt is the file's business
                total = min(_MAX_CALL, configuration.timeouts.total)
                timeouts = evolve(configuration.timeouts, total=total)
                ways[target.id] = target, configuration.with_options(retry=once, timeouts=timeouts)
        self._ways = ways

    @property
    def targets(self) -> list[int]:
        """The targets that this process can reach."""
        return list(self._ways)

    def claim(self) -> Batch | None:
        """Take what waits of one run; None where nothing is due. Whatever comes of it, `deliver` it."""
        if self._keyring.generation != self._generation or time.monotonic() > self._looked + _LOOK_SECONDS:
            self.refresh()
        ways = self._ways
        if not ways or not self._file.database.exists():
            return None
        targets = list(ways)
        # Each target in its turn, so that a busy one does not hold up the others.
        self._turn += 1
        first = self._turn % len(targets)
        hold = max(configuration.timeouts.total for _, configuration in ways.values()) + _MARGIN
        group = self._file.claim(self._holder, targets[first:] + targets[:first], round(hold * SECOND))
        if group is not None:
            with self._lock:
                self.in_flight += 1
        return group

    def deliver(self, group: Batch, ends: float | None = None) -> None:
        """Send what was taken.

        Args:
            ends: when the call has to be over, on the monotonic clock; None for within its own time-outs.
        """
        try:
            self._deliver(group, ends)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _deliver(self, group: Batch, ends: float | None) -> None:
        way = self._way(group, ends)
        if way is None:
            self._file.give_back(group)
            self.refresh()
            return
        report = policy.merge_reports(group.reports)
        operation = evolve(operations.report_task(report), parse=_recorded(report.id))
        try:
            answer = self._send(way, operation)
        except errors.ModuleException as error:
            self._failed(group, policy.classify_failure(error), str(error), error.status_code, error.retry_after)
        except ValueError as error:
            # The key cannot be had: its file is gone, its callable fails.
            self._failed(group, FailureKind.LOCKED_OUT, str(error), None, None)
        except Exception as error:
            _log.exception("a report could not be sent")
            self._failed(group, FailureKind.FAILED, type(error).__name__, None, None)
        except BaseException:
            self._file.give_back(group)
            raise
        else:
            self._file.delivered(group)
            self._settled(group, "delivered", answer)

    def _way(self, group: Batch, ends: float | None) -> Configuration | None:
        """None where the file was replaced: its numbers stand for other targets now."""
        target, configuration = self._ways.get(group.target.id, (None, None))
        if target is None or configuration is None or target.name != group.target.name:
            return None
        if ends is None:
            return configuration
        left = max(_LEAST_CALL, ends - time.monotonic())
        given = configuration.timeouts
        shorter = evolve(
            given, connect=min(left, given.connect), read=min(left, given.read), total=min(left, given.total)
        )
        return configuration.with_options(timeouts=shorter)

    def _failed(
        self, group: Batch, verdict: FailureKind, told: str, status: int | None, retry_after: float | None
    ) -> None:
        told = told.encode(errors="replace").decode()  # of what a backend says, not all can be written
        attempts = group.attempts + 1
        if verdict is FailureKind.NOT_FOUND and attempts >= policy.UNKNOWN_AGENT_ATTEMPTS:
            verdict = FailureKind.REFUSED
        if verdict is FailureKind.REFUSED:
            if self._file.refused(group, status, told[:2_000], max_dead=self.max_dead):
                _log.error(
                    "%s refuses a report for good, which is now a dead letter of the outbox %s: %s",
                    group.target.base_url, self._file.database.path, told,
                )  # fmt: skip
                self._settled(group, "dead", None)
            return
        target_wait: int | None
        if verdict is FailureKind.LOCKED_OUT:
            run_wait, target_wait = 0, policy.PAUSE
            if not group.target.failures:
                _log.error("%s does not let us in; the outbox keeps its reports: %s", group.target.base_url, told)
        else:
            run_wait = policy.run_backoff(attempts, is_away=verdict is FailureKind.NOT_NOW)
            answers = verdict is FailureKind.NOT_FOUND
            target_wait = None if answers else policy.destination_backoff(group.target.failures + 1, retry_after)
        self._file.put_off(group, told[:500], run_wait=run_wait, target_wait=target_wait)

    def seconds_to_next(self, limit: float) -> float | None:
        """Seconds until something may be due, `limit` at the most; None where nothing waits."""
        moment = self._file.next_at(self.targets) if self._file.database.exists() else None
        if moment is None:
            return None
        return min(limit, max(0.0, (moment - self._file.clock()) / SECOND))

    def is_busy(self) -> bool:
        """Whether something is being sent just now, by this process or by another one."""
        return self.in_flight > 0 or (self._file.database.exists() and self._file.is_held(self.targets))

    def tidy(self) -> bool:
        """Give a little of the room back that the file does not need any more; whether there may be more of it."""
        return self._file.database.exists() and self._file.database.shrink()


def _recorded(report_id: str) -> Callable[[Any, Mapping[str, str]], Any]:
    """An answer counts if it names the run: a backend that is newer than this client may have changed all the rest."""

    def parse(body: Any, headers: Mapping[str, str]) -> Any:
        if body["id"] != report_id:
            raise ValueError(f"it is about {json.dumps(body['id'])[:100]}, another run")
        return body

    return parse
