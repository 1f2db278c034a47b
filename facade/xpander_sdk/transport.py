"""How a request travels: over HTTP, in-process, or through a transport of the caller's. The only module that touches
httpx and httpcore.

HTTP goes through httpcore, the engine below httpx, in lanes: pools of one connection each, taken and given back like
plates from a pile. One pool of many connections looks at all of them for every request, which with 32 in flight costs
more than the requests; a pile looks at none. And a lane has a deadline of its own, which the synchronous form needs:
a server that sends a byte now and then never meets a time-out that counts from the last byte.
"""

import asyncio
import importlib.util
import os
import select
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore
from attrs import define, frozen

from xpander_sdk import loading
from xpander_sdk.configuration import Transport
from xpander_sdk.retry import Timeouts

if TYPE_CHECKING:
    import httpx

    from xpander_server.embedded import Embedded

MAX_ANSWER = 128 * 1024 * 1024  # bytes; more is no answer of this contract
MAX_LANES = 100
_PART = 65_536  # bytes
KEEP_ALIVE = 60.0  # seconds; what a server closes earlier is noticed before it is used

Header = tuple[bytes, bytes]


@frozen
class Request:
    """What to send; `target` is the path with its query, percent-encoded."""

    method: str
    target: bytes
    headers: list[Header]
    content: bytes


@frozen
class Answer:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """There was none.

    Attributes:
        is_late: it was for want of time.
        is_final: it would be no better another time.
    """

    def __init__(self, description: str, *, is_late: bool = False, is_final: bool = False) -> None:
        super().__init__(description)
        self.is_late = is_late
        self.is_final = is_final


class BadAnswer(Exception):
    """There was one that cannot be read. `status` is its status, where that could be."""

    def __init__(self, description: str, status: int | None = None) -> None:
        super().__init__(description)
        self.status = status


class Sender(Protocol):
    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        """Send, and read the answer to its end, until `deadline` (monotonic). Raises NoAnswer, BadAnswer."""
        ...

    def close(self) -> None: ...


class AsyncSender(Protocol):
    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer: ...

    async def close(self) -> None: ...


# HTTP, in lanes.


