"""Report calls in the synchronous and the asynchronous form, and the outcome of a call."""

import asyncio
import contextvars
import time
import uuid
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from attrs import frozen

from xpander_sdk import Backend, Configuration, ModuleException, RetryPolicy, Task, Timeouts

T = TypeVar("T")

KEY = 'key/that+"nobody"&may=see'
KEY_FRAGMENT = "nobody"  # part of KEY that no kind of escaping changes
RESULT = "result-that-is-private"
AGENT = "agent-1"
RUN = "run-1"  # id of the task in the responses of the fault server
TIME_TOLERANCE = 1.0  # seconds after a deadline, for a busy machine
TIMEOUTS = Timeouts(connect=1.0, read=1.0, total=5.0)
SHORT_TIMEOUTS = Timeouts(connect=0.2, read=0.2, total=5.0)  # for servers that never respond
FAST_RETRIES = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)


class Form:
    """Synchronous or asynchronous form of the SDK.

    Args:
        runner: event loop of all asynchronous calls; None for the synchronous form.
    """

    def __init__(self, runner: asyncio.Runner | None) -> None:
        self._runner = runner
        self._configurations: list[Configuration] = []

    @property
    def is_async(self) -> bool:
        return self._runner is not None

    def configuration(self, url: str, **settings: Any) -> Configuration:
        """Return a configuration with a unique base URL.

        The SDK caches state per destination, and the operating system reuses ports. Without a unique path, a test could
        find the state of an earlier test.
        """
        defaults = {
            "base_url": f"{url}/{uuid.uuid4().hex}", "api_key": KEY, "timeouts": TIMEOUTS, "retry": FAST_RETRIES,
        }  # fmt: skip
        configuration = Configuration(**{**defaults, **settings})
        self._configurations.append(configuration)
        return configuration

    def report(self, configuration: Configuration, **arguments: Any) -> Task:
        arguments = {"agent_id": AGENT, "id": RUN, "result": RESULT, **arguments}
        if self._runner is None:
            return Task.report_external_task(configuration, **arguments)
        return self.run(Task.areport_external_task(configuration, **arguments))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the event loop of the asynchronous form."""
        assert self._runner is not None
        return self._runner.run(coroutine, context=contextvars.copy_context())  # the context contains the current span

    def idle(self) -> None:
        """Wait long enough for an event loop to process received data."""
        if self._runner is None:
            time.sleep(0.05)
        else:
            self._runner.run(asyncio.sleep(0.05))

    def report_by(self, backend: Backend, **arguments: Any) -> Task:
        if self._runner is None:
            return backend.report_external_task(AGENT, **arguments)
        return self._runner.run(backend.areport_external_task(AGENT, **arguments))

    def report_all(self, reports: Iterable[tuple[Backend, str]], concurrency: int) -> None:
        """Send reports concurrently.

        Args:
            reports: backend and task ID of each report.
            concurrency: number of reports that are sent at the same time.
        """
        if self._runner is None:
            with ThreadPoolExecutor(concurrency) as pool:
                list(pool.map(lambda report: report[0].report_external_task(AGENT, id=report[1]), reports))
            return

        async def report(free_slots: asyncio.Semaphore, backend: Backend, task_id: str) -> None:
            async with free_slots:
                await backend.areport_external_task(AGENT, id=task_id)

        async def report_each() -> None:
            free_slots = asyncio.Semaphore(concurrency)
            await asyncio.gather(*(report(free_slots, backend, task_id) for backend, task_id in reports))

        self._runner.run(report_each())

    def close(self) -> None:
        """Close the connections of all configurations that this object created."""
        for configuration in self._configurations:
            Backend(configuration).close()


@frozen
class Outcome:
    """Result of a report call: the task or the error, and the duration in seconds."""

    task: Task | None
    error: ModuleException | None
    seconds: float


def report_outcome(form: Form, configuration: Configuration, **arguments: Any) -> Outcome:
    """Send a report, assert that the call ends within its total timeout, and return its outcome."""
    start = time.monotonic()
    task = error = None
    try:
        task = form.report(configuration, **arguments)
    except ModuleException as raised:
        error = raised
    seconds = time.monotonic() - start
    assert seconds < configuration.timeouts.total + TIME_TOLERANCE, "the call exceeded its total timeout"
    return Outcome(task, error, seconds)
