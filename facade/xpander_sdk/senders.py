"""What is kept: one route a target, and one sender a route, for each process (sync) and for each event loop (async)."""

import atexit
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from xpander_sdk import loading
from xpander_sdk.configuration import Configuration

if TYPE_CHECKING:
    from xpander_sdk import route as routes
    from xpander_sdk.route import Route
    from xpander_sdk.transport.message import AsyncSender, Sender
    from xpander_server.embedded import Embedded
else:
    routes = loading.Deferred("route")


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
        self.routes: dict[tuple[Any, ...], Route] = {}
        self.senders: dict[Route, Sender] = {}
        self.async_senders: weakref.WeakKeyDictionary[Any, dict[Route, _Kept]] = weakref.WeakKeyDictionary()
        self.stores: dict[tuple[str, str | None], Embedded] = {}


_state = _State()
_of_parents: list[_State] = []


def route_of(configuration: Configuration) -> "Route":
    key = routes.key_of(configuration)
    route = _state.routes.get(key)
    if route is None:
        route = routes.route_to(configuration)
        with _state.lock:
            route = _state.routes.setdefault(key, route)
    return route


def sender_of(route: "Route") -> "Sender":
    sender = _state.senders.get(route)
    if sender is None:
        store = _embedded(route)
        with _state.lock:
            sender = _state.senders.get(route)
            if sender is None:
                sender = _state.senders[route] = _sender(route, store)
    return sender


async def async_sender_of(route: "Route") -> "AsyncSender":
    senders = _senders_of_loop()
    kept = senders.get(route)
    if kept is None:
        import anyio.to_thread

        # Opening a store may wait for a lock of its file, and brings its schema up to date.
        store = await anyio.to_thread.run_sync(_embedded, route) if route.store else None
        if (kept := senders.get(route)) is not None:
            return kept.sender
        sender = _async_sender(route, store)
        kept = senders[route] = _Kept(sender, _keep(senders, route, sender))
        await kept.keeper.__anext__()
    return kept.sender


def _sender(route: "Route", store: "Embedded | None") -> "Sender":
    with loading.lock:
        if store is not None:
            from xpander_sdk.transport.in_process import InProcess

            return InProcess(store)
        if route.transport.http is not None:
            from xpander_sdk.transport.own import OwnTransport

            return OwnTransport(route.transport.http, route.url)
        if route.transport.async_http is not None:
            raise ValueError("the transport has async_http= and no http=, which the synchronous forms need")
        from xpander_sdk.transport.lanes import Http

        return Http(route.transport, route.url)


def _async_sender(route: "Route", store: "Embedded | None") -> "AsyncSender":
    with loading.lock:
        if store is not None:
            from xpander_sdk.transport.in_process import AsyncInProcess

            return AsyncInProcess(store)
        if route.transport.async_http is not None:
            from xpander_sdk.transport.own import AsyncOwnTransport

            return AsyncOwnTransport(route.transport.async_http, route.url)
        if route.transport.http is not None:
            raise ValueError("the transport has http= and no async_http=, which the asynchronous forms need")
        from xpander_sdk.transport.lanes import AsyncHttp

        return AsyncHttp(route.transport, route.url)


def _senders_of_loop() -> "dict[Route, _Kept]":
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


async def _keep(senders: "dict[Route, _Kept]", route: "Route", sender: "AsyncSender") -> AsyncGenerator[None, None]:
    # An event loop that ends (asyncio.run, trio.run) first finishes the asynchronous generators that were begun in it:
    # the one moment at which its connections can still be closed properly.
    try:
        yield
    finally:
        if (kept := senders.get(route)) is not None and kept.sender is sender:
            del senders[route]
        await sender.close()


def _embedded(route: "Route") -> "Embedded | None":
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
    route = route_of(configuration)
    with _state.lock:
        sender = _state.senders.pop(route, None)
        store = _state.stores.pop(route.store, None) if route.store else None
    if sender is not None:
        sender.close()
    if store is not None:
        store.close()


async def aclose(configuration: Configuration) -> None:
    """Close what is kept for this event loop; the next call makes it anew."""
    kept = _state.async_senders.get(_event_loop(), {}).pop(route_of(configuration), None)
    if kept is not None:
        await kept.keeper.aclose()


def close_if_ending() -> None:
    """Close what a report opened that came after the end of the program."""
    if _state.is_ending:
        _close_all()


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
    for store in list(_state.stores.values()):
        store.pause()


def _after_fork_in_parent() -> None:
    for store in list(_state.stores.values()):
        store.resume()


def _after_fork_in_child() -> None:
    # The child makes its own. Of the parent's sockets it closes its copies, which says nothing on them; what is busy,
    # or belongs to an event loop, is left as it is.
    global _state
    _of_parents.append(_state)
    for sender in list(_state.senders.values()):
        sender.close()
    _state = _State()


atexit.register(_close_all)
loading.at_fork(_before_fork, _after_fork_in_parent, _after_fork_in_child)
