"""Event listener that records the runs of CrewAI.

Example:
    >>> from xpander_sdk.integrations.crewai import EventListener
    >>> listener = EventListener()  # once in a program
"""
# pyright: reportMissingImports=false

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from crewai.events import BaseEventListener
from crewai.events.base_events import BaseEvent
from crewai.events.event_context import SCOPE_ENDING_EVENTS, SCOPE_STARTING_EVENTS

from xpander_capture.responses.reading import child, count, items, text
from xpander_capture.results.reading import provider_name, summary_of
from xpander_sdk.backend import Backend
from xpander_sdk.integrations.adapter_run import AdapterRun, add_late, configured_agent, guarded
from xpander_sdk.runs.current import current
from xpander_sdk.runs.recording import Recorded
from xpander_sdk.runs.run import Run

try:
    from crewai.events.event_bus import is_replaying as _is_replaying
except ImportError:  # an older CrewAI, which replays no events

    def _is_replaying() -> bool:
        return False


__all__ = ["EventListener"]

MAX_SCOPES = 10_000
"""Open scopes (crews, tasks, agents, calls) that are in memory, at most. Of more, the oldest one is left out."""
_MAX_ENDED = 1_000  # ended scopes that are remembered, for events that arrive late
_MAX_EARLY = 1_000  # events that wait for the event of the scope around them
_MAX_CALLS = 1_000  # calls of a run that are remembered, as CrewAI reports some failures twice
_MAX_AGENT = 255  # characters of an agent's name

_AGENTS = ("crew_kickoff_started", "lite_agent_execution_started", "agent_execution_started")
_ROOTS = (*_AGENTS, "flow_started")
_ENDS = {  # whether the run has succeeded; None if it waits
    "crew_kickoff_completed": True,
    "crew_kickoff_failed": False,
    "lite_agent_execution_completed": True,
    "lite_agent_execution_error": False,
    "agent_execution_completed": True,
    "agent_execution_error": False,
    "flow_finished": True,
    "flow_failed": False,
    "flow_paused": None,
}
_DEFAULT_CREW = "crew"  # name that CrewAI gives to a crew without one
_KINDS = (  # counts in CrewAI's own form of usage, whose prompt includes the cached tokens
    ("prompt_tokens", ("prompt_tokens", "input_tokens", "prompt_token_count")),
    ("completion_tokens", ("completion_tokens", "output_tokens", "candidates_token_count")),
    ("cache_read_tokens", ("cached_prompt_tokens",)),
    ("cache_write_tokens", ("cache_creation_tokens",)),
    ("reasoning_tokens", ("reasoning_tokens",)),
)


class _Tree:
    """Outermost crew, agent or flow, with all scopes below.

    Attributes:
        run: The run; None before it is known to be one.
        started_at: Time of the first event.
        outer: Run of the program around it.
        calls: Keys of the model calls that have ended.
        last_event: Number of the event that has ended the run; None before.
    """

    def __init__(self, source: Any, event: Any) -> None:
        self.id: str = event.event_id
        self.source = source
        self.start: Any = event
        self.started_at: datetime = event.timestamp
        self.outer: Run | None = current.get()  # handlers run in a copy of the context that the event comes from
        self.run: AdapterRun | None = None
        self.calls: OrderedDict[tuple[str | None, ...], None] = OrderedDict()
        self.last_event: int | None = None
        self.lock = threading.RLock()

    def is_new_call(self, *key: str | None) -> bool:
        """Return whether a model call was not added before."""
        if key in self.calls:
            return False
        self.calls[key] = None
        if len(self.calls) > _MAX_CALLS:
            self.calls.popitem(last=False)
        return True


class _Scope:
    """Crew, task, agent or call that has begun.

    Attributes:
        tree: The tree that it belongs to; None outside of crews, agents and flows.
        started_at: Time of its first event.
    """

    __slots__ = ("started_at", "tree")

    def __init__(self, tree: _Tree | None, started_at: datetime) -> None:
        self.tree = tree
        self.started_at = started_at


