"""Run: one execution of an agent that records itself.

A run has two parts. `Run` has what the program reads and writes. Its `Tracker` measures, collects and reports. Without
a tracker (`XPANDER_RUNS=off`, or outside of every run) all methods exist and do nothing, so a program needs no case
distinction, and nothing is imported, opened or started.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from xpander_sdk import _fork
from xpander_sdk.reporting.run_ids import new_run_id
from xpander_sdk.runs.current import current, enter, leave

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType
    from typing import SupportsFloat, TypedDict, Unpack
    from uuid import UUID

    from xpander_sdk.reporting.tokens import Tokens, TokenUsage
    from xpander_sdk.runs.tracker import RunOptions, Tracker

    class RunValues(TypedDict, total=False):
        """Attributes of a run that `update` and `finish` set."""

        input: Any
        result: Any
        llm_response: Any
        tokens: Tokens | TokenUsage | None
        is_success: bool | None
        duration: SupportsFloat | timedelta | None
        used_tools: Iterable[Any]
        error: str | None
        user_id: str | None
        conversation_id: str | None
        parent_task_id: str | None
        metadata: Mapping[str, str] | None


P = ParamSpec("P")
T = TypeVar("T")

_VALUES = frozenset(
    {"input", "result", "llm_response", "tokens", "is_success", "duration", "used_tools", "error", "user_id"}
    | {"conversation_id", "parent_task_id", "metadata"}
)


class Run:
    """One execution of an agent that records itself: a block, a decorated function, or two calls.

    `Backend.run` creates it. As a context manager, synchronous or asynchronous, it measures the block and reports its
    end. As a decorator it does so for each call of a function, coroutine function, generator or asynchronous generator.
    `start` and `finish` record a run that begins in one place and ends in another.

    An exception makes the run fail and continues unchanged. Values that are set here take precedence over those that
    are recorded or measured.

    Attributes:
        agent_id: The agent; None until the run begins, if the environment or an `agent` names it.
        input: The request to the agent: text, messages or data.
        result: The final answer. Default: the value that the decorated function returns, else the text of the last
            recorded response.
        llm_response: The provider's response. Default: the last response that was recorded.
        tokens: Token usage: `Tokens` or the usage of a provider. Default: the sum of the recorded calls.
        is_success: Outcome. Default: True, or False after an exception or a recorded failure.
        duration: Wall-clock time in seconds, or a timedelta. Default: measured.
        used_tools: Called tools, one entry per call. `record` adds those of responses.
        error: Reason of a failure. Default: the exception's type and text, or the recorded failure.
        user_id: The user for whom the agent works.
        conversation_id: The conversation that the run belongs to.
        parent_task_id: The run that started this one. Default: the run around this one.
        metadata: Facts that the program defines: at most 64 pairs of texts, to which the program may add.
        outer: The run around this one, or None.
        has_given_id: Whether the program has chosen the id.

    Example:
        >>> from xpander_sdk import Backend
        >>> with Backend().run(agent_id="agent-123", input="What is 2 + 2?") as run:
        ...     run.result = "4"
    """

    __slots__ = (
        "__weakref__", "_entries", "_id", "_tracker", "agent_id", "conversation_id", "duration", "error",
        "has_given_id", "input",
        "is_success", "llm_response", "metadata", "outer", "parent_task_id", "result", "tokens", "used_tools",
        "user_id",
    )  # fmt: skip

    def __init__(self, id: "str | UUID | int | None" = None, agent_id: str | None = None, input: Any = None) -> None:
        self._id: Any = id
        self.has_given_id = id is not None
        self._tracker: Tracker | None = None
        self._entries: list[Run | None] = []
        self.agent_id = agent_id
        self.input = input
        self.result: Any = None
        self.llm_response: Any = None
        self.tokens: Tokens | TokenUsage | None = None
        self.is_success: bool | None = None
        self.duration: SupportsFloat | timedelta | None = None
        self.used_tools: list[Any] = []
        self.error: str | None = None
        self.user_id: str | None = None
        self.conversation_id: str | None = None
        self.parent_task_id: str | None = None
        self.metadata: MutableMapping[str, str] = {}
        self.outer: Run | None = None

    def __repr__(self) -> str:
        state = "ended" if self.has_ended else "recording" if self.is_recording else "not recording"
        return f"<Run {self.id!r} of {self.agent_id!r}, {state}>"

    @property
    def id(self) -> str:
        """The id of the run: the one that was passed, else a new one."""
        if type(self._id) is not str:
            self._id = new_run_id() if self._id is None else str(self._id)
        run_id: str = self._id
        return run_id

    @property
    def is_recording(self) -> bool:
        """True if this run is reported: runs are on, it was sampled, and it has a valid agent."""
        return self._tracker is not None and self._tracker.is_recording

    @property
    def has_ended(self) -> bool:
        """True if the end of the run was reported."""
        return self._tracker is not None and self._tracker.has_ended

    @property
    def report_errors(self) -> tuple[str, ...]:
        """Texts of the errors that occurred while the run was recorded and reported, at most 10."""
        return () if self._tracker is None else tuple(self._tracker.report_errors)

    def record(self, result: T, *, provider: str | None = None, model: str | None = None) -> T:
        """Read tokens, model, tools, text and failure from a response or result, and add them to the run.

        Call it for each response. Responses with the same id count once. Never raises; an unknown object adds nothing.

        Args:
            result: Response of a provider (OpenAI, Anthropic, Gemini, Bedrock, Mistral, Cohere, Ollama and others), or
                result of a framework (pydantic-ai, agno, OpenAI Agents, strands, smolagents, CrewAI, LangChain,
                LangGraph, haystack, autogen, Claude Agent SDK, DSPy), as an object or a dict.
            provider: Name of the provider. Default: as the response shows.
            model: Name of the model, where the response does not contain it. Default: as the response shows.

        Returns:
            The argument.

        Example:
            >>> from xpander_sdk import Backend
            >>> usage = {"prompt_tokens": 9, "completion_tokens": 1}
            >>> message = {"role": "assistant", "content": "4"}
            >>> with Backend().run(agent_id="agent-123", input="2 + 2?") as run:
            ...     _ = run.record({"model": "gpt-5-mini", "choices": [{"message": message}], "usage": usage})
        """
        if self._tracker is not None:
            self._tracker.record(self, result, provider, model)
        return result

    @overload
    def watch(
        self, stream: AsyncIterable[T], *, provider: str | None = None, model: str | None = None
    ) -> AsyncIterator[T]: ...
    @overload
    def watch(self, stream: Iterable[T], *, provider: str | None = None, model: str | None = None) -> Iterator[T]: ...
    def watch(self, stream: Any, *, provider: str | None = None, model: str | None = None) -> Any:
        """Return the stream, and record the whole response when the stream ends.

        The chunks pass unchanged and when they arrive. A stream that is not read to its end is recorded as far as it
        was read, at the end of the run.

        Args:
            stream: Stream of chunks or events that a provider's SDK returns, synchronous or asynchronous.
            provider: Name of the provider. Default: as the chunks show.
            model: Name of the model, where the chunks do not contain it. Default: as the chunks show.

        Returns:
            An iterator over the same chunks; all other attributes are those of the stream.

        Example:
            >>> from xpander_sdk import Backend
            >>> chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Ra", "iny")]
            >>> with Backend().run(agent_id="agent-123", input="Weather?") as run:
            ...     received = list(run.watch(chunks))
        """
        return stream if self._tracker is None else self._tracker.watch(self, stream, provider, model)

    def update(self, **values: "Unpack[RunValues]") -> None:
        """Set attributes, and report the run as it is now, in progress.

        `aupdate` is the asynchronous form. Unknown values are left out of the report, so they replace nothing. After
        the end of the run its outcome stays.

        Args:
            **values: Attributes of the run, such as `result="half way"`.

        Raises:
            TypeError: A name is not an attribute that can be set.
        """
        self._set(values)
        if self._tracker is not None:
            self._tracker.update(self)

    async def aupdate(self, **values: "Unpack[RunValues]") -> None:
        """Set attributes, and report the run as it is now, in progress.

        Runs on asyncio and on trio. `update` is the synchronous form. Unknown values are left out of the report, so
        they replace nothing. After the end of the run its outcome stays.

        Args:
            **values: Attributes of the run, such as `result="half way"`.

        Raises:
            TypeError: A name is not an attribute that can be set.
        """
        self._set(values)
        if self._tracker is not None:
            await self._tracker.aupdate(self)

    def start(self) -> Self:
        """Report that the run has begun, for a run that ends elsewhere.

        `astart` is the asynchronous form. `finish` ends the run, here or in another process, by its id.

        Returns:
            This run.

        Example:
            >>> from xpander_sdk import Backend
            >>> backend = Backend()
            >>> run = backend.run(id="ext-job-9921", agent_id="agent-123", input="2 + 2?").start()
            >>> backend.run(id="ext-job-9921", agent_id="agent-123").finish(result="4")
        """
        if self._tracker is not None:
            self._tracker.start(self)
        return self

    async def astart(self) -> Self:
        """Report that the run has begun, for a run that ends elsewhere.

        Runs on asyncio and on trio. `start` is the synchronous form. `afinish` ends the run, here or in another
        process, by its id.

        Returns:
            This run.
        """
        if self._tracker is not None:
            await self._tracker.astart(self)
        return self

    def finish(self, **values: "Unpack[RunValues]") -> None:
        """Set attributes, and report the end of the run.

        `afinish` is the asynchronous form. Without `is_success`, the run has succeeded unless it has an error. The
        duration is measured only if this object has reported the start.

        Args:
            **values: Attributes of the run, such as `result="done"` or `error="no answer"`.

        Raises:
            TypeError: A name is not an attribute that can be set.
        """
        self._set(values)
        if self._tracker is not None:
            self._tracker.end(self, None)

    async def afinish(self, **values: "Unpack[RunValues]") -> None:
        """Set attributes, and report the end of the run.

        Runs on asyncio and on trio. `finish` is the synchronous form. Without `is_success`, the run has succeeded
        unless it has an error. The duration is measured only if this object has reported the start.

        Args:
            **values: Attributes of the run, such as `result="done"` or `error="no answer"`.

        Raises:
            TypeError: A name is not an attribute that can be set.
        """
        self._set(values)
        if self._tracker is not None:
            await self._tracker.aend(self, None)

    def keep_open(self) -> None:
        """Report the run as in progress at the end of its block, for a run that waits for a person or another program.

        A later run with the same id continues it.
        """
        if self._tracker is not None:
            self._tracker.is_kept_open = True

    def __enter__(self) -> Self:
        if self._tracker is not None and not self._entries:
            self._tracker.enter(self)
        self._entries.append(enter(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        leave(self, self._entries.pop())
        if self._tracker is not None and not self._entries:
            self._tracker.end(self, error)

    async def __aenter__(self) -> Self:
        if self._tracker is not None and not self._entries:
            await self._tracker.aenter(self)
        self._entries.append(enter(self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        leave(self, self._entries.pop())
        if self._tracker is not None and not self._entries:
            await self._tracker.aend(self, error)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with a run around each call, and with the same signature.

        Args:
            function: Function, coroutine function, generator function or asynchronous generator function.

        Raises:
            TypeError: The argument is a class or cannot be called.
        """
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"a run must decorate a function, got {_describe(function)}; decorate its methods instead")
        if self._tracker is None:
            return function
        from xpander_sdk.runs.decorator import decorate

        tracker = self._tracker
        return decorate(function, lambda: _new_run(tracker.options, type(tracker)))

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if name not in _VALUES:
                raise TypeError(f"got an unexpected keyword argument {name!r}; known are {', '.join(sorted(_VALUES))}")
            setattr(self, name, value)