@define
class _Clock:
    """Until when the request that a lane carries may take (monotonic)."""

    deadline: float = 0.0

    def left(self, seconds: float | None) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the total time is up")
        return left if seconds is None else min(seconds, left)


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends by the deadline of its lane.

    What is written waits for the first reading, so that the head and the body of a request leave together: one packet,
    one call of the system, and the server is woken once.
    """

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        unsent, self._unsent = self._unsent, b""
        with suppress(httpcore.WriteError):  # a server may refuse a request, and say why, before it has all of it
            # In parts: the stream gives its time-out to each piece that the receiver takes, however many there are.
            for start in range(0, len(unsent), _PART):
                self._stream.write(unsent[start : start + _PART], self._clock.left(timeout))
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout)), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # One time for all addresses of the host together, of which each gets its share; the backend would give it to
        # each of them anew.
        until = time.monotonic() + self._clock.left(timeout)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for still, (*_, address) in zip(range(len(found), 0, -1), found, strict=True):
            share = max(0.001, (until - time.monotonic()) / still)
            try:
                stream = super().connect_tcp(str(address[0]), port, share, local_address, socket_options)
                return _Stream(stream, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


@frozen
class _Lane:
    pool: httpcore.ConnectionPool
    clock: _Clock


class Http:
    """HTTP, synchronously. Safe to share between threads."""

    def __init__(self, settings: Transport, url: SplitResult) -> None:
        self._origin = _Origin(url)
        self._options = _pool_options(settings, url)
        self._idle: list[_Lane] = []
        self._is_closed = False

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        # As many lanes as threads report at once; no lock is taken that a signal could leave half taken.
        lane = self._lane()
        lane.clock.deadline = deadline
        try:
            response = lane.pool.handle_request(self._origin.wire(request, timeouts))
            try:
                body = bytearray()
                for chunk in response.iter_stream():
                    body += _bounded(body, chunk)
            finally:
                response.close()
        except _HTTPCORE_ERRORS as error:
            self._give_back(lane)
            raise _no_answer(error) from error
        except BaseException:
            # Interrupted between two steps, its pool may wait for ever for what was never finished.
            lane.pool.close()
            raise
        self._give_back(lane)
        return _answer(response.status, response.headers, bytes(body))

    def _lane(self) -> _Lane:
        try:
            return self._idle.pop()
        except IndexError:
            clock = _Clock()
            return _Lane(httpcore.ConnectionPool(network_backend=_Network(clock), **self._options), clock)

    def _give_back(self, lane: _Lane) -> None:
        if self._is_closed:
            lane.pool.close()
        else:
            self._idle.append(lane)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().pool.close()


class _AsyncioStream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection on asyncio alone: anyio's cancel scopes for every step cost a report more than the step does.

    Writing waits for the first reading, as in `_Stream`.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_over = False
        self._failure: Exception | None = None
        self._unsent = b""
        self._is_full = False
        self._waiting: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._wake()

    def eof_received(self) -> None:
        self._is_over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over, self._failure = True, exc
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(seconds):
            await self._waiting

    # What httpcore calls.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            unsent, self._unsent = self._unsent, b""
            for start in range(0, len(unsent), _PART):
                self._open_transport.write(unsent[start : start + _PART])
                while self._is_full and not self._is_over:
                    await self._wait(timeout)
            while not self._received and not self._is_over:
                await self._wait(timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout("no answer in time") from error
        if not self._received and self._failure is not None:
            raise httpcore.ReadError(str(self._failure)) from self._failure
        received = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer

    async def aclose(self) -> None:
        # At once: waiting for a peer that may be gone is nothing that the host program should do.
        self._open_transport.abort()
        # The event loop closes the socket at its next turn; with TLS, at the one after that.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        # What was written to a proxy was answered; the rest goes through the encrypted transport.
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                upgraded = await loop.start_tls(
                    self._open_transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._open_transport.abort()
            raise httpcore.ConnectTimeout("no TLS in time") from error
        except OSError as error:
            self._open_transport.abort()
            raise httpcore.ConnectError(str(error)) from error
        if upgraded is None:
            raise httpcore.ConnectError("the connection ended while TLS was agreed upon")
        self._transport = upgraded
        return self

    def get_extra_info(self, info: str) -> Any:
        if (
            info == "is_readable"
        ):  # asked of an idle connection: whether the server has closed it, or says what it must not
            return bool(self._received) or self._is_over or _has_input(self._open_transport.get_extra_info("socket"))
        return self._open_transport.get_extra_info(info)

    @property
    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def _has_input(connection: Any) -> bool:
    """Whether there is something that the event loop, which may have stood still for a while, has not seen yet."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _AsyncioNetwork(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + (timeout or 3600.0)
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no address in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for still, (*_, address) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                async with asyncio.timeout(max(0.001, (until - time.monotonic()) / still)):
                    return (await loop.create_connection(_AsyncioStream, str(address[0]), port))[1]
            except TimeoutError:
                failure = httpcore.ConnectTimeout("no connection in time")
            except OSError as error:
                failure = httpcore.ConnectError(str(error))
        raise failure


class AsyncHttp:
    """HTTP within one event loop, of asyncio or of trio."""

    def __init__(self, settings: Transport, url: SplitResult) -> None:
        import anyio
        import sniffio

        self._origin = _Origin(url)
        self._options = _pool_options(settings, url)
        if sniffio.current_async_library() == "asyncio":
            self._options["network_backend"] = _AsyncioNetwork()
        self._idle: list[httpcore.AsyncConnectionPool] = []
        self._free = anyio.Semaphore(MAX_LANES, fast_acquire=True)
        self._is_closed = False

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        import anyio

        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                async with self._free:
                    return await self._send(request, timeouts)
        except TimeoutError as error:
            raise NoAnswer("the total time is up", is_late=True) from error

    async def _give_back(self, lane: httpcore.AsyncConnectionPool) -> None:
        if self._is_closed:
            await lane.aclose()
        else:
            self._idle.append(lane)

    async def _send(self, request: Request, timeouts: Timeouts) -> Answer:
        import anyio

        lane = self._idle.pop() if self._idle else httpcore.AsyncConnectionPool(**self._options)
        try:
            response = await lane.handle_async_request(self._origin.wire(request, timeouts))
            try:
                body = bytearray()
                async for chunk in response.aiter_stream():
                    body += _bounded(body, chunk)
            finally:
                await response.aclose()
        except _HTTPCORE_ERRORS as error:
            await self._give_back(lane)
            raise _no_answer(error) from error
        except BaseException:
            # Cancelled between two steps, its pool may wait for ever for what was never finished.
            with anyio.CancelScope(shield=True):
                await lane.aclose()
            raise
        await self._give_back(lane)
        return _answer(response.status, response.headers, bytes(body))

    async def close(self) -> None:
        self._is_closed = True
        while self._idle:
            await self._idle.pop().aclose()


_HTTPCORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,  # encryption that breaks after the handshake, which httpcore's anyio streams let through
)


class _Origin:
    """The place that all requests of a sender go to."""

    def __init__(self, url: SplitResult) -> None:
        self._scheme = url.scheme.lower().encode("ascii")
        self._host = _ascii(url.hostname or "")
        self._port = url.port or (443 if self._scheme == b"https" else 80)
        self._header = (b"host", _ascii(url.netloc))

    def wire(self, request: Request, timeouts: Timeouts) -> httpcore.Request:
        return httpcore.Request(
            request.method.encode("ascii"),
            httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=request.target),
            headers=[self._header, *request.headers],
            content=_Content(request.content),
            extensions={"timeout": {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read}},
        )


class _Content:
    """A body, for both forms. httpcore's own is an asynchronous generator, of which a cancelled request leaves half."""

    def __init__(self, content: bytes) -> None:
        self._parts = iter((content,) if content else ())

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def __aiter__(self) -> "_Content":
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise StopAsyncIteration from None


def _ascii(host: str) -> bytes:
    return host.encode("ascii" if host.isascii() else "idna")


def _pool_options(settings: Transport, url: SplitResult) -> dict[str, Any]:
    return {
        "ssl_context": ssl_context_of(settings) if url.scheme.lower() == "https" else None,
        "proxy": _proxy(settings, url),
        "max_connections": 1,
        "keepalive_expiry": KEEP_ALIVE,
    }


def ssl_context_of(settings: Transport) -> ssl.SSLContext:
    if settings.ssl_context is not None:
        return settings.ssl_context
    # Building one takes tens of milliseconds; a sender does it once.
    context = ssl.create_default_context(cafile=settings.ca_bundle or os.environ.get("SSL_CERT_FILE") or _certifi())
    if settings.client_certificate is not None:
        context.load_cert_chain(*settings.client_certificate)
    return context


def _certifi() -> str:
    with loading.lock:
        import certifi

    return certifi.where()


def proxy_of(settings: Transport, url: SplitResult) -> str | None:
    """The URL of the proxy that requests to `url` go through; None for none."""
    address = settings.proxy or _environment_proxy(url)
    return address if address is None or "://" in address else f"http://{address}"


def _proxy(settings: Transport, url: SplitResult) -> httpcore.Proxy | None:
    address = proxy_of(settings, url)
    if address is None:
        return None
    parts = urlsplit(address)
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ValueError("a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'")
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    context = ssl_context_of(settings) if parts.scheme == "https" else None
    return httpcore.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=auth, ssl_context=context)


def _environment_proxy(url: SplitResult) -> str | None:
    with loading.lock:
        from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    # NO_PROXY may name a host with or without its port.
    if proxy_bypass(url.netloc) or proxy_bypass(url.hostname or ""):
        return None
    return proxies.get(url.scheme.lower()) or proxies.get("all")


def _no_answer(error: Exception) -> NoAnswer:
    causes = [cause for cause in (error, error.__cause__, error.__context__) if cause is not None]
    told = next((str(cause) for cause in causes if str(cause)), type(error).__name__)
    is_final = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
    if "WRONG_VERSION_NUMBER" in told:
        told, is_final = f"{told}. It does not speak TLS; is base_url to begin with http://?", True
    return NoAnswer(told, is_late=isinstance(error, httpcore.TimeoutException), is_final=is_final)


def _bounded(body: bytearray, chunk: bytes) -> bytes:
    if len(body) + len(chunk) > MAX_ANSWER:
        raise BadAnswer(f"it has over {MAX_ANSWER} bytes")
    return chunk


