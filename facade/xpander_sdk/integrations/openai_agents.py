"""Tracing processor that records the runs of the OpenAI Agents SDK.

Example:
    >>> from agents import set_trace_processors
    >>> from xpander_sdk.integrations.openai_agents import TracingProcessor
    >>> set_trace_processors([TracingProcessor()])
"""
# pyright: reportMissingImports=false

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from types import FrameType
from typing import Any

from agents import tracing

from xpander_capture.responses.reading import child, count, items, text
from xpander_sdk._clock import monotonic
from xpander_sdk.backend import Backend
from xpander_sdk.integrations import background
from xpander_sdk.integrations.adapter_run import AdapterRun, guarded
from xpander_sdk.runs import recording
from xpander_sdk.runs.current import current
from xpander_sdk.runs.ends import describe_error, end_of

__all__ = ["TracingProcessor"]

MAX_TRACES = 1_000
"""Open traces that are in memory, at most. Of more, the oldest one is left out."""

_KINDS = (  # counts of the SDK's usage, whose input includes the cached tokens
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("cache_read_tokens", "cached_input_tokens"),
    ("cache_write_tokens", "cache_write_input_tokens"),
)


class _AgentRun:
    """Outermost run of an agent in a trace, with hand-offs and with agents that are used as tools.

    Attributes:
        run: The run; None before its first agent is known.
        tokens: Sum of the model calls.
        text: Text of the last response of the run's own agents; None if it only calls tools.
        tool_output: Output of the last tool since that response.
        failure: Why the last call or agent failed.
    """

    def __init__(self, span_id: str) -> None:
        self.span_id = span_id
        self.started_at = monotonic()
        self.handled = sys.exc_info()[1]  # the program may run agents while it handles an exception
        self.run: AdapterRun | None = None
        self.tokens: dict[str, int] = {}
        self.input: Any = None
        self.text: str | None = None
        self.tool_output: Any = None
        self.failure: str | None = None


class _Node:
    """Open span.

    Attributes:
        agent_run: The run that the span belongs to; None above of all runs.
        is_nested: Whether it belongs to an agent that is used as a tool.
        parent: Span around it.
        calls: Calls of a turn, which are added with the turn's usage.
        nested_tokens: Part of a turn's usage that is of agents that are used as tools.
    """

    __slots__ = ("agent_run", "calls", "is_nested", "kind", "nested_tokens", "parent", "started_at")

    def __init__(self, kind: str, parent: "_Node | None", agent_run: _AgentRun | None) -> None:
        self.kind = kind
        self.parent = parent
        self.agent_run = agent_run
        self.is_nested: bool = parent is not None and (parent.is_nested or parent.kind == "function")
        self.started_at = monotonic()
        self.calls: list[recording.Recorded] = []
        self.nested_tokens: dict[str, int] = {}

    @property
    def turn(self) -> "_Node | None":
        """The turn around the span, or the span if it is a turn."""
        node: _Node | None = self
        while node is not None and node.kind != "turn":
            node = node.parent
        return node


class _Trace:
    """Open spans of a trace, and what the trace states about all its runs."""

    def __init__(self, group_id: str | None, metadata: dict[str, Any]) -> None:
        self.group_id = group_id
        self.metadata = metadata
        self.nodes: dict[str, _Node] = {}


