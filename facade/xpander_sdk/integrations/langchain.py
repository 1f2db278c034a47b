"""Callback handler that records the runs of LangChain and LangGraph.

Example:
    >>> from langchain_core.runnables import RunnableLambda
    >>> from xpander_sdk.integrations.langchain import CallbackHandler
    >>> RunnableLambda(str.upper).invoke("hello", {"callbacks": [CallbackHandler()]})
    'HELLO'

`import xpander_sdk.integrations.langchain` also makes the environment variable XPANDER_LANGCHAIN effective.
"""
# pyright: reportMissingImports=false

import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from xpander_capture.responses.reading import text
from xpander_sdk._clock import monotonic
from xpander_sdk.backend import Backend
from xpander_sdk.integrations.adapter_run import AdapterRun, configured_agent, guarded
from xpander_sdk.integrations.langchain_values import (
    component_name,
    input_of,
    is_interrupt,
    is_resumption,
    message_of,
    output_of,
)
from xpander_sdk.runs import recording
from xpander_sdk.runs.current import current
from xpander_sdk.runs.ends import describe_error, end_of
from xpander_sdk.runs.run import Run
from xpander_sdk.settings.configuration import resolve_configuration

try:  # only such handlers receive the interrupts before and after a node
    from langgraph.callbacks import GraphCallbackHandler as _Handler
except ImportError:  # LangChain without LangGraph, or an older LangGraph
    _Handler = BaseCallbackHandler

__all__ = ["CallbackHandler"]

MAX_RUNS = 1_000
"""Open runs, and interrupted runs, that are in memory, at most. Of more, the oldest one is left out."""

_CONVERSATION_KEYS = ("thread_id", "session_id", "conversation_id")


class _Call:
    """Model call that has not ended: its start, and what its metadata state about the model."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.started_at = monotonic()
        self.known = {
            name: value
            for name, value in (
                ("provider", text(metadata.get("ls_provider"))),
                ("model", text(metadata.get("ls_model_name"))),
            )
            if value
        }

    def complete(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return the call with its duration, and with the model and provider if the response names none."""
        return {**self.known, "duration": monotonic() - self.started_at, **call}


class _Tree:
    """Outermost call of a chain, graph or model, with all calls below.

    Attributes:
        id: LangChain's id of the outermost call.
        open_ids: Ids of the calls that have not ended.
        calls: Model calls that have not ended.
        run: The run; None before it is known to be one.
        is_interrupted: Whether the graph waits for a person.
        is_model: Whether the outermost call is a model.
        outer: Run of the program around the outermost call.
    """

    def __init__(self, run_id: UUID, name: str, inputs: Any, metadata: Mapping[str, Any], *, is_model: bool) -> None:
        self.id = run_id
        self.name = name
        self.inputs = inputs
        self.metadata = metadata
        self.is_model = is_model
        self.started_at = monotonic()
        self.open_ids: set[UUID] = {run_id}
        self.calls: dict[UUID, _Call] = {}
        self.run: AdapterRun | None = None
        self.is_interrupted = False
        self.outer: Run | None = current.get()

    @property
    def conversation_id(self) -> str | None:
        """Id of the conversation: the thread of a graph, or the session of a program."""
        return next((str(value) for name in _CONVERSATION_KEYS if (value := self.metadata.get(name))), None)


_waiting: "OrderedDict[tuple[str, str], AdapterRun]" = OrderedDict()
"""Interrupted runs by backend and thread. All handlers share them: the environment variable creates many handlers."""
_waiting_lock = threading.Lock()


