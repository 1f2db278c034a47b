"""Runs of agents in traces: which spans are a run, and what is known about it.

A run is the outermost span of an agent. Agents that it invokes are part of the run:

    POST /ask                          not part of a run
      invoke_agent weather             run 1: tools get_weather and search, tokens of both chat spans
        chat gpt-4o
        execute_tool get_weather
        invoke_agent researcher        part of run 1
          execute_tool search
          chat gpt-4o
      invoke_agent translator          run 2

In a trace without agents, the topmost span is the run if a span below it calls a model. Other traces have no run.

A trace may be incomplete: spans arrive in any order, children before their parents, in any number of requests. The rule
is a function of the set of spans, so it is applied again to all spans of the trace after each arrival:

    known spans                      runs
    chat (its parent is unknown)     a run in progress, under the id that the parent's run will have; provisional
    chat, invoke_agent               the finished run

`provisional` runs may turn out to be part of another run, whose span has not arrived.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from xpander_capture.spans.summary import SpanSummary
from xpander_capture.spans.tree import Node, link, unique
from xpander_capture.spans.usage import count_usage

_start_and_id, _end_and_id = attrgetter("start", "id"), attrgetter("end", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run of a trace. Times are microseconds since 1970 (UTC); None stands for an unknown value.

    Attributes:
        task_id: Id of the task: the one that the program has set, else trace id and span id.
        agent_id: Agent; None if no span names one.
        agent_fallback: Name of the run's topmost span, for a run without any other name.
        trace_id, span_id: Span of the run.
        is_provisional: Whether the run may be part of another run, whose span has not arrived.
        is_likely: Whether the missing span of the run is probably that of an agent: it has calls directly below it.
        reported_at: Latest time that a span of the run states; the start of a run that the program reports itself.
        metadata: The service, except of a run that the program reports itself: it may report metadata of its own.
        The other attributes are those of a report.
    """

    task_id: str
    agent_id: str | None
    agent_fallback: str | None
    trace_id: str
    span_id: str
    is_provisional: bool
    is_likely: bool
    reported_at: int | None
    input: str | None = None
    result: str | None = None
    error: str | None = None
    llm_response: dict[str, Any] | None = None
    tokens: dict[str, int] | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    is_success: bool | None = None
    duration: float | None = None
    used_tools: list[str] = field(default_factory=list)
    user_id: str | None = None
    conversation_id: str | None = None
    parent_task_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: int | None = None
    finished_at: int | None = None

    def report_fields(self) -> dict[str, Any]:
        """Return the fields of the run's report, without agent, id and time of report; times are microseconds."""
        return {
            "input": self.input,
            "result": self.result or self.error,
            "error": self.error,
            "llm_response": self.llm_response,
            "tokens": self.tokens,
            "is_success": self.is_success,
            "duration": self.duration,
            "used_tools": self.used_tools,
            "calls": self.calls or None,
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "parent_task_id": self.parent_task_id,
            "metadata": self.metadata or None,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
        }


@dataclass(frozen=True, slots=True)
class TraceRuns:
    """Runs of one trace, and the spans that belong to none of them."""

    runs: list[Run]
    ignored: list[SpanSummary]


@dataclass(slots=True)
class _Found:
    """Top of a run, and what is known about its place in the trace."""

    node: Node
    is_provisional: bool
    is_virtual: bool = False
    root: Node | None = None
    parent_task_id: str | None = None


def find_runs(spans: Iterable[SpanSummary], *, is_final: bool) -> TraceRuns:
    """Return the runs of one trace.

    Args:
        spans: Known spans of the trace in any order, also repeatedly.
        is_final: Whether no further spans are expected. A run whose own span is missing has ended then.
    """
    known = unique(spans)
    ids = {span.id for span in known}
    found: list[_Found] = []
    orphans: list[Node] = []
    plain_roots: list[Node] = []
    for top in link(known):
        is_orphan = bool(top.span.parent_id) and top.span.parent_id not in ids
        agents = _cut_runs(top, is_provisional=is_orphan)
        if agents:
            found += agents
        elif is_orphan:
            orphans.append(top)
        else:
            plain_roots.append(top)
    has_agents = bool(found)
    for root in plain_roots:
        if not has_agents and _calls_model(root):
            found.append(_Found(root, is_provisional=False, root=root))
    orphans = _attach(orphans, found)
    if not found and any(map(_calls_model, orphans)):
        found.append(_virtual(orphans, is_final=is_final))
    subtrees = [item.node.subtree() for item in found]
    runs = [_run(item, nodes) for item, nodes in zip(found, subtrees, strict=True)]
    covered = {node.span.id for nodes in subtrees for node in nodes}
    return TraceRuns(runs, [span for span in known if span.id not in covered])


