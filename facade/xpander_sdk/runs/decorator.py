"""Decorator of `Backend.run`: a run around each call of a function, coroutine function or generator function.

The wrapper has the kind of the function, because frameworks look at it (`inspect.iscoroutinefunction`): a coroutine
function stays one. A generator is current only while it runs, not while its consumer does:

    consumer                    wrapper                      generator of the function
    next(…)                →    current = its run       →    runs until its yield
                           ←    current = the consumer's
    current_run(): its own
    next(…)                →    current = its run       →    …

An exception that the consumer throws in is passed on outside of any `except` block, so that a new exception of the
generator gets the same `__context__` as without the wrapper.

A function that returns a coroutine, a generator or a streaming response has not ended with its call. Its run ends when
the returned object does.
"""

import functools
import inspect
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from xpander_sdk.runs import arguments
from xpander_sdk.runs.current import enter, leave
from xpander_sdk.runs.items import Items
from xpander_sdk.runs.tracker import Tracker

if TYPE_CHECKING:
    from xpander_sdk.runs.run import Run


class _Begun(NamedTuple):
    """Run of one call, and the generator that the call has created.

    Attributes:
        run: The run.
        tracker: Its tracker.
        generator: The generator; None if the function was not called yet.
        is_begun: Whether the run has begun.
    """

    run: "Run"
    tracker: Tracker
    generator: Any = None
    is_begun: bool = False


def decorate(function: Callable[..., Any], new_run: "Callable[[], Run]") -> Callable[..., Any]:
    """Return the function with a run around each call.

    Args:
        function: Function, coroutine function, generator function or asynchronous generator function.
        new_run: Function that returns the run of a call.
    """
    read_input = arguments.input_reader(function)

    def begin(positional: tuple[Any, ...], named: dict[str, Any]) -> "tuple[Run, Tracker]":
        run = new_run()
        tracker = run._tracker
        assert tracker is not None
        try:
            run.input = read_input(run.input, positional, named)
        except Exception as error:  # the caller's function that selects the input
            run.input = None
            tracker.handle(error)
        return run, tracker

    def call(*positional: Any, **named: Any) -> Any:
        run, tracker = begin(positional, named)
        tracker.enter(run)
        outer = enter(run)
        try:
            returned = function(*positional, **named)
        except BaseException as error:
            leave(run, outer)
            tracker.end(run, error)
            raise
        leave(run, outer)
        stream = _stream_of(run, tracker, returned)
        if stream is not None:
            return stream
        tracker.take(run, returned)
        tracker.end(run, None)
        return returned

    async def call_async(*positional: Any, **named: Any) -> Any:
        run, tracker = begin(positional, named)
        await tracker.aenter(run)
        outer = enter(run)
        try:
            returned = await function(*positional, **named)
        except BaseException as error:
            leave(run, outer)
            await tracker.aend(run, error)
            raise
        leave(run, outer)
        stream = _stream_of(run, tracker, returned)
        if stream is not None:
            return stream
        tracker.take(run, returned)
        await tracker.aend(run, None)
        return returned

    def begin_generator(*positional: Any, **named: Any) -> _Begun:
        return _Begun(*begin(positional, named), function(*positional, **named))

    if inspect.isasyncgenfunction(function):
        return functools.wraps(function)(_async_generator_function(begin_generator))
    if inspect.isgeneratorfunction(function):
        return functools.wraps(function)(_generator_function(begin_generator))
    return functools.wraps(function)(call_async if inspect.iscoroutinefunction(function) else call)


