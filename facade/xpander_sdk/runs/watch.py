"""Streams that are recorded while the program reads them."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

MAX_CHUNKS = 100_000
"""Largest number of chunks that are kept. Of a longer stream, the first half and the latest chunks are recorded."""


class WatchedStream(Generic[T]):
    """Stream that passes its chunks on and keeps them until its end, where the whole response is recorded.

    It iterates synchronously or asynchronously, as the stream does. All other attributes are those of the stream.

    Args:
        stream: Iterable or asynchronous iterable of chunks.
        record: Function that receives all chunks once, at the end.

    Attributes:
        is_recorded: Whether the chunks were recorded.
    """

    def __init__(self, stream: Any, record: Callable[[list[Any]], None]) -> None:
        self._stream = stream
        self._record = record
        self._chunks: list[Any] = []
        self._iterator: Any = None
        self.is_recorded = False

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # not initialized: a copy or an unpickled object
            raise AttributeError(name)
        return getattr(self._stream, name)

    def record_received(self) -> None:
        """Record the chunks that were received until now, once."""
        if not self.is_recorded:
            self.is_recorded = True
            chunks, self._chunks = self._chunks, []
            if chunks:
                self._record(chunks)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._iterator is None:
            self._iterator = iter(self._stream)
        try:
            chunk: T = next(self._iterator)
        except BaseException:  # the end of the stream, or its error
            self.record_received()
            raise
        self._keep(chunk)
        return chunk

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        try:
            chunk: T = await anext(self._iterator)
        except BaseException:  # the end of the stream, its error, or cancellation
            self.record_received()
            raise
        self._keep(chunk)
        return chunk

    def __enter__(self) -> Self:
        self._stream = self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self.record_received()
        return self._stream.__exit__(*error)

    async def __aenter__(self) -> Self:
        self._stream = await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        self.record_received()
        return await self._stream.__aexit__(*error)

    def _keep(self, chunk: Any) -> None:
        if self.is_recorded:
            return
        self._chunks.append(chunk)
        if len(self._chunks) >= MAX_CHUNKS:
            # The start has the model, the end has the usage.
            del self._chunks[MAX_CHUNKS // 2 : -MAX_CHUNKS // 10]
