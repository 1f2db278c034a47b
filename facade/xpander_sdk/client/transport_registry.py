"""Cache of transports: one per destination, for each process (sync) and for each event loop (async)."""

import atexit
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from xpander_sdk import _fork
from xpander_sdk.client.destination import Destination, build_destination, destination_key
from xpander_sdk.settings.configuration import Configuration

if TYPE_CHECKING:
    from xpander_sdk.transport.base import AsyncTransport, Transport
    from xpander_server.embedded import Embedded


@frozen
class _Kept:
    transport: "AsyncTransport"
    keeper: AsyncGenerator[None, None]


class _State:
    """All that is kept, of this process."""

    def __init__(self) -> None:
        self.is_ending = False  # the program ends: what a last report opens, it closes
        # The lock of the imports, too: two locks could be taken in either order. One that the same thread may take
        # twice, since a signal handler may report as well.
        self.lock = _fork.import_lock
        self.destinations: dict[tuple[Any, ...], Destination] = {}
        self.transports: dict[Destination, Transport] = {}
        self.async_transports: weakref.WeakKeyDictionary[Any, dict[Destination, _Kept]] = weakref.WeakKeyDictionary()
        self.stores: dict[tuple[str, str | None], Embedded] = {}


_state = _State()
_of_parents: list[_State] = []


def destination_for(configuration: Configuration) -> Destination:
    key = destination_key(configuration)
    destination = _state.destinations.get(key)
    if destination is None:
        destination = build_destination(configuration)
        with _state.lock:
            destination = _state.destinations.setdefault(key, destination)
    return destination


def transport_for(destination: Destination) -> "Transport":
    transport = _state.transports.get(destination)
    if transport is None:
        store = _embedded(destination)
        with _state.lock:
            transport = _state.transports.get(destination)
            if transport is None:
                transport = _state.transports[destination] = _sender(destination, store)
    return transport


async def async_transport_for(destination: Destination) -> "AsyncTransport":
    transports = _transports_of_loop()
    kept = transports.get(destination)
    if kept is None:
        import anyio.to_thread

        # Opening a store may wait for a lock of its file, and brings its schema up to date.
        store = await anyio.to_thread.run_sync(_embedded, destination) if destination.store else None
        if (kept := transports.get(destination)) is not None:
            return kept.transport
        transport = _async_sender(destination, store)
        kept = transports[destination] = _Kept(transport, _keep(transports, destination, transport))
        await kept.keeper.__anext__()
    return kept.transport


def _sender(destination: Destination, store: "Embedded | None") -> "Transport":
    with _fork.import_lock:
        if store is not None:
            from xpander_sdk.transport.in_process import InProcessTransport

            return InProcessTransport(store)
        if destination.transport.http is not None:
            from xpander_sdk.transport.httpx_adapter import HttpxTransport

            return HttpxTransport(destination.transport.http, destination.url)
        if destination.transport.async_http is not None:
            raise ValueError("the transport has async_http= and no http=, which the synchronous forms need")
        from xpander_sdk.transport.http import HttpTransport

        return HttpTransport(destination.transport, destination.url)


def _async_sender(destination: Destination, store: "Embedded | None") -> "AsyncTransport":
    with _fork.import_lock:
        if store is not None:
            from xpander_sdk.transport.in_process import AsyncInProcessTransport

            return AsyncInProcessTransport(store)
        if destination.transport.async_http is not None:
            from xpander_sdk.transport.httpx_adapter import AsyncHttpxTransport

            return AsyncHttpxTransport(destination.transport.async_http, destination.url)
        if destination.transport.http is not None:
            raise ValueError("the transport has http= and no async_http=, which the asynchronous forms need")
        from xpander_sdk.transport.http import AsyncHttpTransport

        return AsyncHttpTransport(destination.transport, destination.url)


def _transports_of_loop() -> "dict[Destination, _Kept]":
    loop = _event_loop()
    transports = _state.async_transports.get(loop)
    if transports is None:
        import asyncio

        with _state.lock:
            # A loop that was closed without being wound up finished no generator; what was kept for it holds it, so
            # that it would never go by itself. (trio always winds up.)
            for other in list(_state.async_transports):
                if isinstance(other, asyncio.AbstractEventLoop) and other.is_closed():
                    del _state.async_transports[other]
            transports = _state.async_transports.setdefault(loop, {})
    return transports


def _event_loop() -> Any:
    """What stands for the event loop that this runs in: the same object for as long as it lives."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    import asyncio

    return asyncio.get_running_loop()


async def _keep(
    transports: "dict[Destination, _Kept]", destination: Destination, transport: "AsyncTransport"
) -> AsyncGenerator[None, None]:
    # An event loop that ends (asyncio.run, trio.run) first finishes the asynchronous generators that were begun in it:
    # the one moment at which its connections can still be closed properly.
    try:
        yield
    finally:
        if (kept := transports.get(destination)) is not None and kept.transport is transport:
            del transports[destination]
        await transport.close()


def _embedded(destination: Destination) -> "Embedded | None":
    if destination.store is None:
        return None
    with _state.lock:
        if destination.store not in _state.stores:
            try:
                from xpander_server.embedded import Embedded, StoreError
            except ModuleNotFoundError as missing:
                raise ModuleNotFoundError(
                    f"{destination.health.target} is an embedded target, which needs {missing.name}: "
                    "pip install 'xpander-report[server]'",
                    name=missing.name,
                ) from missing
            try:
                _state.stores[destination.store] = Embedded(*destination.store)
            except StoreError as error:
                raise ValueError(str(error)) from error
        return _state.stores[destination.store]


def close(configuration: Configuration) -> None:
    """Close what is kept for the synchronous forms; the next call makes it anew."""
    destination = destination_for(configuration)
    with _state.lock:
        transport = _state.transports.pop(destination, None)
        store = _state.stores.pop(destination.store, None) if destination.store else None
    if transport is not None:
        transport.close()
    if store is not None:
        store.close()


async def aclose(configuration: Configuration) -> None:
    """Close what is kept for this event loop; the next call makes it anew."""
    kept = _state.async_transports.get(_event_loop(), {}).pop(destination_for(configuration), None)
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
    for transport in list(ended.transports.values()):
        transport.close()
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
    for transport in list(_state.transports.values()):
        transport.close()
    _state = _State()


atexit.register(_close_all)
_fork.register_at_fork(_before_fork, _after_fork_in_parent, _after_fork_in_child)
