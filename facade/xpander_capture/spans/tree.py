"""Spans of one trace as trees of parents and children."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from xpander_capture.spans.summary import SpanSummary, to_json


@dataclass(eq=False, slots=True)
class Node:
    """Span with the spans below it, in the order of their starts."""

    span: SpanSummary
    children: "list[Node]" = field(default_factory=list)

    def subtree(self) -> "list[Node]":
        """Return the node and all nodes below it, a parent before its children."""
        nodes: list[Node] = []
        rest: list[Node] = [self]
        # A loop: a trace may be deeper than Python's recursion limit.
        while rest:
            node = rest.pop()
            nodes.append(node)
            rest.extend(reversed(node.children))
        return nodes


def unique(spans: Iterable[SpanSummary]) -> list[SpanSummary]:
    """Return the spans without repetitions, in the order of their starts, whatever the order of `spans` is.

    Of spans with the same id, the one that ended last counts: the start of a span may have been told before its end.
    """
    by_id: dict[str, SpanSummary] = {}
    for span in spans:
        other = by_id.get(span.id)
        if other is None or supersedes(span, other):
            by_id[span.id] = span
    return sorted(by_id.values(), key=attrgetter("start", "id"))


def supersedes(span: SpanSummary, other: SpanSummary) -> bool:
    """Return whether `span` replaces another summary of the same span."""
    if span.end != other.end:
        return span.end > other.end
    return span != other and to_json(span) > to_json(other)


def link(spans: list[SpanSummary]) -> list[Node]:
    """Return the topmost spans with all others below them.

    The parent of a topmost span is empty or unknown. Spans that are their own ancestors are below no topmost span.
    """
    nodes = {span.id: Node(span) for span in spans}
    tops = []
    for node in nodes.values():
        parent = nodes.get(node.span.parent_id)
        if parent is None or parent is node:
            tops.append(node)
        else:
            parent.children.append(node)
    return tops