class TracingProcessor(tracing.TracingProcessor):  # type: ignore[misc]  # its package is not installed here
    """Tracing processor that records each run of the `Runner` as one run.

    `set_trace_processors([TracingProcessor()])` uses it instead of the upload to OpenAI, and `add_trace_processor`
    uses both. It records the agent that the run begins with, the input, the answer, the called tools, the model calls,
    the usage of the whole run, the failure and the duration. Hand-offs and agents that are used as tools belong to the
    run.

    The trace may state the conversation (`group_id`) and, in its `metadata`, `user_id` and `xpander_task_id`, the id of
    the first run in the trace: `with trace("Support", group_id="thread-1", metadata={"user_id": "user-7"}):`.

    Args:
        backend: Backend to report to. Default: `Backend()`, which reads the environment.
        agent_id: The agent of all runs. Default: the name of the agent that the run begins with.
        metadata: Facts that are added to all runs: at most 64 pairs of texts. Default: none.

    Example:
        >>> from agents import add_trace_processor
        >>> add_trace_processor(TracingProcessor(Backend(), agent_id="desk"))
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        agent_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._backend = Backend() if backend is None else backend
        self._agent_id = agent_id
        self._metadata = metadata
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._lock = threading.Lock()

    @guarded
    def on_trace_start(self, trace: Any) -> None:
        """Note a trace."""
        with self._lock:
            self._traces[trace.trace_id] = _Trace(text(child(trace, "group_id")), dict(child(trace, "metadata") or {}))
            if len(self._traces) > MAX_TRACES:
                self._traces.popitem(last=False)

    @guarded
    def on_trace_end(self, trace: Any) -> None:
        """Forget a trace, whose runs have ended."""
        with self._lock:
            self._traces.pop(trace.trace_id, None)

    @guarded
    def on_span_start(self, span: Any) -> None:
        """Note a span, and begin the run of the first agent."""
        data = span.span_data
        kind = data.type
        with self._lock:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                return
            parent = trace.nodes.get(span.parent_id or "")
            agent_run = None if parent is None else parent.agent_run
            if agent_run is None and kind in ("task", "agent"):
                agent_run = _AgentRun(span.span_id)
            node = trace.nodes[span.span_id] = _Node(kind, parent, agent_run)
        if agent_run is None:
            return
        if kind == "agent" and agent_run.run is None:
            self._begin(agent_run, trace, text(child(data, "name")))
        elif kind == "function" and agent_run.run is not None:
            agent_run.run.add_tool(text(child(data, "name")))
        elif kind in ("generation", "response") and not node.is_nested:
            agent_run.text = agent_run.tool_output = agent_run.failure = None

    @guarded
    def on_span_end(self, span: Any) -> None:
        """Add a model call or the output of a tool to its run, or end the run."""
        with self._lock:
            trace = self._traces.get(span.trace_id)
            node = None if trace is None else trace.nodes.pop(span.span_id, None)
        if trace is None or node is None or node.agent_run is None:
            return
        agent_run, data = node.agent_run, span.span_data
        if node.kind in ("generation", "response"):
            self._end_call(agent_run, node, span)
        elif node.kind == "turn":
            _add_calls(agent_run, node, child(data, "usage"))
        elif node.kind == "function" and not node.is_nested:
            agent_run.tool_output = child(data, "output")
        elif node.kind == "agent" and not node.is_nested:
            agent_run.failure = _error(span) or agent_run.failure
        if agent_run.span_id == span.span_id:
            self._finish(agent_run, trace, data)

    def force_flush(self) -> None:
        """Wait for at most 30 seconds until the reports are delivered."""
        self._flush(30)

    def shutdown(self) -> None:
        """Wait for at most 5 seconds until the reports are delivered. Runs in progress remain in progress."""
        self._flush(5)

    def _flush(self, seconds: float) -> None:
        end = monotonic() + seconds
        background.flush(seconds)
        if self._backend.configuration.outbox is not None:
            self._backend.outbox.flush(max(end - monotonic(), 0))

    def _begin(self, agent_run: _AgentRun, trace: _Trace, name: str | None) -> AdapterRun:
        run = agent_run.run = AdapterRun(
            self._backend,
            agent_id=self._agent_id or name,
            id=text(trace.metadata.pop("xpander_task_id", None)),
            user_id=text(trace.metadata.get("user_id")),
            conversation_id=trace.group_id,
            metadata=self._metadata,
            parent=current.get(),
        )
        run.begin()
        return run

    def _end_call(self, agent_run: _AgentRun, node: _Node, span: Any) -> None:
        """Read a model call."""
        failure = _error(span) or _raised_error(span, agent_run)
        recorded, answer = _read_call(span, monotonic() - node.started_at, failure)
        if not node.is_nested:
            agent_run.input = agent_run.input or child(span.span_data, "input")
            agent_run.text = answer
            agent_run.failure = failure
        holder = node.turn or node
        holder.calls.append(recorded)
        if holder is node:
            _add_calls(agent_run, node, None)

    def _finish(self, agent_run: _AgentRun, trace: _Trace, data: Any) -> None:
        run = agent_run.run or self._begin(agent_run, trace, text(child(data, "name")))
        with self._lock:
            rest = [node for node in trace.nodes.values() if node.agent_run is agent_run and node.calls]
        for node in rest:
            _add_calls(agent_run, node, None)
        seconds = monotonic() - agent_run.started_at
        output = agent_run.tool_output if agent_run.text is None else agent_run.text
        whole = _tokens(child(data, "usage"))
        if whole and all(whole.get(kind, 0) >= number for kind, number in agent_run.tokens.items()):
            run.set_values(tokens=whole)
        run.set_values(input=agent_run.input)
        if agent_run.failure is not None:
            run.end(seconds, is_success=False, error=agent_run.failure)
            return
        # Spans state no cancellation; the exception that ends the run passes through this call.
        error = sys.exc_info()[1]
        if error is agent_run.handled or (isinstance(error, asyncio.CancelledError) and _is_streamed()):
            error = None
        end = end_of(error)
        if end.is_success is False:
            run.end(seconds, is_success=False, error=end.error)
        else:
            run.set_values(result=output)
            run.end(seconds)


def _add_calls(agent_run: _AgentRun, node: _Node, usage: Any) -> None:
    """Add the calls of a turn to the run. Its usage has the cached tokens, which spans of chat models lack."""
    own = {kind: number - node.nested_tokens.get(kind, 0) for kind, number in _tokens(usage).items()}
    for recorded in node.calls:
        calls = recorded.calls
        if len(node.calls) == len(calls) == 1 and any(own.values()) and min(own.values()) >= 0:
            tokens = {kind: number for kind, number in own.items() if number}
            calls = ({**calls[0], "tokens": tokens, "prompt_includes_cache": True},)
        for call in calls:
            _add_tokens(agent_run.tokens, call)
            outer = node.parent and node.parent.turn
            while outer is not None:
                _add_tokens(outer.nested_tokens, call)
                outer = outer.parent and outer.parent.turn
        if agent_run.run is not None:
            agent_run.run.add(recorded._replace(calls=calls))
    node.calls = []


def _add_tokens(total: dict[str, int], call: Mapping[str, Any]) -> None:
    for kind, number in (call.get("tokens") or {}).items():
        total[kind] = total.get(kind, 0) + number


def _is_streamed() -> bool:
    """Return whether the SDK, which calls this, works for a stream: then only the stream's consumer cancels it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "start_streaming":
        frame = frame.f_back
    return frame is not None