def _answer(status: int, headers: Iterable[Header], body: bytes) -> Answer:
    named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    encoding = named.get("content-encoding", "identity").strip().lower()
    try:
        return Answer(status, named, _decoded(body, encoding))
    except BadAnswer as error:
        if 200 <= status < 300:
            raise BadAnswer(str(error), status) from None
        return Answer(status, named, b"")  # the status says enough


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadAnswer(f"it is encoded as {encoding[:40]!r}, which was not asked for")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == "deflate" else 32))
    try:
        decoded = decoder.decompress(body, MAX_ANSWER)
    except zlib.error as error:
        raise BadAnswer(f"its compression is broken: {error}") from None
    if decoder.unconsumed_tail:
        raise BadAnswer(f"it has over {MAX_ANSWER} bytes")
    if not decoder.eof:
        raise BadAnswer("its compression is broken: it ends early")
    return decoded


# In-process.


class InProcess:
    """An embedded store: the whole server, without a socket."""

    def __init__(self, store: "Embedded") -> None:
        self._store = store

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        return _answer(*self._store.call(request.method, request.target, request.headers, request.content))

    def close(self) -> None:
        pass  # whoever opened the store closes it


class AsyncInProcess:
    def __init__(self, store: "Embedded") -> None:
        self._store = store

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        return _answer(*await self._store.acall(request.method, request.target, request.headers, request.content))

    async def close(self) -> None:
        pass  # whoever opened the store closes it


# A transport of the caller's.


class OwnTransport:
    """An httpx transport that the caller makes."""

    def __init__(self, make: Callable[[], Any], url: SplitResult) -> None:
        self._transport = make()
        self._base = f"{url.scheme}://{url.netloc}"

    def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        import httpx

        try:
            response = self._transport.handle_request(_httpx_request(self._base, request, timeouts, deadline))
            try:
                body = bytearray(response.content if response.is_stream_consumed else b"")
                for chunk in () if response.is_stream_consumed else response.iter_raw():
                    body += _bounded(body, chunk)
                    if time.monotonic() > deadline:
                        raise NoAnswer("the total time is up", is_late=True)
                return _of_httpx(response, bytes(body))
            finally:
                response.close()
        except (httpx.RequestError, OSError) as error:
            raise _httpx_no_answer(error) from error

    def close(self) -> None:
        self._transport.close()


class AsyncOwnTransport:
    """An asynchronous httpx transport that the caller makes, one for each event loop."""

    def __init__(self, make: Callable[[], Any], url: SplitResult) -> None:
        self._transport = make()
        self._base = f"{url.scheme}://{url.netloc}"

    async def send(self, request: Request, timeouts: Timeouts, deadline: float) -> Answer:
        import anyio
        import httpx

        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                sent = _httpx_request(self._base, request, timeouts, deadline)
                response = await self._transport.handle_async_request(sent)
                try:
                    body = bytearray(response.content if response.is_stream_consumed else b"")
                    if not response.is_stream_consumed:
                        async for chunk in response.aiter_raw():
                            body += _bounded(body, chunk)
                    return _of_httpx(response, bytes(body))
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise NoAnswer("the total time is up", is_late=True) from error
        except (httpx.RequestError, OSError) as error:
            raise _httpx_no_answer(error) from error

    async def close(self) -> None:
        await self._transport.aclose()


def _httpx_request(base: str, request: Request, timeouts: Timeouts, deadline: float) -> "httpx.Request":
    import httpx

    left = max(0.001, deadline - time.monotonic())
    timeout = httpx.Timeout(min(timeouts.read, left), connect=min(timeouts.connect, left))
    return httpx.Request(
        request.method,
        base + request.target.decode("ascii"),
        headers=request.headers,
        content=request.content,
        extensions={"timeout": timeout.as_dict()},
    )


def _of_httpx(response: "httpx.Response", body: bytes) -> Answer:
    if response.is_stream_consumed and hasattr(response, "_content"):
        return Answer(response.status_code, dict(response.headers), body)  # decoded already
    return _answer(response.status_code, response.headers.raw, body)


def _httpx_no_answer(error: Exception) -> NoAnswer:
    import httpx

    return NoAnswer(f"{type(error).__name__}: {error}", is_late=isinstance(error, httpx.TimeoutException))
