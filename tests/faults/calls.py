"""A report in both forms, and what has to be so however it ends."""

import asyncio
import contextvars
import json
import logging
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import frozen
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from faults.server import FaultServer
from xpander_sdk import Backend, Configuration, ModuleException, RetryPolicy, Task, Timeouts

KEY = 'key/that+"nobody"&may=see'
PART_OF_KEY = "nobody"  # which is in the key however it is escaped
RESULT = "result-that-is-private"
AGENT = "agent-1"
SLACK = 1.0  # seconds beyond the deadline, for a machine that is busy
QUICK = Timeouts(connect=1.0, read=1.0, total=5.0)
HURRIED = Timeouts(connect=0.2, read=0.2, total=5.0)  # for where nothing will come
EAGER = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)


class Form:
    """The synchronous form, or the asynchronous one in an event loop that lasts as long as the test."""

    def __init__(self, runner: asyncio.Runner | None) -> None:
        self._runner = runner
        self._used: list[Configuration] = []

    @property
    def is_async(self) -> bool:
        return self._runner is not None

    def configuration(self, url: str, **settings: Any) -> Configuration:
        """A target that no other test has: what is kept for a target would else be another test's, once its port is
        given out again."""
        configuration = Configuration(
            **{"base_url": f"{url}/{uuid.uuid4().hex}", "api_key": KEY, "timeouts": QUICK, "retry": EAGER, **settings}
        )
        self._used.append(configuration)
        return configuration

    def report(self, configuration: Configuration, **arguments: Any) -> Task:
        arguments = {"agent_id": AGENT, "result": RESULT, **arguments}
        if self._runner is None:
            return Task.report_external_task(configuration, **arguments)
        coroutine = Task.areport_external_task(configuration, **arguments)
        return self._runner.run(coroutine, context=contextvars.copy_context())  # spans are in the context

    def idle(self) -> None:
        """Let some time pass, in which an event loop sees what arrives."""
        if self._runner is None:
            time.sleep(0.05)
        else:
            self._runner.run(asyncio.sleep(0.05))

    def report_by(self, backend: Backend, **arguments: Any) -> Task:
        if self._runner is None:
            return backend.report_external_task(AGENT, **arguments)
        return self._runner.run(backend.areport_external_task(AGENT, **arguments))

    def report_all(self, backends: Iterable[tuple[Backend, str]], at_once: int) -> None:
        """For each backend, a report with this id; as many at once."""
        if self._runner is None:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(lambda pair: pair[0].report_external_task(AGENT, id=pair[1]), backends))
            return

        async def one(free: asyncio.Semaphore, backend: Backend, id: str) -> None:
            async with free:
                await backend.areport_external_task(AGENT, id=id)

        async def every() -> None:
            free = asyncio.Semaphore(at_once)
            await asyncio.gather(*(one(free, *pair) for pair in backends))

        self._runner.run(every())

    def close(self) -> None:
        for configuration in self._used:
            Backend(configuration).close()


@frozen
class Outcome:
    """How a report ended, and after how long."""

    task: Task | None
    error: ModuleException | None
    seconds: float


def outcome_of(form: Form, configuration: Configuration, **arguments: Any) -> Outcome:
    began = time.monotonic()
    task = error = None
    try:
        task = form.report(configuration, **arguments)
    except ModuleException as raised:
        error = raised
    seconds = time.monotonic() - began
    assert seconds < configuration.timeouts.total + SLACK, "it took longer than it was given"
    return Outcome(task, error, seconds)


def every_attempt_is_the_same(server: FaultServer, error: ModuleException | None = None) -> None:
    """So that a run is recorded once, at one time, under one name in the logs."""
    told = {
        (
            request.method,
            request.target,
            request.content,
            request.headers["x-reported-at"],
            request.headers["x-request-id"],
        )
        for request in server.requests
        if request.content
    }
    assert len(told) <= 1
    for _, _, content, reported_at, request_id in told:
        assert abs(int(reported_at) / 1_000_000 - time.time()) < 60
        if error is not None:
            assert error.report_id == json.loads(content)["id"]
            assert error.request_id == request_id
    assert {request.headers["x-api-key"] for request in server.requests} <= {KEY}


def nothing_is_told(
    error: BaseException | None, logged: pytest.LogCaptureFixture, spans: InMemorySpanExporter | None = None
) -> None:
    """Neither the key nor the payload, wherever somebody may look later."""
    texts = [*texts_of_logs(logged), *texts_of_error(error), *texts_of_spans(spans)]
    for text in texts:
        assert PART_OF_KEY not in text
        assert RESULT not in text
    # The payload is the caller's own, and a variable of the caller's frame.
    assert PART_OF_KEY not in traceback_with_variables(error)


def texts_of_logs(logged: pytest.LogCaptureFixture) -> Iterator[str]:
    yield logged.text
    for record in logged.records:
        yield repr(vars(record))


def texts_of_error(error: BaseException | None) -> Iterator[str]:
    for link in _chain(error):
        yield from (str(link), repr(link), repr(vars(link)), *traceback.format_exception(link))


def texts_of_spans(spans: InMemorySpanExporter | None) -> Iterator[str]:
    for span in spans.get_finished_spans() if spans else ():
        yield span.to_json()


def traceback_with_variables(error: BaseException | None) -> str:
    """As tools show it that report errors: with the repr of each variable of each frame."""
    if error is None:
        return ""
    told = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
    return "".join(told.format())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="xpander_sdk"):
        yield


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("xpander_sdk") and record.levelno >= logging.WARNING
    ]
