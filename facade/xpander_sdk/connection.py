"""Sends an operation to its target, sync or async.

What to send when, and what an answer means, is decided once, by `_exchange`, a generator; the two drivers only do the
sending and the waiting that it asks for.
"""

import atexit
import json
import logging
import os
import sys
import time
import uuid
import weakref
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from attrs import define, evolve, frozen

from xpander_sdk import errors, loading
from xpander_sdk.configuration import Configuration, Transport
from xpander_sdk.operations import Operation
from xpander_sdk.retry import RETRIED_STATUSES, RetryBudget, retry_after
from xpander_sdk.telemetry import span
from xpander_sdk.version import __version__

if TYPE_CHECKING:
    from xpander_sdk.transport import Answer, AsyncSender, Request, Sender
    from xpander_server.embedded import Embedded

T = TypeVar("T")

_log = logging.getLogger("xpander_sdk")


@frozen
class _Wait:
    seconds: float


@frozen
class _Attempt:
    request: "Request"
    deadline: float


_Outcome = "Answer | NoAnswer | BadAnswer | None"


def send(configuration: Configuration, operation: Operation[T]) -> T:
    """Carry out the operation, and return what it answers.

    Raises:
        ModuleException: it was refused, or there was no usable answer.
        ValueError: the configuration cannot reach any backend; nothing was sent.
    """
    from xpander_sdk.transport import BadAnswer, NoAnswer

    route = _route(configuration)
    with span(operation.name, route.url.netloc) as current:
        exchange = _exchange(configuration, route, operation, current)
        sender = _sender(route)
        outcome: Any = None
        try:
            while True:
                step = exchange.send(outcome)
                if isinstance(step, _Wait):
                    time.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = sender.send(step.request, configuration.timeouts, step.deadline)
                    except (NoAnswer, BadAnswer) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            if _state.is_ending:
                _close_all()


async def asend(configuration: Configuration, operation: Operation[T]) -> T:
    """`send`, without blocking the event loop, on asyncio and on trio."""
    import anyio

    from xpander_sdk.transport import BadAnswer, NoAnswer

    route = _route(configuration)
    with span(operation.name, route.url.netloc) as current:
        exchange = _exchange(configuration, route, operation, current)
        sender = await _async_sender(route)
        outcome: Any = None
        try:
            while True:
                step = exchange.send(outcome)
                if isinstance(step, _Wait):
                    await anyio.sleep(step.seconds)
                    outcome = None
                else:
                    try:
                        outcome = await sender.send(step.request, configuration.timeouts, step.deadline)
                    except (NoAnswer, BadAnswer) as error:
                        outcome = error
        except StopIteration as done:
            result: T = done.value
            return result


def probe(configuration: Configuration, operation: Operation[Any]) -> "Answer":
    """The bare answer to one attempt, whatever it says. Errors as for `send`, where there is none."""
    from xpander_sdk.transport import BadAnswer, NoAnswer

    route = _route(configuration)
    request, about = _request(configuration, route, operation)
    try:
        deadline = time.monotonic() + configuration.timeouts.total
        return _sender(route).send(request, configuration.timeouts, deadline)
    except (NoAnswer, BadAnswer) as error:
        raise _error(error, configuration, about, None) from error


def _exchange(
    configuration: Configuration, route: "_Route", operation: Operation[T], current: Any
) -> Generator[_Attempt | _Wait, Any, T]:
    from xpander_sdk.transport import Answer, NoAnswer

    request, about = _request(configuration, route, operation)
    deadline = time.monotonic() + configuration.timeouts.total
    route.budget.call()
    attempts = 0
    while True:
        attempts += 1
        outcome = yield _Attempt(request, deadline)
        told = outcome.status if isinstance(outcome, Answer) else outcome
        _log.debug("%s %s [%s] attempt %d: %s", operation.method, operation.url, about.request_id, attempts, told)
        if current is not None:
            current.set_attribute("xpander.attempts", attempts)
        about = evolve(about, attempts=attempts)
        asked = None
        if isinstance(outcome, Answer):
            if current is not None:
                current.set_attribute("http.response.status_code", outcome.status)
            if 200 <= outcome.status < 300:
                route.health.is_well()
                return _parsed(operation, outcome, about)
            asked = retry_after(outcome.headers)
        may_pass = (
            outcome.status in RETRIED_STATUSES
            if isinstance(outcome, Answer)
            else isinstance(outcome, NoAnswer) and not outcome.is_final
        )
        if may_pass:
            route.health.is_ill(str(told))
            delay = configuration.retry.delay(attempts, asked, deadline - time.monotonic())
            if delay is not None and route.budget.spend():
                yield _Wait(delay)
                continue
        raise _error(outcome, configuration, about, asked)