def _generator_function(begin: Callable[..., _Begun]) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function that drives the generator of a run."""

    def drive(*positional: Any, **named: Any) -> Generator[Any, Any, Any]:
        run, tracker, generator, is_begun = begin(*positional, **named)
        if not is_begun:
            tracker.enter(run)
        items = Items()
        try:
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                outer = enter(run)
                try:
                    if thrown is None:
                        item = generator.send(sent)
                    else:
                        error, thrown = thrown, None
                        item = generator.throw(error)
                except StopIteration as stop:
                    returned = stop.value
                    break
                finally:
                    leave(run, outer)
                    error = None  # type: ignore[assignment]  # a reference would keep its traceback alive
                items.add(item)
                is_closed = False
                try:
                    sent = yield item
                except GeneratorExit:
                    is_closed = True
                except BaseException as thrown_in:
                    thrown = thrown_in
                if is_closed:
                    returned = _close(run, generator)
                    items.finish(run, tracker)
                    tracker.end(run, GeneratorExit())
                    return returned
        except BaseException as error:
            items.finish(run, tracker)
            tracker.end(run, error)
            raise
        items.finish(run, tracker)
        tracker.end(run, None)
        return returned

    return drive


def _close(run: "Run", generator: Generator[Any, Any, Any]) -> Any:
    outer = enter(run)
    try:
        return generator.close()  # the value that it returns, since Python 3.13
    finally:
        leave(run, outer)


def _async_generator_function(begin: Callable[..., _Begun]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return an asynchronous generator function that drives the generator of a run."""

    async def drive(*positional: Any, **named: Any) -> AsyncGenerator[Any, Any]:
        run, tracker, generator, is_begun = begin(*positional, **named)
        if not is_begun:
            await tracker.aenter(run)
        items = Items()
        try:
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                outer = enter(run)
                try:
                    if thrown is None:
                        item = await generator.asend(sent)
                    else:
                        error, thrown = thrown, None
                        item = await generator.athrow(error)
                except StopAsyncIteration:
                    break
                finally:
                    leave(run, outer)
                    error = None  # type: ignore[assignment]  # a reference would keep its traceback alive
                items.add(item)
                is_closed = False
                try:
                    sent = yield item
                except GeneratorExit:
                    is_closed = True
                except BaseException as thrown_in:
                    thrown = thrown_in
                if is_closed:
                    await _aclose(run, generator)
                    items.finish(run, tracker)
                    await tracker.aend(run, GeneratorExit())
                    return
        except BaseException as error:
            items.finish(run, tracker)
            await tracker.aend(run, error)
            raise
        items.finish(run, tracker)
        await tracker.aend(run, None)

    return drive


async def _aclose(run: "Run", generator: AsyncGenerator[Any, Any]) -> None:
    outer = enter(run)
    try:
        await generator.aclose()
    finally:
        leave(run, outer)


def _stream_of(run: "Run", tracker: Tracker, returned: Any) -> Any:
    """Return the object that ends the run in place of the call; None if the call has ended it."""
    if inspect.isgenerator(returned):
        begun = _Begun(run, tracker, returned, is_begun=True)
        return _end_when_dropped(run, tracker, _generator_function(lambda: begun)())
    if inspect.isasyncgen(returned):
        begun = _Begun(run, tracker, returned, is_begun=True)
        return _end_when_dropped(run, tracker, _async_generator_function(lambda: begun)())
    if inspect.iscoroutine(returned):
        return _end_with(run, tracker, returned)
    if _is_streaming_response(returned):
        body = _end_when_dropped(run, tracker, _watch_body(run, tracker, returned.body_iterator))
        returned.body_iterator = body
        return returned
    return None


async def _end_with(run: "Run", tracker: Tracker, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await the coroutine that a function has returned, and end its run."""
    outer = enter(run)
    try:
        returned = await coroutine
    except BaseException as error:
        leave(run, outer)
        await tracker.aend(run, error)
        raise
    leave(run, outer)
    stream = _stream_of(run, tracker, returned)
    if stream is not None:
        return stream
    tracker.take(run, returned)
    await tracker.aend(run, None)
    return returned


def _is_streaming_response(value: Any) -> bool:
    """Return whether the value is a streaming response of Starlette, which FastAPI and sse-starlette use too."""
    is_starlette = any(kind.__module__.partition(".")[0] == "starlette" for kind in type(value).__mro__)
    return is_starlette and hasattr(value, "body_iterator")


async def _watch_body(run: "Run", tracker: Tracker, body: Any) -> AsyncGenerator[Any, None]:
    """Yield the chunks of a response, and end the run with them.

    Starlette cancels the body if the client disconnects: its consumer has enough, as that of an abandoned generator.
    """
    import anyio

    items = Items()
    iterator = aiter(body)
    try:
        while True:
            outer = enter(run)
            try:
                chunk = await anext(iterator)
            except StopAsyncIteration:
                break
            finally:
                leave(run, outer)
            items.add(chunk)
            yield chunk
    except BaseException as error:
        items.finish(run, tracker)
        is_abandoned = isinstance(error, anyio.get_cancelled_exc_class())
        await tracker.aend(run, GeneratorExit() if is_abandoned else error)
        raise
    items.finish(run, tracker)
    await tracker.aend(run, None)


def _end_when_dropped(run: "Run", tracker: Tracker, stream: Any) -> Any:
    """Return the generator; its run ends even if nobody begins to read it, for example because a client has gone."""
    finalizer = weakref.finalize(stream, _end_dropped, run, tracker)
    finalizer.atexit = False
    return stream


def _end_dropped(run: "Run", tracker: Tracker) -> None:
    if tracker.has_ended:
        return
    if tracker.via == "outbox":
        tracker.end(run, GeneratorExit())
        return
    # A request must not run where an object is released: that may be any place of the program, also an event loop.
    thread = threading.Thread(target=tracker.end, args=(run, GeneratorExit()), name="xpander-run-end", daemon=True)
    thread.start()
