"""The only module that touches httpx: sends an operation to its target, sync or async.

What to send when, and what an answer means, is decided once, by `_exchange`, a generator; the two drivers only do the
sending and the waiting that it asks for.
"""

import atexit
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from xpander_sdk import errors
from xpander_sdk.configuration import Configuration
from xpander_sdk.operations import Operation
from xpander_sdk.retry import RETRIED_STATUSES, RetryPolicy, retry_after

if TYPE_CHECKING:
    import httpx

    from xpander_server.embedded import Embedded

T = TypeVar("T")

_log = logging.getLogger(__name__)

POLICY = RetryPolicy()
CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0


@frozen
class _Wait:
    seconds: float


@frozen
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@frozen
class _Failure:
    error: type[errors.ModuleException]
    description: str


_Step = dict[str, Any] | _Wait
_Outcome = _Answer | _Failure | None


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Carry out the operation, and return what it answers.

    Raises:
        ModuleException: it was refused, or there was no usable answer.
        ValueError: the configuration cannot reach any backend; nothing was sent.
    """
    import httpx

    exchange = _exchange(configuration, operation)
    client = _client(configuration)
    outcome: _Outcome = None
    try:
        while True:
            step = exchange.send(outcome)
            if isinstance(step, _Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                try:
                    response = client.request(**step)
                    outcome = _Answer(response.status_code, response.headers, response.content)
                except httpx.RequestError as error:
                    outcome = _failure(error)
    except StopIteration as done:
        result: T = done.value
        return result


async def asend(configuration: Configuration, operation: Operation[T]) -> T:
    """`send`, without blocking the event loop, on asyncio and on trio."""
    import anyio
    import httpx

    exchange = _exchange(configuration, operation)
    client = await _async_client(configuration)
    outcome: _Outcome = None
    try:
        while True:
            step = exchange.send(outcome)
            if isinstance(step, _Wait):
                await anyio.sleep(step.seconds)
                outcome = None
            else:
                try:
                    response = await client.request(**step)
                    outcome = _Answer(response.status_code, response.headers, response.content)
                except httpx.RequestError as error:
                    outcome = _failure(error)
    except StopIteration as done:
        result: T = done.value
        return result


def _exchange(configuration: Configuration, operation: Operation[T]) -> Generator[_Step, _Outcome, T]:
    base = "http://embedded" if configuration.is_embedded else configuration.get_full_url()
    request = {
        "method": operation.method,
        "url": base + operation.url,
        "params": operation.params,
        "headers": {**operation.headers, **_identity(configuration)},
        "content": operation.content,
    }
    deadline = time.monotonic() + POLICY.total
    attempts = 0
    while True:
        attempts += 1
        remaining = deadline - time.monotonic()
        outcome = yield {**request, "timeout": _timeout(remaining)}
        assert isinstance(outcome, _Answer | _Failure)
        asked = None
        if isinstance(outcome, _Answer):
            if 200 <= outcome.status < 300:
                return _parsed(operation, outcome, attempts)
            asked = retry_after(outcome.headers)
            told = str(outcome.status)
        else:
            told = outcome.description
        _log.debug("%s %s, attempt %d: %s", operation.method, operation.url, attempts, told)
        may_retry = isinstance(outcome, _Failure) or outcome.status in RETRIED_STATUSES
        delay = POLICY.delay(attempts, asked, deadline - time.monotonic()) if may_retry else None
        if delay is None:
            raise _error(outcome, configuration, attempts=attempts, report_id=operation.report_id, asked=asked)
        yield _Wait(delay)


def _identity(configuration: Configuration) -> dict[str, str]:
    if configuration.api_key is not None:
        return {"x-api-key": configuration.api_key}
    if configuration.is_embedded:
        return {}
    raise ValueError(f"{configuration.base_url} needs a key: pass Configuration(api_key=…) or set XPANDER_API_KEY")


def _timeout(remaining: float) -> "httpx.Timeout":
    import httpx

    seconds = max(0.001, min(ATTEMPT_SECONDS, remaining))
    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


def _failure(error: "httpx.RequestError") -> _Failure:
    import httpx

    kind = errors.TimedOutError if isinstance(error, httpx.TimeoutException) else errors.ConnectionFailedError
    return _Failure(kind, f"{type(error).__name__}: {error}".rstrip(": "))


def _error(
    outcome: _Answer | _Failure,
    configuration: Configuration,
    *,
    attempts: int,
    report_id: str | None,
    asked: float | None,
) -> errors.ModuleException:
    if isinstance(outcome, _Answer):
        return errors.from_answer(
            outcome.status, outcome.body, attempts=attempts, report_id=report_id, retry_after=asked
        )
    return outcome.error(
        None,
        f"{configuration.base_url} gave no answer: {outcome.description}",
        attempts=attempts,
        report_id=report_id,
    )


def _parsed(operation: Operation[T], answer: _Answer, attempts: int) -> T:
    try:
        return operation.parse(json.loads(answer.body), answer.headers)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise errors.ContractError(
            answer.status,
            f"the answer is not what the contract says: {type(error).__name__}: {error}"[:500],
            attempts=attempts,
            report_id=operation.report_id,
        ) from error


# One kept client a target: for each process (sync), for each event loop (async). They hold no key.

_Target = tuple[str, str | None]
_lock = threading.Lock()
_clients: "dict[_Target, httpx.Client]" = {}
_async_clients: "weakref.WeakKeyDictionary[Any, dict[_Target, _Kept]]" = weakref.WeakKeyDictionary()
_stores: "dict[_Target, Embedded]" = {}
_of_parent: list[object] = []


@frozen
class _Kept:
    client: "httpx.AsyncClient"
    keeper: AsyncGenerator[None, None]


def _target(configuration: Configuration) -> _Target:
    if not configuration.is_embedded:
        return configuration.base_url, None
    # A relative file is another one after a change of directory.
    path = configuration.base_url.removeprefix("sqlite:///")
    return f"sqlite:///{os.path.abspath(path)}", configuration.organization_id


def _client(configuration: Configuration) -> "httpx.Client":
    target = _target(configuration)
    client = _clients.get(target)
    if client is None:
        import httpx

        store = _embedded(configuration)
        with _lock:
            client = _clients.get(target)
            if client is None:
                client = _clients[target] = httpx.Client(transport=_in_process(store) if store else None)
    return client


async def _async_client(configuration: Configuration) -> "httpx.AsyncClient":
    import httpx

    clients = _async_clients.setdefault(_event_loop(), {})
    target = _target(configuration)
    kept = clients.get(target)
    if kept is None:
        store = _embedded(configuration)
        client = httpx.AsyncClient(transport=_in_process_async(store) if store else None)
        kept = clients[target] = _Kept(client, _keep(clients, target, client))
        await kept.keeper.__anext__()
    return kept.client


def _event_loop() -> Any:
    """What stands for the event loop that this runs in: the same object for as long as it lives."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    import asyncio

    return asyncio.get_running_loop()