def _request(
    configuration: Configuration, route: "_Route", operation: Operation[Any]
) -> tuple["Request", errors.About]:
    from xpander_sdk.transport import Request

    request_id = uuid.uuid4().hex
    headers = [*route.headers, (b"x-request-id", request_id.encode("ascii")), *_identity(configuration)]
    headers += [(name.encode("ascii"), value.encode("ascii")) for name, value in operation.headers.items()]
    if operation.content is not None:
        headers.append((b"content-length", str(len(operation.content)).encode("ascii")))
    request = Request(operation.method, _path(route, operation), headers, operation.content or b"")
    return request, errors.About(report_id=operation.report_id, request_id=request_id)


def _path(route: "_Route", operation: Operation[Any]) -> bytes:
    query = f"?{urlencode(operation.params)}" if operation.params else ""
    return f"{route.prefix}{operation.url}{query}".encode("ascii")


def _identity(configuration: Configuration) -> list[tuple[bytes, bytes]]:
    key = configuration.current_key()
    if key is not None:
        return [(b"x-api-key", key.encode("ascii"))]
    if configuration.is_embedded:
        return []
    raise ValueError(f"{configuration.target} needs a key: set XPANDER_API_KEY, or pass Configuration(api_key=…)")


def _error(
    outcome: Any, configuration: Configuration, about: errors.About, asked: float | None
) -> errors.ModuleException:
    from xpander_sdk.transport import Answer, BadAnswer

    if isinstance(outcome, Answer):
        # A backend that repeats the key in its error text must not have it shown by us.
        key = configuration.current_key()
        body = outcome.body if key is None else outcome.body.replace(key.encode("ascii"), b"***")
        return errors.from_answer(outcome.status, outcome.headers, body, about, asked)
    if isinstance(outcome, BadAnswer):
        told = f"{configuration.target} gave an answer that cannot be read: {outcome}"
        return errors.ContractError(outcome.status, told, about)
    kind = errors.TimedOutError if outcome.is_late else errors.ConnectionFailedError
    return kind(None, f"{configuration.target} gave no answer: {outcome}", about)


def _parsed(operation: Operation[T], answer: "Answer", about: errors.About) -> T:
    try:
        return operation.parse(json.loads(answer.body), answer.headers)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
        raise errors.ContractError(
            answer.status,
            f"the answer is not what the contract says ({type(error).__name__}: {str(error)[:300]}). "
            "Is base_url the URL of a backend?",
            about,
        ) from error


@define
class _Health:
    """Says once when a target goes away, and once when it is back."""

    target: str
    _is_ill: bool = False

    def is_ill(self, told: str) -> None:
        if not self._is_ill:
            self._is_ill = True
            _log.warning(
                "%s does not answer as it should: %s. This is said once, until it does again", self.target, told
            )

    def is_well(self) -> None:
        if self._is_ill:
            self._is_ill = False
            _log.warning("%s answers again", self.target)


# One route a target, and one sender a route: for each process (sync), for each event loop (async). They hold no key.


@frozen(eq=False)
class _Route:
    """A target, as all who report there share it."""

    url: SplitResult
    prefix: str
    transport: Transport
    store: tuple[str, str | None] | None
    headers: list[tuple[bytes, bytes]]
    budget: RetryBudget
    health: _Health


@frozen
class _Kept:
    sender: "AsyncSender"
    keeper: AsyncGenerator[None, None]


class _State:
    """All that is kept, of this process."""

    def __init__(self) -> None:
        self.is_ending = False  # the program ends: what a last report opens, it closes
        # The lock of the imports, too: two locks could be taken in either order. One that the same thread may take
        # twice, since a signal handler may report as well.
        self.lock = loading.lock
        self.routes: dict[tuple[Any, ...], _Route] = {}
        self.senders: dict[_Route, Sender] = {}
        self.async_senders: weakref.WeakKeyDictionary[Any, dict[_Route, _Kept]] = weakref.WeakKeyDictionary()
        self.stores: dict[tuple[str, str | None], Embedded] = {}


_state = _State()
_of_parents: list[_State] = []


def _route(configuration: Configuration) -> _Route:
    store = _store_of(configuration)
    base = "http://embedded" if store else configuration.get_full_url()
    key = (store or base, configuration.transport, configuration.retry.budget)
    route = _state.routes.get(key)
    if route is None:
        url = urlsplit(base)
        agent = f"xpander-report/{__version__} python/{sys.version.split()[0]}"
        fixed = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": agent}
        headers = {**fixed, **{name.lower(): value for name, value in configuration.transport.headers}}
        route = _Route(
            url=url,
            prefix=quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
            transport=configuration.transport,
            store=store,
            headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()],
            budget=RetryBudget(configuration.retry.budget),
            health=_Health(configuration.target),
        )
        with _state.lock:
            route = _state.routes.setdefault(key, route)
    return route


def _store_of(configuration: Configuration) -> tuple[str, str | None] | None:
    if not configuration.is_embedded:
        return None
    return configuration.base_url, configuration.organization_id