class CallbackHandler(_Handler):  # type: ignore[misc]  # its package is not installed here
    """Callback handler that records each outermost call of an agent, graph or chain as one run.

    One handler serves all runs of a program, in all threads and event loops. It records the input, the result, tools,
    model calls with tokens, the failure and the duration. Agents inside of the run belong to it. A chain that calls no
    model and no tool, and is no graph, is not recorded.

    A run that LangGraph interrupts is in progress, and its resumption in the same process continues it. In another
    process, the same `xpander_task_id` continues it. If the consumer of a stream stops early, the run has succeeded
    with the result so far.

    The `metadata` of the call may contain `thread_id`, `session_id` or `conversation_id`, `user_id`, and
    `xpander_task_id`, the id of the run.

    Args:
        backend: Backend to report to. Default: `Backend()`, which reads the environment.
        agent_id: The agent of all runs. Default: the name of the agent (`create_agent(name=…)`), else the agent of the
            configuration or of XPANDER_AGENT_ID, else the name of the graph or chain.
        metadata: Facts that are added to all runs: at most 64 pairs of texts. Default: none.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> handler = CallbackHandler(agent_id="desk")
        >>> FakeListChatModel(responses=["On its way"]).invoke("My parcel?", {"callbacks": [handler]}).content
        'On its way'
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        agent_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._backend = _default_backend() if backend is None else backend
        self._agent_id = agent_id
        self._metadata = metadata
        self._trees: OrderedDict[UUID, _Tree] = OrderedDict()
        self._by_id: dict[UUID, _Tree] = {}
        self._lock = threading.Lock()

    # Starts

    @guarded
    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **event: Any
    ) -> None:
        """Note a chain, graph or node; an agent and a graph are known to be runs."""
        metadata = event.get("metadata") or {}
        tree = self._enter(run_id, parent_run_id, component_name(serialized, event), inputs, metadata)
        if metadata.get("lc_agent_name") or metadata.get("langgraph_node"):
            self._begin(tree)

    @guarded
    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **event: Any
    ) -> None:
        """Note a call of a chat model."""
        self._start_call(serialized, messages[0] if messages else None, run_id, parent_run_id, event)

    @guarded
    def on_llm_start(
        self, serialized: Any, prompts: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **event: Any
    ) -> None:
        """Note a call of a model that completes texts."""
        self._start_call(serialized, prompts[0] if prompts else None, run_id, parent_run_id, event)

    @guarded
    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **event: Any
    ) -> None:
        """Add a tool to its run."""
        name = component_name(serialized, event)
        tree = self._enter(run_id, parent_run_id, name, input_str, event.get("metadata") or {})
        if tree.id != run_id:
            self._begin(tree).add_tool(name)

    @guarded
    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **event: Any
    ) -> None:
        """Note a retriever: its embeddings and models belong to the run around it."""
        self._enter(run_id, parent_run_id, component_name(serialized, event), query, event.get("metadata") or {})

    # Ends

    @guarded
    def on_llm_end(self, response: Any, *, run_id: UUID, **event: Any) -> None:
        """Add a model call to its run."""
        tree = self._leave(run_id)
        call = None if tree is None else tree.calls.pop(run_id, None)
        if tree is None or call is None:
            return
        message = message_of(response)
        recorded = recording.read(response if message is None else message)
        if recorded is not None:
            calls = tuple(call.complete(each) for each in recorded.calls)
            # Tools are added when they are called: a model also requests tools that are rejected, or that only
            # describe the form of its answer.
            self._add(tree, recorded._replace(calls=calls, tool_names=()))
        if tree.id == run_id:
            self._finish(tree, None, message)

    @guarded
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Add a failed model call to its run."""
        tree = self._leave(run_id)
        call = None if tree is None else tree.calls.pop(run_id, None)
        if tree is None or call is None:
            return
        if not isinstance(error, GeneratorExit):
            failure = call.complete({"error": describe_error(error)})
            self._add(tree, recording.Recorded(calls=(failure,)))
        if tree.id == run_id:
            self._finish(tree, error, None)

    @guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, **event: Any) -> None:
        """End the run of an outermost chain."""
        self._end(run_id, None, outputs, event.get("inputs"))

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """End the run of an outermost chain, or note that it is interrupted."""
        tree = self._by_id.get(run_id)
        if tree is not None and is_interrupt(error) and event.get("parent_run_id") in (None, tree.id):
            tree.is_interrupted = True  # the graph itself then ends without an error
        self._end(run_id, error, None, event.get("inputs"))

    @guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **event: Any) -> None:
        """Note the end of a tool."""
        self._end(run_id, None, output)

    @guarded
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Note the failure of a tool, after which an agent may continue."""
        self._end(run_id, error, None)

    @guarded
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **event: Any) -> None:
        """Note the end of a retriever."""
        self._end(run_id, None, None)

    @guarded
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """Note the failure of a retriever, after which a chain may continue."""
        self._end(run_id, error, None)

    @guarded
    def on_interrupt(self, event: Any) -> None:
        """Note that a graph was interrupted before or after a node."""
        tree = self._by_id.get(event.run_id)
        if tree is not None and tree.id == event.run_id:
            self._begin(tree)
            tree.is_interrupted = True

    # State

    def _enter(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        name: str,
        inputs: Any,
        metadata: Mapping[str, Any],
        *,
        is_model: bool = False,
    ) -> _Tree:
        """Return the tree of a call that starts."""
        with self._lock:
            tree = None if parent_run_id is None else self._by_id.get(parent_run_id)
            if tree is None:
                tree = self._trees[run_id] = _Tree(run_id, name, inputs, metadata, is_model=is_model)
                if len(self._trees) > MAX_RUNS:
                    self._forget(self._trees.popitem(last=False)[1])
            tree.open_ids.add(run_id)
            self._by_id[run_id] = tree
            return tree

    def _leave(self, run_id: UUID) -> _Tree | None:
        """Return the tree of a call that ends."""
        with self._lock:
            tree = self._by_id.pop(run_id, None)
            if tree is not None:
                tree.open_ids.discard(run_id)
                if tree.id == run_id:
                    self._trees.pop(run_id, None)
                    self._forget(tree)
            return tree

    def _forget(self, tree: _Tree) -> None:
        for run_id in tree.open_ids:
            self._by_id.pop(run_id, None)

    def _start_call(
        self, serialized: Any, inputs: Any, run_id: UUID, parent_run_id: UUID | None, event: Mapping[str, Any]
    ) -> None:
        metadata = event.get("metadata") or {}
        tree = self._enter(run_id, parent_run_id, component_name(serialized, event), inputs, metadata, is_model=True)
        tree.calls[run_id] = _Call(metadata)
        if tree.id != run_id or not _is_recording(tree.outer):
            self._begin(tree)

    def _end(self, run_id: UUID, error: BaseException | None, outputs: Any, inputs: Any = None) -> None:
        tree = self._leave(run_id)
        if tree is not None and tree.id == run_id:
            # A stream reads its input after its start.
            if tree.run is not None and inputs and not input_of(tree.inputs):
                tree.run.set_values(input=input_of(inputs))
            self._finish(tree, error, outputs)

    def _add(self, tree: _Tree, recorded: recording.Recorded) -> None:
        """Add a model call to its run; a call outside of chains to the run of the program around it."""
        if tree.run is not None:
            tree.run.add(recorded)
        elif tree.outer is not None and tree.outer._tracker is not None:
            tree.outer._tracker.add(tree.outer, recorded)

    def _begin(self, tree: _Tree) -> AdapterRun:
        """Return the run of a tree; begin or continue it at the first event that shows that the tree is a run."""
        with self._lock:
            if tree.run is not None:
                return tree.run
            waiting = self._take_waiting(tree)
            tree.run = waiting or AdapterRun(
                self._backend,
                agent_id=self._agent_of(tree),
                id=text(tree.metadata.get("xpander_task_id")),
                input=input_of(tree.inputs),
                user_id=text(tree.metadata.get("user_id")),
                conversation_id=tree.conversation_id,
                metadata=self._metadata,
                parent=tree.outer,
            )
        if waiting is None:
            tree.run.begin()
        return tree.run

    def _agent_of(self, tree: _Tree) -> str | None:
        agent_id = self._agent_id or text(tree.metadata.get("lc_agent_name"))
        if agent_id is None and not configured_agent(self._backend):
            agent_id = tree.name
        return agent_id

    def _finish(self, tree: _Tree, error: BaseException | None, outputs: Any) -> None:
        """Report the end of an outermost call, if it is a run."""
        run, seconds = tree.run, monotonic() - tree.started_at
        if run is None:
            return
        end = end_of(error)
        if tree.is_interrupted and end.is_success is not False:
            run.pause(seconds)
            self._keep_waiting(tree, run)
            return
        run.set_values(result=output_of(outputs))
        if end.is_success:
            run.end(seconds)
        else:
            run.end(seconds, is_success=False, error=end.error or (None if error is None else describe_error(error)))

    # Interrupted runs

    def _waiting_key(self, tree: _Tree) -> tuple[str, str] | None:
        if tree.conversation_id is None:
            return None
        return (resolve_configuration(self._backend.configuration).target, tree.conversation_id)

    def _keep_waiting(self, tree: _Tree, run: AdapterRun) -> None:
        key = self._waiting_key(tree)
        if key is not None:
            with _waiting_lock:
                _waiting[key] = run
                if len(_waiting) > MAX_RUNS:
                    _waiting.popitem(last=False)

    def _take_waiting(self, tree: _Tree) -> AdapterRun | None:
        """Return the interrupted run that a tree resumes. New input to its thread begins another run."""
        key = self._waiting_key(tree)
        if key is None:
            return None
        with _waiting_lock:
            run = _waiting.pop(key, None)
        return run if is_resumption(tree.inputs) else None


@lru_cache(maxsize=1)
def _default_backend() -> Backend:
    """Return the backend of handlers that the environment variable creates, one for each outermost call."""
    return Backend()


def _is_recording(run: Run | None) -> bool:
    return run is not None and run.is_recording and not run.has_ended


_handler: "ContextVar[BaseCallbackHandler | None]" = ContextVar("xpander_langchain_handler", default=None)
register_configure_hook(_handler, True, CallbackHandler, "XPANDER_LANGCHAIN")