async def _keep(
    clients: dict[_Target, _Kept], target: _Target, client: "httpx.AsyncClient"
) -> AsyncGenerator[None, None]:
    # An event loop that ends (asyncio.run, trio.run) first finishes the asynchronous generators that were begun in it:
    # the one moment at which its connections can still be closed properly.
    try:
        yield
    finally:
        clients.pop(target, None)
        await client.aclose()


def _embedded(configuration: Configuration) -> "Embedded | None":
    if not configuration.is_embedded:
        return None
    target = _target(configuration)
    with _lock:
        if target not in _stores:
            try:
                from xpander_server.embedded import Embedded, StoreError
            except ModuleNotFoundError as missing:
                raise ModuleNotFoundError(
                    f"{configuration.base_url} is an embedded target, which needs {missing.name}: "
                    "pip install 'xpander-report[server]'",
                    name=missing.name,
                ) from missing
            try:
                _stores[target] = Embedded(*target)
            except StoreError as error:
                raise errors.ConnectionFailedError(None, str(error), attempts=0) from error
        return _stores[target]


def _in_process(store: "Embedded") -> "httpx.MockTransport":
    # httpx calls it a mock; it is its transport to a function, and this one is the whole server.
    import httpx

    def handle(request: httpx.Request) -> httpx.Response:
        status, headers, body = store.call(request.method, request.url.raw_path, request.headers.raw, request.read())
        return httpx.Response(status, headers=headers, content=body)

    return httpx.MockTransport(handle)


def _in_process_async(store: "Embedded") -> "httpx.MockTransport":
    import httpx

    async def handle(request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        status, headers, answer = await store.acall(request.method, request.url.raw_path, request.headers.raw, body)
        return httpx.Response(status, headers=headers, content=answer)

    return httpx.MockTransport(handle)


def _close_all() -> None:
    for client in _clients.values():
        client.close()
    for store in _stores.values():
        store.close()


def _after_fork() -> None:
    # The child makes its own. What the parent has open is kept, not closed: closing it here would speak on the parent's
    # connections, and drop the parent's locks on its files.
    global _lock, _clients, _async_clients, _stores
    _of_parent.append((_clients, _async_clients, _stores))
    _lock, _clients, _async_clients, _stores = threading.Lock(), {}, weakref.WeakKeyDictionary(), {}


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