def current_run() -> Run:
    """Return the run around the caller: of its block, or of the decorated function that has called it.

    Outside of every run, the result is a run that records nothing, so that a library can call `current_run().record(…)`
    without a condition. Threads see the run of the code that starts them only if they run in a copy of its context
    (`contextvars.copy_context().run`, `asyncio.to_thread`); otherwise pass the run itself.

    Example:
        >>> from xpander_sdk import Backend
        >>> with Backend().run(agent_id="agent-123", input="2 + 2?") as run:
        ...     current_run() is run
        True
        >>> current_run().is_recording
        False
    """
    return current.get() or Run()


def new_run(options: Mapping[str, Any]) -> Run:
    """Return a run that records itself.

    Args:
        options: Arguments of `RunOptions`.

    Raises:
        ValueError: An option is invalid.
    """
    if not _tracker_module:
        with _fork.import_lock:  # A fork during the import would leave an import lock held in the child.
            from xpander_sdk.runs import tracker

            _tracker_module.append(tracker)
    [tracker] = _tracker_module
    return _new_run(tracker.RunOptions(**options), tracker.Tracker)


_tracker_module: list[Any] = []  # imported at the first run that is recorded


def _new_run(options: "RunOptions", new_tracker: "Callable[[RunOptions], Tracker]") -> Run:
    run = Run(options.id, options.agent_id, options.input)
    run.user_id = options.user_id
    run.conversation_id = options.conversation_id
    if options.metadata is not None:
        # A copy: the program may add pairs to this run, and a decorator has the same options for all of its runs.
        run.metadata = dict(options.metadata) if isinstance(options.metadata, Mapping) else options.metadata
    run._tracker = new_tracker(options)
    return run


def _describe(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
