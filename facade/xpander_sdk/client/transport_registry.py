"""Cache of transports: one per destination, for each process (synchronous) and for each event loop (asynchronous)."""

import atexit
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from xpander_sdk import _fork
from xpander_sdk._records import define, field, frozen
from xpander_sdk.client.destination import Destination, build_destination, destination_key
from xpander_sdk.client.log_recursion import sdk_work
from xpander_sdk.client.transport_factory import create_async_transport, create_transport
from xpander_sdk.settings.configuration import Configuration

if TYPE_CHECKING:
    from xpander_sdk.transport.base import AsyncTransport, Transport
    from xpander_server.embedded import Embedded


@frozen
class _LoopTransport:
    """Transport of an event loop, and the generator that closes it when the loop ends."""

    transport: "AsyncTransport"
    closer: AsyncGenerator[None, None]


@define(eq=False)
class _Caches:
    """All that a process has opened."""

    destinations: dict[tuple[Any, ...], Destination] = field(factory=dict)
    transports: "dict[Destination, Transport]" = field(factory=dict)
    loop_transports: "weakref.WeakKeyDictionary[Any, dict[Destination, _LoopTransport]]" = field(
        factory=weakref.WeakKeyDictionary
    )
    stores: "dict[tuple[str, str | None], Embedded]" = field(factory=dict)