def _sender(route: _Route) -> "Sender":
    sender = _state.senders.get(route)
    if sender is None:
        from xpander_sdk import transport

        store = _embedded(route)
        with _state.lock:
            sender = _state.senders.get(route)
            if sender is None:
                if store is not None:
                    sender = transport.InProcess(store)
                elif route.transport.http is not None:
                    sender = transport.OwnTransport(route.transport.http, route.url)
                elif route.transport.async_http is not None:
                    raise ValueError("the transport has async_http= and no http=, which the synchronous forms need")
                else:
                    sender = transport.Http(route.transport, route.url)
                _state.senders[route] = sender
    return sender


async def _async_sender(route: _Route) -> "AsyncSender":
    senders = _senders_of_loop()
    kept = senders.get(route)
    if kept is None:
        import anyio.to_thread

        from xpander_sdk import transport

        # Opening a store may wait for a lock of its file, and brings its schema up to date.
        store = await anyio.to_thread.run_sync(_embedded, route) if route.store else None
        if (kept := senders.get(route)) is not None:
            return kept.sender
        sender: AsyncSender
        if store is not None:
            sender = transport.AsyncInProcess(store)
        elif route.transport.async_http is not None:
            sender = transport.AsyncOwnTransport(route.transport.async_http, route.url)
        elif route.transport.http is not None:
            raise ValueError("the transport has http= and no async_http=, which the asynchronous forms need")
        else:
            sender = transport.AsyncHttp(route.transport, route.url)
        kept = senders[route] = _Kept(sender, _keep(senders, route, sender))
        await kept.keeper.__anext__()
    return kept.sender


def _senders_of_loop() -> "dict[_Route, _Kept]":
    loop = _event_loop()
    senders = _state.async_senders.get(loop)
    if senders is None:
        import asyncio

        with _state.lock:
            # A loop that was closed without being wound up finished no generator; what was kept for it holds it, so
            # that it would never go by itself. (trio always winds up.)
            for other in list(_state.async_senders):
                if isinstance(other, asyncio.AbstractEventLoop) and other.is_closed():
                    del _state.async_senders[other]
            senders = _state.async_senders.setdefault(loop, {})
    return senders


def _event_loop() -> Any:
    """What stands for the event loop that this runs in: the same object for as long as it lives."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    import asyncio

    return asyncio.get_running_loop()


async def _keep(senders: dict[_Route, _Kept], route: _Route, sender: "AsyncSender") -> AsyncGenerator[None, None]:
    # An event loop that ends (asyncio.run, trio.run) first finishes the asynchronous generators that were begun in it:
    # the one moment at which its connections can still be closed properly.
    try:
        yield
    finally:
        if (kept := senders.get(route)) is not None and kept.sender is sender:
            del senders[route]
        await sender.close()


def _embedded(route: _Route) -> "Embedded | None":
    if route.store is None:
        return None
    with _state.lock:
        if route.store not in _state.stores:
            try:
                from xpander_server.embedded import Embedded, StoreError
            except ModuleNotFoundError as missing:
                raise ModuleNotFoundError(
                    f"{route.health.target} is an embedded target, which needs {missing.name}: "
                    "pip install 'xpander-report[server]'",
                    name=missing.name,
                ) from missing
            try:
                _state.stores[route.store] = Embedded(*route.store)
            except StoreError as error:
                raise ValueError(str(error)) from error
        return _state.stores[route.store]


def close(configuration: Configuration) -> None:
    """Close what is kept for the synchronous forms; the next call makes it anew."""
    route = _route(configuration)
    with _state.lock:
        sender = _state.senders.pop(route, None)
        store = _state.stores.pop(route.store, None) if route.store else None
    if sender is not None:
        sender.close()
    if store is not None:
        store.close()


async def aclose(configuration: Configuration) -> None:
    """Close what is kept for this event loop; the next call makes it anew."""
    kept = _state.async_senders.get(_event_loop(), {}).pop(_route(configuration), None)
    if kept is not None:
        await kept.keeper.aclose()


def _close_all() -> None:
    global _state
    ended, _state = _state, _State()
    _state.is_ending = True
    for sender in list(ended.senders.values()):
        sender.close()
    for store in list(ended.stores.values()):
        store.close()


def _before_fork() -> None:
    # A database that is open in the parent is of no use to a child, and SQLite's own book of the locks that a process
    # holds is copied as it is at this moment. So nothing is open while the process forks; and no thread is in the
    # middle of an import of ours, or of opening a store.
    loading.lock.acquire()
    for store in list(_state.stores.values()):
        store.pause()


def _after_fork_in_parent() -> None:
    for store in list(_state.stores.values()):
        store.resume()
    loading.lock.release()


def _after_fork_in_child() -> None:
    # The child makes its own. Of the parent's sockets it closes its copies, which says nothing on them; what is busy,
    # or belongs to an event loop, is left as it is.
    global _state
    _of_parents.append(_state)
    for sender in list(_state.senders.values()):
        sender.close()
    _state = _State()
    loading.lock.release()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
