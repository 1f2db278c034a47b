"""Tokens and model calls of a run, each counted once.

A call may appear more than once in a trace:

    invoke_agent                     61 + 61 tokens: the sum of the calls below
      chat (the framework)           61
        chat (the client library)    61: the same call, seen by a second instrumentation
      chat (the framework)           61

A span with tokens covers all spans below it: agents state the sum of their calls. If it leaves out the cached tokens,
those of the spans below complete it, provided that both count the same prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from xpander_capture.spans.conventions import CACHE_READ, CACHE_WRITE, COMPLETION, PROMPT
from xpander_capture.spans.summary import SpanSummary
from xpander_capture.spans.tree import Node
from xpander_capture.spans.values import MAX_COUNT

TASK_KINDS = (PROMPT, COMPLETION, CACHE_READ, CACHE_WRITE)
"""Kinds of tokens that a task has."""
MAX_CALLS = 1_000
"""Calls of one report, at most."""


_start_and_id = attrgetter("start", "id")


@dataclass(slots=True)
class _Sum:
    usage: dict[str, int] = field(default_factory=dict)
    calls: list[SpanSummary] = field(default_factory=list)


def count_usage(nodes: list[Node]) -> tuple[dict[str, int] | None, list[dict[str, Any]]]:
    """Return the tokens of a run by kind (None if unknown), and its model calls in the form of a report.

    Args:
        nodes: The spans of the run, a parent before its children.
    """
    top = nodes[0]
    repeated = _repeated_calls(nodes)
    sums: dict[int, _Sum] = {}
    for node in reversed(nodes):  # children before their parents
        below = _Sum()
        for child in node.children:
            part = sums.pop(id(child), None)
            if part is None:
                continue
            below.calls += part.calls
            for kind, count in part.usage.items():
                below.usage[kind] = below.usage.get(kind, 0) + count
        combined = below if node.span.id in repeated else _combine(node.span, below)
        if combined.calls or combined.usage:
            sums[id(node)] = combined
    result = sums.get(id(top), _Sum())
    calls = sorted(result.calls, key=_start_and_id)
    usage = {kind: min(result.usage.get(kind, 0), MAX_COUNT) for kind in TASK_KINDS} if result.usage else None
    if not calls and top.span.model is not None and usage:
        # A framework that has no spans for its calls, but states their sum and the model.
        calls = [top.span]
    return usage, _describe(calls[:MAX_CALLS])


def _combine(span: SpanSummary, below: _Sum) -> _Sum:
    """Return the tokens and calls of a span with those below it; `below` may be changed."""
    own = dict(span.usage)
    if not own:
        if span.kind in ("model", "embedding") and not below.calls:
            below.calls = [span]
        return below
    if own.get(PROMPT) == below.usage.get(PROMPT):
        own = {**below.usage, **own}
    if span.kind in ("model", "embedding"):
        # The calls below are the same call; they may know what this span does not.
        return _Sum(own, [_completed(span, below.calls)])
    return _Sum(own, below.calls)


def _completed(span: SpanSummary, others: list[SpanSummary]) -> SpanSummary:
    for other in others:
        span = span._replace(
            provider=span.provider or other.provider,
            model=span.model or other.model,
            response_id=span.response_id or other.response_id,
            cost=other.cost if span.cost is None else span.cost,
            usage={**other.usage, **span.usage},
            error=span.error or other.error,
        )
    return span


def _repeated_calls(nodes: list[Node]) -> set[str]:
    """Return the ids of the spans that repeat a call that another instrumentation has told elsewhere in the trace.

    Such spans have the same response id at the same time. Calls one after the other with the same id are different
    ones: a cache or a test may return the same response again.
    """
    ids = [node.span.response_id for node in nodes if node.span.kind == "model" and node.span.response_id is not None]
    if len(ids) == len(set(ids)):
        return set()
    repeated = set()
    calls: dict[str, list[SpanSummary]] = {}
    ancestors = _call_ancestors(nodes)
    for node in nodes:
        span = node.span
        if span.kind != "model" or span.response_id is None:
            continue
        others = calls.setdefault(span.response_id, [])
        if any(_overlap(span, other) and other.id not in ancestors[span.id] for other in others):
            repeated.add(span.id)
        else:
            others.append(span)
    return repeated


def _call_ancestors(nodes: list[Node]) -> dict[str, frozenset[str]]:
    """Return the ids of the model calls above each span."""
    above: dict[str, frozenset[str]] = {nodes[0].span.id: frozenset()}
    for node in nodes:
        ids = above[node.span.id]
        if node.span.kind == "model":
            ids |= {node.span.id}
        for child in node.children:
            above[child.span.id] = ids
    return above


def _overlap(span: SpanSummary, other: SpanSummary) -> bool:
    return span.start < other.end and other.start < span.end


def _describe(calls: list[SpanSummary]) -> list[dict[str, Any]]:
    described = []
    ids: set[str] = set()
    for span in calls:
        # A response id says that two entries are one call, which calls one after the other are not.
        response_id = None if span.response_id in ids else span.response_id
        ids |= {span.response_id} if span.response_id else set()
        call: dict[str, Any] = {
            "provider": span.provider,
            "model": span.model,
            "response_id": response_id,
            "tokens": dict(span.usage) or None,
            "prompt_includes_cache": _includes_cache(span.usage),
            "duration": (span.end - span.start) / 1e9 if 0 < span.start <= span.end else None,
            "error": span.error if span.is_error else None,
            "cost": span.cost,
        }
        described.append({name: value for name, value in call.items() if value is not None})
    return [call for call in described if call]


def _includes_cache(usage: Mapping[str, int]) -> bool | None:
    """Return whether the prompt's tokens include the cached ones, as the conventions say: unless these are more."""
    cached = usage.get(CACHE_READ, 0) + usage.get(CACHE_WRITE, 0)
    return usage.get(PROMPT, 0) >= cached if cached else None
