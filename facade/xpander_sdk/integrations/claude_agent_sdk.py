"""Recording of the Claude Agent SDK: an iterator around the messages of its agent.

Example:
    >>> from claude_agent_sdk import query
    >>> from xpander_sdk.integrations.claude_agent_sdk import record_messages
    >>> messages = record_messages(query(prompt="2 + 2?"), input="2 + 2?", agent_id="desk")
"""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from xpander_capture.responses.reading import child, items, text
from xpander_capture.results import called_tools
from xpander_sdk._clock import monotonic
from xpander_sdk.backend import Backend
from xpander_sdk.integrations.adapter_run import AdapterRun, configured_agent, guarded
from xpander_sdk.runs import recording
from xpander_sdk.runs.ends import end_of

if TYPE_CHECKING:
    from uuid import UUID

    from xpander_sdk.runs.run import Run

T = TypeVar("T")

__all__ = ["record_messages"]

_AGENT = "claude-agent"


async def record_messages(
    messages: AsyncIterator[T],
    backend: Backend | None = None,
    *,
    agent_id: str | None = None,
    id: "str | UUID | int | None" = None,
    input: Any = None,
    user_id: str | None = None,
    conversation_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
    parent: "Run | str | None" = None,
) -> AsyncIterator[T]:
    """Yield the messages of an agent unchanged, and record its run.

    The run begins with the first step of the iteration and ends with the `ResultMessage`, which has the answer, the
    outcome, and the tokens and cost of each model, of sub-agents too. Further messages begin another run. If the
    consumer stops before the result, the run has succeeded with the last text; its tokens are then not known.

    Args:
        messages: What `query(…)` or `ClaudeSDKClient.receive_response()` returns.
        backend: Backend to report to. Default: `Backend()`, which reads the environment.
        agent_id: The agent. Default: the configuration's, else XPANDER_AGENT_ID, else "claude-agent".
        id: The id of the first run. Default: a new id.
        input: The request to the agent, which the messages do not contain. Default: none.
        user_id: The user for whom the agent works. Default: that of the run around this one.
        conversation_id: The conversation that the run belongs to. Default: the session of the SDK.
        metadata: Facts that the program defines: at most 64 pairs of texts. Default: none.
        parent: The run that starts this one, or its id. Default: the current run.

    Yields:
        The messages.

    Raises:
        ValueError: An argument is invalid.
    """
    backend = Backend() if backend is None else backend
    if agent_id is None and not configured_agent(backend):
        agent_id = _AGENT
    options = {
        "agent_id": agent_id, "user_id": user_id, "conversation_id": conversation_id, "metadata": metadata,
        "parent": parent,
    }  # fmt: skip
    turn: _Turn | None = _Turn(backend, {**options, "id": id, "input": input})
    try:
        async for message in messages:
            turn = turn or _Turn(backend, options)
            turn.add(message)
            if turn.has_ended:
                turn = None  # before the message is passed on: its consumer may stop here
            yield message
        if turn is not None:
            turn.end(None, is_whole=False)
    except BaseException as error:
        if turn is not None:
            turn.end(error, is_whole=False)
        raise
    finally:
        close = getattr(messages, "aclose", None)
        if close is not None:
            await close()


class _Turn:
    """One run: the messages up to a result."""

    def __init__(self, backend: Backend, options: dict[str, Any]) -> None:
        self.has_ended = False
        self._has_conversation = options["conversation_id"] is not None
        self._started_at = monotonic()
        self._run = AdapterRun(backend, **options)
        self._run.begin()

    @guarded
    def add(self, message: Any) -> None:
        """Add what a message states; a result ends the run."""
        session_id = text(child(message, "session_id"))
        if session_id and not self._has_conversation:
            self._run.set_values(conversation_id=session_id)
        for name in called_tools(message):
            self._run.add_tool(name)
        if child(message, "num_turns") is not None and child(message, "is_error") is not None:
            recorded = recording.read(message)
            if recorded is not None:
                self._run.add(recorded)
            self.end(None, is_whole=True)
        elif text(child(message, "parent_tool_use_id")) is None:  # of the main agent
            parts = [part for block in items(child(message, "content")) if (part := text(child(block, "text")))]
            if parts and child(message, "model") is not None:
                self._run.add(recording.Recorded(text="\n".join(parts)))

    @guarded
    def end(self, error: BaseException | None, *, is_whole: bool) -> None:
        """Report the end of the run.

        Args:
            error: The exception that ends it, or None.
            is_whole: Whether the result has arrived.
        """
        if self.has_ended:
            return
        self.has_ended = True
        seconds = monotonic() - self._started_at
        end = end_of(error)
        if end.is_success is False:
            self._run.end(seconds, is_success=False, error=end.error)
        elif error is None and not is_whole:
            self._run.end(seconds, is_success=False, error="the messages ended without a result")
        else:
            self._run.end(seconds)