class TransportRegistry:
    """Cache of destinations, transports and embedded stores.

    Life cycle:

    - A transport is created for the first call to its destination, and shared by all further calls.
    - A synchronous transport is closed by `close`, or at interpreter exit.
    - An asynchronous transport belongs to one event loop. It is closed by `aclose`, or when the loop ends.
    - A forked child starts with empty caches.

    Reads take no lock: dictionaries are safe to read while another thread adds an entry.
    """

    def __init__(self) -> None:
        self._caches = _Caches()
        # Caches of parent processes. They are kept so that no finalizer of the parent's objects runs in the child.
        self._inherited: list[_Caches] = []
        self._is_exiting = False
        # The import lock guards the caches too: with two locks, two threads could take them in different orders. It is
        # reentrant, because a signal handler may send a report while its own thread holds the lock.
        self._lock = _fork.import_lock

    def destination(self, configuration: Configuration) -> Destination:
        """Return the shared destination of a configuration.

        Raises:
            ValueError: A self-hosted controller needs `organization_id`.
        """
        key = destination_key(configuration)
        destination = self._caches.destinations.get(key)
        if destination is None:
            destination = build_destination(configuration)
            with self._lock:
                destination = self._caches.destinations.setdefault(key, destination)
        return destination

    def transport(self, destination: Destination) -> "Transport":
        """Return the synchronous transport of a destination; create it if necessary.

        Raises:
            ValueError: The transport cannot be created from its settings, or the embedded store cannot be opened.
            ModuleNotFoundError: The embedded store needs the server extra.
        """
        transport = self._caches.transports.get(destination)
        if transport is None:
            store = self._store(destination)
            with self._lock:
                transport = self._caches.transports.get(destination)
                if transport is None:
                    transport = self._caches.transports[destination] = create_transport(destination, store)
        return transport

    async def async_transport(self, destination: Destination) -> "AsyncTransport":
        """Return the transport of a destination for the running event loop; create it if necessary.

        Raises:
            ValueError: The transport cannot be created from its settings, or the embedded store cannot be opened.
            ModuleNotFoundError: The embedded store needs the server extra.
        """
        entries = self._entries_of_loop()
        entry = entries.get(destination)
        if entry is None:
            import anyio.to_thread

            # In a thread: opening a store may wait for a lock of its file, and may migrate its schema.
            store = await anyio.to_thread.run_sync(self._store, destination, True) if destination.store else None
            if (entry := entries.get(destination)) is not None:
                return entry.transport
            transport = create_async_transport(destination, store)
            entry = _LoopTransport(transport, _close_with_loop(entries, destination, transport))
            entries[destination] = entry
            await entry.closer.__anext__()  # registers the generator with the event loop
        return entry.transport

    def close(self, configuration: Configuration) -> None:
        """Close the synchronous transport and the embedded store of a configuration. The next call creates new ones."""
        destination = self._caches.destinations.get(destination_key(configuration))
        if destination is None:
            return
        with self._lock:
            transport = self._caches.transports.pop(destination, None)
            store = self._caches.stores.pop(destination.store, None) if destination.store else None
        with sdk_work():
            if transport is not None:
                transport.close()
            if store is not None:
                store.close()

    async def aclose(self, configuration: Configuration) -> None:
        """Close the transport of a configuration in the running event loop. The next call creates a new one."""
        destination = self._caches.destinations.get(destination_key(configuration))
        entries = self._caches.loop_transports.get(_running_loop(), {})
        entry = None if destination is None else entries.pop(destination, None)
        if entry is not None:
            await entry.closer.aclose()

    def close_all(self) -> None:
        """Close all synchronous transports and embedded stores, at interpreter exit."""
        caches, self._caches = self._caches, _Caches()
        self._is_exiting = True
        with sdk_work():
            for transport in list(caches.transports.values()):
                transport.close()
            for store in list(caches.stores.values()):
                store.close()

    def close_if_exiting(self) -> None:
        """Close the transports that were created after `close_all`: another exit handler may send a report."""
        if self._is_exiting:
            self.close_all()

    def _entries_of_loop(self) -> "dict[Destination, _LoopTransport]":
        loop = _running_loop()
        entries = self._caches.loop_transports.get(loop)
        if entries is None:
            import asyncio

            with self._lock:
                # A loop that is closed without `shutdown_asyncgens` never runs its closers. Its transports reference
                # it, so the weak dictionary would keep it. (trio always finalizes its generators.)
                for other in list(self._caches.loop_transports):
                    if isinstance(other, asyncio.AbstractEventLoop) and other.is_closed():
                        del self._caches.loop_transports[other]
                entries = self._caches.loop_transports.setdefault(loop, {})
        return entries

    def _store(self, destination: Destination, is_async: bool = False) -> "Embedded | None":
        if destination.store is None:
            return None
        with self._lock:
            if destination.store not in self._caches.stores:
                try:
                    from xpander_server.embedded import Embedded, StoreError
                except ModuleNotFoundError as missing:
                    raise ModuleNotFoundError(
                        f"{destination.health.target} is an embedded backend, which needs the module {missing.name}; "
                        "run pip install 'xpander-report[server]'",
                        name=missing.name,
                    ) from missing
                try:
                    self._caches.stores[destination.store] = Embedded(*destination.store)
                except StoreError as error:
                    raise ValueError(str(error)) from error
            store = self._caches.stores[destination.store]
            store.prepare(is_async=is_async)
            return store

    def before_fork(self) -> None:
        """Close the databases of the embedded stores until the fork is over.

        A connection that is open in the parent is of no use to a child, and SQLite's list of the file locks that a
        process holds would be copied into the child. The import lock, which `_fork` holds during a fork, ensures that
        no other thread is opening a store.
        """
        for store in list(self._caches.stores.values()):
            store.pause()

    def after_fork_in_parent(self) -> None:
        """Open the databases again."""
        for store in list(self._caches.stores.values()):
            store.resume()

    def after_fork_in_child(self) -> None:
        """Start with empty caches.

        The child closes its copies of the parent's idle sockets, which sends nothing to the peer. Connections that are
        in use, or that belong to an event loop, are not closed.
        """
        self._inherited.append(self._caches)
        with sdk_work():
            for transport in list(self._caches.transports.values()):
                transport.close()
        self._caches = _Caches()
        self._is_exiting = False


def _running_loop() -> Any:
    """Return an object that identifies the running event loop of asyncio or trio."""
    import sniffio

    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token()
    import asyncio

    return asyncio.get_running_loop()


async def _close_with_loop(
    entries: "dict[Destination, _LoopTransport]", destination: Destination, transport: "AsyncTransport"
) -> AsyncGenerator[None, None]:
    """Close the transport when the event loop ends.

    `asyncio.run` and `trio.run` finalize the asynchronous generators that were started in them before they close the
    loop. No later moment allows a connection to be closed properly.
    """
    try:
        yield
    finally:
        if (entry := entries.get(destination)) is not None and entry.transport is transport:
            del entries[destination]
        with sdk_work():  # httpcore logs the end of each connection
            await transport.close()


transports = TransportRegistry()

atexit.register(transports.close_all)
_fork.register_at_fork(transports.before_fork, transports.after_fork_in_parent, transports.after_fork_in_child)