class EventListener(BaseEventListener):  # type: ignore[misc]  # its package is not installed here
    """Event listener that records each outermost kickoff of a crew or agent, and each flow with agents, as one run.

    Create one in a program: it registers itself with CrewAI's event bus, and serves all threads and event loops. It
    records the input, the result, tools, model calls with tokens, the failure and the duration. The agents and tasks of
    a crew, and the crews of a flow, belong to the run.

    The run has the user and the conversation of the run of the program around it, which is its parent.

    Args:
        backend: Backend to report to. Default: `Backend()`, which reads the environment.
        agent_id: The agent of all runs. Default: the name of the crew or flow, or the role of the only agent, else the
            agent of the configuration or of XPANDER_AGENT_ID, else "crew".
        metadata: Facts that are added to all runs: at most 64 pairs of texts. Default: none.

    Example:
        >>> from xpander_sdk import Backend
        >>> listener = EventListener(Backend(), agent_id="desk")
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
        self._scopes: OrderedDict[str, _Scope] = OrderedDict()
        self._ended: deque[str] = deque()
        self._early: OrderedDict[str, list[tuple[Any, Any]]] = OrderedDict()
        self._early_count = 0
        self._lock = threading.RLock()
        super().__init__()

    def setup_listeners(self, crewai_event_bus: Any) -> None:
        """Register with the event bus, for all events that begin or end a scope.

        Args:
            crewai_event_bus: The event bus of CrewAI.
        """
        kinds = SCOPE_STARTING_EVENTS | SCOPE_ENDING_EVENTS
        for event_class in set(_subclasses(BaseEvent)):
            if event_class.model_fields["type"].default in kinds:
                crewai_event_bus.on(event_class)(self._on_event)

    @guarded
    def _on_event(self, source: Any, event: Any) -> None:
        """Handle one event. Handlers run in threads of their own, so events may arrive in another order."""
        if not _is_replaying():
            self._handle(source, event)

    def _handle(self, source: Any, event: Any) -> None:
        is_start = event.type in SCOPE_STARTING_EVENTS
        around = event.parent_event_id if is_start else event.started_event_id or event.parent_event_id
        with self._lock:
            scope = None if around is None else self._scopes.get(around)
            if scope is None and around is not None and not _is_orphan(event):
                self._keep_early(around, source, event)
                return
            tree = None if scope is None else scope.tree
            early: list[tuple[Any, Any]] = []
            if is_start:
                if tree is None and event.type in _ROOTS and not _is_internal(source):
                    tree = _Tree(source, event)
                scope = self._enter(event, tree)
                early = self._early.pop(event.event_id, [])
                self._early_count -= len(early)
            elif scope is not None and event.started_event_id is not None:
                self._leave(event.started_event_id)
        if is_start:
            self._on_start(event, tree)
        elif event.type in ("llm_call_completed", "llm_call_failed"):
            self._on_call(source, event, tree, None if scope is None else scope.started_at)
        elif event.type in _ENDS:
            self._on_end(source, event, tree)
        for each in early:
            self._handle(*each)

    def _enter(self, event: Any, tree: _Tree | None) -> _Scope:
        scope = self._scopes[event.event_id] = _Scope(tree, event.timestamp)
        if len(self._scopes) > MAX_SCOPES:
            self._scopes.popitem(last=False)
        return scope

    def _leave(self, event_id: str) -> None:
        """Forget a scope, but not at once: the last events within it may arrive later."""
        self._ended.append(event_id)
        if len(self._ended) > _MAX_ENDED:
            self._scopes.pop(self._ended.popleft(), None)

    def _keep_early(self, around: str, source: Any, event: Any) -> None:
        """Keep an event that has arrived before that of the scope around it."""
        self._early.setdefault(around, []).append((source, event))
        self._early_count += 1
        while self._early_count > _MAX_EARLY:
            self._early_count -= len(self._early.popitem(last=False)[1])

    # Events

    def _on_start(self, event: Any, tree: _Tree | None) -> None:
        if tree is None:
            return
        name = text(child(event, "tool_name")) if event.type == "tool_usage_started" else None
        with tree.lock:
            if tree.run is None and (name is not None or event.type in _AGENTS):
                tree.run = self._begin(tree)
            if tree.run is None or name is None:
                return
            if tree.last_event is None:
                tree.run.add_tool(name)
            else:
                tree.run.add_late(Recorded(tool_names=(name,)))

    def _on_call(self, source: Any, event: Any, tree: _Tree | None, started_at: datetime | None) -> None:
        """Add a model call to its run; a call outside of crews, agents and flows to the run of the program."""
        call_id, response_id = text(child(event, "call_id")), text(child(event, "response_id"))
        recorded = Recorded(calls=(_read_call(source, event, started_at),))
        if tree is None:
            run = current.get()
            if run is None or run._tracker is None:
                return
            if run.has_ended:
                add_late(run, recorded, may_block=False)
            else:
                run._tracker.add(run, recorded)
            return
        with tree.lock:
            if not tree.is_new_call(event.type, call_id, response_id):
                return
            run_of_tree = tree.run = tree.run or self._begin(tree)
            if tree.last_event is None:
                run_of_tree.add(recorded)
            else:
                run_of_tree.add_late(recorded)

    def _on_end(self, source: Any, event: Any, tree: _Tree | None) -> None:
        """End the run of a tree, or record a kickoff that has failed before its start."""
        is_success = _ENDS[event.type]
        number = event.emission_sequence or 0
        # A kickoff that fails before its start names the start of an older one, but has a number of its own, and may
        # arrive before the end of the older one.
        last_event = None if tree is None else tree.last_event
        if tree is not None and last_event is None and event.type == "crew_kickoff_failed":
            last_event = tree.start.emission_sequence
        if tree is None or (last_event is not None and number <= last_event):
            if event.type == "crew_kickoff_failed" and event.parent_event_id is None:
                self._end(_Tree(source, event), event)
            return
        if tree.id != event.started_event_id:
            return
        with tree.lock:
            if tree.last_event is not None:
                if is_success is not False:
                    return
                if tree.run is not None:
                    tree.run.reopen()  # a callback after the kickoff has failed
            self._end(tree, event)
            tree.last_event = number

    def _end(self, tree: _Tree, event: Any) -> None:
        is_success = _ENDS[event.type]
        if tree.run is None:
            if event.type in ("flow_finished", "flow_failed", "flow_paused"):
                return  # a flow without agents and calls
            tree.run = self._begin(tree)
        seconds = max((event.timestamp - tree.started_at).total_seconds(), 0.0)
        if is_success is None:
            tree.run.pause(seconds)
        elif is_success:
            tree.run.set_values(result=_output(event))
            tree.run.end(seconds)
        else:
            error = child(event, "error")
            tree.run.end(seconds, is_success=False, error=(str(error) if error else "") or "the kickoff failed")

    def _begin(self, tree: _Tree) -> AdapterRun:
        name = self._agent_id or _name(tree.source, tree.start)
        if name is None and not configured_agent(self._backend):
            name = _DEFAULT_CREW
        run = AdapterRun(
            self._backend,
            may_block=False,  # the threads of CrewAI's handlers are shared
            agent_id=name,
            input=_input(tree.source, tree.start),
            metadata=self._metadata,
            parent=tree.outer,
        )
        run.begin()
        return run


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield all classes of events, which CrewAI lists incompletely."""
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _is_orphan(event: Any) -> bool:
    """Return whether an event needs no scope: a kickoff that has failed before its start names an older one."""
    return event.type == "crew_kickoff_failed" and event.parent_event_id is None