def _read_call(span: Any, seconds: float, failure: str | None) -> tuple[recording.Recorded, str | None]:
    """Return a model call, and the text of its answer."""
    data = span.span_data
    response = child(data, "response")
    if response is None:  # a chat model: its messages, or the response that its stream makes
        outputs = items(child(data, "output"))
        last = outputs[-1] if outputs else None
        is_response = text(child(last, "object")) == "response"
        response = last if is_response else {"object": "chat.completion", "choices": [{"message": last or {}}]}
    recorded = recording.read(response) or recording.Recorded()
    call: dict[str, Any] = {"model": text(child(data, "model"))}
    if recorded.calls:
        call |= recorded.calls[0]
    if call.get("response_id") in ("__fake_id__", ""):  # of the SDK, for models that state none
        del call["response_id"]
    tokens = _tokens(child(data, "usage"))
    if tokens and not any((call.get("tokens") or {}).values()):
        call |= {"tokens": tokens, "prompt_includes_cache": True}
    call |= {"duration": seconds, "error": failure}
    hosted = tuple(
        text(child(item, "name")) or kind.removesuffix("_call")
        for item in items(child(response, "output"))
        if (kind := text(child(item, "type")) or "").endswith("_call") and kind != "function_call"
    )
    known = {name: value for name, value in call.items() if value is not None}
    # Functions are added when they are called. A failure of the call ends the run only if no other call follows.
    return recorded._replace(calls=(known,), tool_names=hosted, error=None, response=response), recorded.text


def _tokens(usage: Any) -> dict[str, int]:
    """Return the counts of a usage; nothing if it is unknown, which the SDK states as zeros."""
    tokens = {ours: number for ours, theirs in _KINDS if (number := count(child(usage, theirs)))}
    return tokens if tokens.get("prompt_tokens") or tokens.get("completion_tokens") else {}


def _raised_error(span: Any, agent_run: _AgentRun) -> str | None:
    """Return why a model call without an answer failed: older versions set no error at the spans of chat models."""
    data, error = span.span_data, sys.exc_info()[1]
    has_answer = child(data, "response") is not None or bool(child(data, "output"))
    if has_answer or not isinstance(error, Exception) or error is agent_run.handled:
        return None
    return describe_error(error)


def _error(span: Any) -> str | None:
    """Return why a span failed."""
    error = child(span, "error")
    if error is None:
        return None
    return text(child(child(error, "data"), "error")) or text(child(error, "message")) or "the agent failed"
