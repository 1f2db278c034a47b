"""Outbox: the handle of one file in this process.

Parts, from the file upwards: `storage` keeps the reports, `keyring` finds their keys, `delivery` sends them, `worker`
runs the delivery in threads, `receipts` informs the callers, `submission` stores new reports, `process_state` joins
these.
"""

from contextlib import suppress

from xpander_sdk._clock import monotonic
from xpander_sdk.client import client
from xpander_sdk.outbox.delivery import Send
from xpander_sdk.outbox.process_state import ProcessState
from xpander_sdk.outbox.receipts import Receipts
from xpander_sdk.outbox.storage.administration import Administration
from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats
from xpander_sdk.outbox.storage.stats import Counters, DeadLetters
from xpander_sdk.outbox.worker import Worker
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.outbox import OutboxSettings


class Outbox:
    """Reports in one file that wait for delivery, and their delivery by this process.

    `Backend.outbox` returns the outbox of a backend; programs do not create one. All processes that use the file share
    its reports and counters. Safe to share between threads. Optional: `close`; at exit, the outbox delivers for up to
    `OutboxSettings.exit_seconds` and keeps the remaining reports in the file.

    Attributes:
        path: Absolute path of the file.

    Example:
        >>> from xpander_sdk import Backend
        >>> outbox = Backend().outbox
        >>> outbox.flush(5.0)
        True
        >>> outbox.stats().pending
        0
    """

    def __init__(self, path: str, send: Send = client.send) -> None:
        self.path = path
        self._send = send
        self._start(OutboxSettings(file=path))

    def _start(self, settings: OutboxSettings, receipts: Receipts | None = None) -> None:
        """Create all state of this process; after a fork, keep the receipts that the child has from its parent."""
        self._state = ProcessState(self.path, self._send, settings, receipts)
        self._counters = Counters(self._state.database)
        self._dead_letters = DeadLetters(self._state.database)
        self._administration = Administration(self._state.database)

    # Public methods

    def stats(self) -> OutboxStats:
        """Return the counters of the file, over all processes that use it.

        Returns:
            Numbers of accepted, delivered, pending, dead and dropped reports, and the state of the destinations.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> stats = Backend().outbox.stats()
            >>> stats.accepted == stats.delivered + stats.pending + stats.dead + sum(stats.dropped.values())
            True
        """
        return self._counters.stats()

    def dead(self, limit: int = -1) -> list[DeadLetter]:
        """Return the reports that backends rejected permanently, newest first.

        Args:
            limit: Maximum number of dead letters; -1 for all. Default -1.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> [(letter.task_id, letter.status, letter.error) for letter in Backend().outbox.dead(limit=10)]
            []
        """
        return self._dead_letters.list(limit)

    def retry(self, seqs: list[int] | None = None) -> int:
        """Queue dead letters for delivery again, and end all waits after failures.

        Args:
            seqs: Values of `DeadLetter.seq`; unknown ones are ignored. Default: all dead letters.

        Returns:
            Number of dead letters that were queued.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.retry()
            0
        """
        count = self._dead_letters.revive(seqs)
        self._state.reset_backoff()
        if self._state.worker is not None:
            self._state.worker.wake()
        return count

    def discard(self, seqs: list[int] | None = None, *, destination: Destination | str | None = None) -> int:
        """Delete dead letters, or all reports of one destination; they count as dropped.

        Args:
            seqs: Values of `DeadLetter.seq`; unknown ones are ignored. Default: all dead letters.
            destination: Element of `OutboxStats.destinations`, or its `base_url` for all with that URL. Its pending
                reports are deleted as well, except those that a process is sending. Default: only dead letters are
                deleted, those of all destinations.

        Returns:
            Number of deleted reports and dead letters.

        Raises:
            ValueError: The file has no such destination, or `seqs` is passed as well.
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.discard([17])
            0
        """
        if destination is None:
            return self._dead_letters.discard(seqs)
        if seqs is not None:
            raise ValueError("seqs must be None if destination is passed; pass one of them")
        return self._administration.discard(self._ids_of(destination))

    def move(self, to: Configuration, destination: Destination | str | None = None) -> int:
        """Assign reports to another backend, organization or key, for example after a wrong URL or a changed key.

        Pending reports are due at once, except those that a process is sending, which stay. Dead letters move too;
        `retry` delivers them to the new destination.

        Args:
            to: URL, organization and key of the new destination.
            destination: Element of `OutboxStats.destinations`, or its `base_url` for all with that URL. Default: all
                destinations.

        Returns:
            Number of reports and dead letters that were moved.

        Raises:
            ValueError: The file has no such destination, or `to` cannot reach a backend.
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend, Configuration
            >>> Backend().outbox.move(Configuration(base_url="sqlite:///other.db"))
            0
        """
        ids = self._ids_of(destination)
        key = self._state.keyring.add(to, self._state.store.salt())
        count = self._administration.move(ids, key)
        if self._state.worker is not None:
            self._state.worker.wake()
        return count

    def _ids_of(self, destination: Destination | str | None) -> list[int]:
        destinations = self._state.store.destinations()
        if destination is None:
            return [each.id for each in destinations]
        if isinstance(destination, Destination):
            ids = [each.id for each in destinations if each.key == destination.key]
        else:
            ids = [each.id for each in destinations if each.base_url == destination]
        if not ids:
            urls = ", ".join(sorted({each.base_url for each in destinations})) or "none"
            name = destination.base_url if isinstance(destination, Destination) else repr(destination)
            raise ValueError(f"destination must be one of the outbox, got {name}; the outbox has {urls}")
        return ids

    def flush(self, deadline: float = 10.0) -> bool:
        """Wait until every report that is in the file now was delivered or became a dead letter.

        Waits after failures end first, so each destination is tried at once. With `worker="none"`, this method delivers
        as `drain` does.

        Args:
            deadline: Maximum time to wait, in seconds. Default 10.

        Returns:
            True if all reports were delivered or became dead letters. False if some are still pending: the time is
            over, a backend is unavailable for longer than the deadline, or this process has no key for them. They stay
            in the file.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.flush(5.0)
            True
        """
        ends_at = monotonic() + deadline
        state = self._state
        last_seq = state.store.last_seq()
        state.reset_backoff()
        if state.settings.worker == "thread":
            state.wake_worker(state.settings)
            state.wait_until_idle(ends_at)
        else:
            self.drain(deadline)
        return not state.store.has_pending(last_seq, [destination.id for destination in state.store.destinations()])

    def drain(self, deadline: float = 10.0) -> bool:
        """Deliver the pending reports with threads that end before this method returns.

        For the end of an AWS Lambda handler, for cron jobs, and for `worker="none"`. Waits after failures end first.

        Args:
            deadline: Maximum time in seconds. A call that is in progress then is cancelled, and its report stays in the
                file. Default 10.

        Returns:
            True if no report is pending.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.drain(2.0)
            True
        """
        ends_at = monotonic() + deadline
        self._state.reset_backoff()
        worker = Worker(self._state.delivery, self._state.settings.parallel, ends_at)
        worker.wake()
        try:
            worker.join()
        finally:
            worker.stop()
        return self._state.store.last_seq() == 0

    def close(self, deadline: float = 10.0) -> bool:
        """Flush, stop the delivery threads, and close the file; the next report opens it again.

        Args:
            deadline: Maximum time to wait for deliveries, in seconds. Default 10.

        Returns:
            True if all reports were delivered or became dead letters, as `flush` does.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend().outbox.close(5.0)
            True
        """
        ends_at = monotonic() + deadline
        try:
            return self.flush(deadline)
        finally:
            self._state.stop(ends_at)

    def use_any_key(self) -> None:
        """Deliver with XPANDER_API_KEY the reports whose own key this process does not know.

        For use after a key was changed. The new key must belong to the same organization.
        """
        self._state.keyring.allow_any_key = True

    def has_key_for(self, destination: Destination) -> bool:
        """Return whether this process can deliver to a destination of `OutboxStats.destinations`.

        Raises:
            OutboxError: The file cannot be used.
        """
        return self._state.keyring.configuration(destination) is not None

    def has_pending_for(self, destination: Destination) -> bool:
        """Return whether reports for a destination of `OutboxStats.destinations` are pending.

        Raises:
            OutboxError: The file cannot be used.
        """
        return self._state.store.has_pending(self._state.store.last_seq(), [destination.id])

    # `registry` calls these methods.

    def _register(self, configuration: Configuration, settings: OutboxSettings) -> None:
        """Apply the settings, and deliver with the key of this configuration as well."""
        self._state.apply(settings)
        self._add_key(configuration)

    def _take_over(self, configuration: Configuration, settings: OutboxSettings) -> None:
        """Deliver at the end of this process, also the reports of others; settings of a submission stay."""
        if not self._state.delivers_at_exit:
            self._state.apply(settings)
            self._state.delivers_at_exit = True
        self._add_key(configuration)

    def _add_key(self, configuration: Configuration) -> None:
        with suppress(ValueError):  # A configuration without a key may still read the outbox.
            self._state.keyring.add(configuration, self._state.store.salt())

    def _after_fork_in_child(self) -> None:
        self._start(self._state.settings, self._state.receipts)