def _is_internal(source: Any) -> bool:
    """Return whether a flow is CrewAI's own: the loop of an agent, or the storage of memories."""
    kind = type(source)
    return any(base.__name__ == "Flow" for base in kind.__mro__) and kind.__module__.partition(".")[0] == "crewai"


def _name(source: Any, event: Any) -> str | None:
    """Return the name of a crew or flow, or the role of its only agent."""
    if event.type == "flow_started":
        name = text(child(event, "flow_name"))
    elif event.type.startswith("crew"):
        name = text(child(event, "crew_name")) or text(child(source, "name"))
        agents = items(child(source, "agents"))
        if name in (None, _DEFAULT_CREW):
            name = text(child(agents[0], "role")) if len(agents) == 1 else None
    else:
        name = text(child(child(event, "agent_info"), "role")) or text(child(source, "role"))
    return " ".join(name.split())[:_MAX_AGENT] or None if name else None


def _input(source: Any, event: Any) -> Any:
    """Return the request of a run: the inputs, the messages, or the descriptions of the tasks."""
    if event.type == "agent_execution_started":
        return child(event, "task_prompt")
    if event.type == "lite_agent_execution_started":
        return child(event, "messages")
    inputs = child(event, "inputs")
    if inputs:
        return inputs
    parts = [part for task in items(child(source, "tasks")) if (part := text(child(task, "description")))]
    return "\n\n".join(parts) or None


def _output(event: Any) -> Any:
    """Return the answer of a run."""
    if event.type == "flow_finished":
        result = child(event, "result")
        return text(child(result, "raw")) or result
    output = child(event, "output")
    return text(child(output, "raw")) or output


def _read_call(source: Any, event: Any, started_at: datetime | None) -> dict[str, Any]:
    provider = provider_name(text(child(source, "provider")))
    error = child(event, "error") if event.type == "llm_call_failed" else None
    call: dict[str, Any] = {
        "provider": provider,
        "model": text(child(event, "model")) or text(child(source, "model")),
        "response_id": text(child(event, "response_id")),
        "error": None if error is None else str(error) or "the call failed",
        **_tokens(child(event, "usage"), provider),
    }
    if started_at is not None:
        call["duration"] = max((event.timestamp - started_at).total_seconds(), 0.0)
    return {name: value for name, value in call.items() if value is not None}


def _tokens(usage: Any, provider: str | None) -> dict[str, Any]:
    """Return the counts of a call."""
    if child(usage, "cached_prompt_tokens") is not None:
        counts = {
            kind: number
            for kind, names in _KINDS
            if (number := next((found for name in names if (found := count(child(usage, name)))), None))
        }
        return {"tokens": counts, "prompt_includes_cache": True} if counts else {}
    summary = summary_of(usage, provider=provider)  # the provider's own form
    if summary is None:
        return {}
    return {"tokens": summary.tokens, "prompt_includes_cache": summary.is_cache_included}