def group_by_trace(spans: Iterable[SpanSummary]) -> dict[str, list[SpanSummary]]:
    """Return the spans of each trace, in the order of the first spans."""
    traces: dict[str, list[SpanSummary]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return traces


def explain(ignored: Sequence[SpanSummary]) -> str | None:
    """Return a sentence about spans that belong to no run: "18 spans of HTTP and database calls ignored"."""
    if not ignored:
        return None
    kinds = {span.label for span in ignored if span.kind == "other"} - {""}
    names = [name for name in ("HTTP", "database", "messaging", "RPC") if name in kinds]
    parts = [f"{' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)} calls"] if names else []
    if any(span.kind == "other" and not span.label for span in ignored):
        parts.append("other code" if parts else "code without attributes of an agent or a model")
    steps = sorted({span.label for span in ignored if span.kind != "other"})
    if steps:
        parts.append(f"steps outside of a run ({', '.join(steps[:5])})")
    number = len(ignored)
    return f"{number:,} span{'s' if number != 1 else ''} of {', and of '.join(parts)} ignored"


def _cut_runs(top: Node, *, is_provisional: bool) -> list[_Found]:
    """Return the outermost agents below a topmost span, and separate the runs that have ids of their own."""
    found: list[_Found] = []
    # Each entry: a node, and the id of the task in which it is.
    rest: list[tuple[Node, str | None]] = [(top, None)]
    while rest:
        node, task_id = rest.pop()
        is_own = node.span.task_id is not None and node.span.task_id != task_id
        if is_own or (task_id is None and node.span.kind == "agent"):
            provisional = is_provisional and node.span.task_id is None
            found.append(_Found(node, is_provisional=provisional, root=top, parent_task_id=task_id))
            task_id = node.span.task_id or derive_task_id(node.span.trace_id, node.span.id)
        own = [child for child in node.children if child.span.task_id in (None, task_id)]
        rest += [(child, task_id) for child in reversed(node.children)]
        if task_id is not None:
            node.children = own
    return sorted(found, key=lambda item: (item.node.span.start, item.node.span.id)) if found[1:] else found


def derive_task_id(trace_id: str, span_id: str) -> str:
    """Return the id of the task of a run whose program has set none."""
    return f"{trace_id}-{span_id}"


def _calls_model(top: Node) -> bool:
    return any(node.span.kind == "model" for node in top.subtree())


def _attach(orphans: list[Node], found: list[_Found]) -> list[Node]:
    """Put each tree without a parent below the only run that was in progress at its time; return the others."""
    rest = []
    for orphan in orphans:
        span = orphan.span
        fitting = [item for item in found if item.node.span.start <= span.start and span.end <= item.node.span.end]
        if span.kind != "other" and len(fitting) == 1:
            children = [*fitting[0].node.children, orphan]
            fitting[0].node.children = sorted(children, key=lambda node: (node.span.start, node.span.id))
        else:
            rest.append(orphan)
    return rest


def _virtual(orphans: list[Node], *, is_final: bool) -> _Found:
    """Return one run for all spans of a trace whose topmost span is missing."""
    trees = [orphan for orphan in orphans if any(node.span.kind != "other" for node in orphan.subtree())]
    first = trees[0].span
    last = max((tree.span for tree in trees), key=lambda span: (span.end, span.id))
    missing = SpanSummary(
        trace_id=first.trace_id,
        id=first.parent_id,
        start=first.start,
        end=last.end if is_final else 0,
        kind="step",
        is_error=last.is_error and last.kind == "model",
        error=last.error if last.kind == "model" else None,
        service=next((tree.span.service for tree in trees if tree.span.service), None),
    )
    return _Found(Node(missing, trees), is_provisional=True, is_virtual=True)


def _run(found: _Found, nodes: list[Node]) -> Run:
    """Return a run.

    Args:
        found: The run's topmost span, and its place in the trace.
        nodes: The spans of the run, the topmost one first.
    """
    top = found.node
    span = top.span
    spans = [node.span for node in nodes]
    tokens, described_calls = count_usage(nodes)
    times = [time for below in spans for time in (below.start, below.end) if time]
    by_start = sorted(spans, key=_start_and_id)
    ordered = [below for below in by_start if below is not span]
    return Run(
        task_id=span.task_id or derive_task_id(span.trace_id, span.id),
        agent_id=_agent(span, ordered),
        agent_fallback=(span if found.root is None else found.root.span).name,
        trace_id=span.trace_id,
        span_id=span.id,
        is_provisional=found.is_provisional,
        is_likely=found.is_virtual and any(child.span.has_call_semantics for child in top.children),
        reported_at=_reported_at(span, times),
        input=_first(below.input for below in [span, *ordered]),
        tokens=tokens,
        calls=described_calls,
        used_tools=[below.tool for below in by_start if below.tool is not None],
        user_id=_first(below.user_id for below in [span, *ordered]),
        conversation_id=_first(below.conversation_id for below in [span, *ordered]),
        parent_task_id=found.parent_task_id,
        metadata={"service": span.service} if span.service is not None and span.task_id is None else {},
        created_at=(span.start or span.end) // 1_000 or None,
        # Later spans may change what a run in progress seems to be: its result, for example.
        **(_end(top, ordered) if span.end > 0 else {}),
    )


def _end(top: Node, ordered: list[SpanSummary]) -> dict[str, Any]:
    """Return what is known about a run that has ended."""
    span = top.span
    calls = [below for below in (span, *ordered) if below.kind == "model"]
    latest_calls = sorted(calls, key=_end_and_id, reverse=True)
    failed = _failed_span(top)
    is_backwards = span.end < span.start  # the clocks of two machines differ
    return {
        "result": _result(span, ordered, latest_calls),
        "error": _error(span, failed, latest_calls),
        "llm_response": _response(span, latest_calls),
        "is_success": failed is None,
        "duration": None if is_backwards or not span.start else (span.end - span.start) / 1e9,
        "finished_at": max(span.start, span.end) // 1_000,
    }


def _reported_at(span: SpanSummary, times: list[int]) -> int | None:
    """Return the time of report: the latest time of the spans, so that later spans replace what earlier ones say.

    A run that the program reports itself has the time of its start instead. The program's values then replace those of
    the spans, which fill only what the program does not report.
    """
    time = span.start if span.task_id is not None and span.start else max(times, default=0)
    return time // 1_000 or None


def _agent(span: SpanSummary, below: list[SpanSummary]) -> str | None:
    """Return the agent: as the run's span names it, else the first named agent below, the workflow or the service."""
    if span.agent is not None:
        return span.agent
    agents = [other.agent for other in below if other.kind == "agent" and other.agent]
    named = agents or [other.agent for other in below if other.agent]
    return named[0] if named else span.workflow or span.service


def _failed_span(top: Node) -> SpanSummary | None:
    """Return the span that says that the run has failed, or None.

    Some frameworks mark only the agent below the run's span. Other failures below do not count: tools and calls fail,
    and agents go on.
    """
    if top.span.is_error:
        return top.span
    agents: list[Node] = []
    rest = list(top.children)
    while rest:
        node = rest.pop()
        if node.span.kind == "agent":
            agents.append(node)
        else:
            rest += node.children
    return _failed_span(agents[0]) if len(agents) == 1 else None


def _result(span: SpanSummary, ordered: list[SpanSummary], latest_calls: list[SpanSummary]) -> str | None:
    agents = sorted((below for below in ordered if below.kind == "agent"), key=_end_and_id, reverse=True)
    steps = [below for below in ordered if below.kind == "step" and below.end >= span.end]
    return _first(below.output for below in [span, *steps, *agents, *latest_calls])


def _error(span: SpanSummary, failed: SpanSummary | None, latest_calls: list[SpanSummary]) -> str | None:
    if failed is None:
        return None
    error = failed.error or span.error
    cause = next((call.error for call in latest_calls if call.is_error and call.has_exception and call.error), None)
    if error is None or failed.has_exception or cause is None or cause in error or error in cause:
        return error or cause
    return f"{error}: {cause}"


def _response(span: SpanSummary, latest_calls: list[SpanSummary]) -> dict[str, Any] | None:
    """Return the facts about the last model call that has any, as `llm_response`."""
    for call in [*latest_calls, span]:
        if call.response:
            return {**call.response, "trace_id": span.trace_id, "span_id": call.id}
    return None


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text), None)
