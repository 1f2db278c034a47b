"""Attributes of a span that the conventions know, found by the names of all its attributes.

The conventions have about 150 attributes, and a span has a few of them. Which ones depends on the names only, and most
spans of a program have the names of an earlier one. So the names are looked up once, and the result is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from xpander_capture.spans.conventions import CONVENTIONS, OTHER_KINDS, USAGE_KINDS, Path, merge
from xpander_capture.spans.span import Kind

_MAX_NAMES, _MAX_CHARACTERS = 64, 4_096
_MAX_ENTRIES = 512
"""With the two limits above, the kept names have at most 2 MB."""

_KINDS = [(name, values) for convention in CONVENTIONS for name, values in convention.kinds.items()]
_MARKS = [mark for convention in CONVENTIONS for mark in convention.marks.items()]
_HINTS = [hint for convention in CONVENTIONS for hint in convention.hints.items()]
_PREFIXES = tuple(dict.fromkeys(prefix for convention in CONVENTIONS for prefix in convention.prefixes))
_AGENT = merge(lambda convention: convention.agent)
_WORKFLOW = merge(lambda convention: convention.workflow)
_TOOL = merge(lambda convention: convention.tool)
_PROVIDER = merge(lambda convention: convention.provider)
_MODEL = merge(lambda convention: convention.model)
_RESPONSE_ID = merge(lambda convention: convention.response_id)
_COST = merge(lambda convention: convention.cost)
_USER = merge(lambda convention: convention.user)
_CONVERSATION = merge(lambda convention: convention.conversation)
_INPUTS = merge(lambda convention: convention.inputs)
_OUTPUTS = merge(lambda convention: convention.outputs)
_OUTPUT_MESSAGES = tuple(path for path in _OUTPUTS if path.attribute == "gen_ai.output.messages" or path.is_indexed)
_USAGE_PREFIXES = ("gen_ai.usage.", "llm.token_count.")
# OpenLLMetry writes the id of each run as the id of the agent.
_RUN_IDS_OF_AGENTS, _AGENT_ID, _AGENT_NAME = "traceloop.span.kind", "gen_ai.agent.id", Path("gen_ai.agent.name")
_AGENT_OF_OPENLLMETRY = (_AGENT_NAME, *(path for path in _AGENT if path.attribute != _AGENT_ID))


def _usage_paths(kind: str) -> tuple[Path, ...]:
    return merge(lambda convention: convention.usage.get(kind, ()))


_USAGE = {kind: _usage_paths(kind) for kind in USAGE_KINDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNames:
    """Attributes that are present, by the facts that they state, each in the order of the conventions.

    Attributes:
        marked_kind: Kind of the span, whatever its attributes say; None if they decide.
        kinds: Attributes whose values decide, with the kind for each value.
        fallback_kind: Kind of the span if they say nothing.
        other_label: Name of another kind of span.
        usage: Attributes with counts of tokens, by kind of tokens.
        raw_usage: Attributes of counts of tokens, with their names in a response.
        The other attributes are those of `Convention`.
    """

    marked_kind: Kind | None
    kinds: tuple[tuple[str, Mapping[str, Kind]], ...]
    fallback_kind: Kind
    other_label: str
    agent: tuple[Path, ...]
    workflow: tuple[Path, ...]
    tool: tuple[Path, ...]
    provider: tuple[Path, ...]
    model: tuple[Path, ...]
    response_id: tuple[Path, ...]
    cost: tuple[Path, ...]
    user: tuple[Path, ...]
    conversation: tuple[Path, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    output_messages: tuple[Path, ...]
    usage: tuple[tuple[str, tuple[Path, ...]], ...]
    raw_usage: tuple[tuple[str, str], ...]


def find_known_names(attributes: Mapping[str, Any]) -> KnownNames:
    """Return the attributes of a span that the conventions know."""
    names = tuple(attributes)
    if len(names) > _MAX_NAMES or sum(map(len, names)) > _MAX_CHARACTERS:
        return _find(names)
    return _find_and_keep(names)


def _find(names: tuple[str, ...]) -> KnownNames:
    def present(paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(
            path for path in paths if path.attribute in known or (path.is_indexed and _has_prefix(path, names))
        )

    known = frozenset(names)
    marked: Kind | None = next((kind for marks, kind in _MARKS if known.issuperset(marks)), None)
    fallback: Kind = "step" if any(name.startswith(_PREFIXES) for name in names) else "other"
    hinted: Kind | None = next((kind for hints, kind in _HINTS if known.issuperset(hints)), None)
    usage = ((kind, present(paths)) for kind, paths in _USAGE.items())
    return KnownNames(
        marked_kind=marked,
        kinds=tuple((name, values) for name, values in _KINDS if name in known),
        fallback_kind=hinted or fallback,
        other_label=next(
            (label for label, prefixes in OTHER_KINDS.items() if any(name.startswith(prefixes) for name in names)), ""
        ),
        agent=present(_AGENT_OF_OPENLLMETRY if _RUN_IDS_OF_AGENTS in known else _AGENT),
        workflow=present(_WORKFLOW),
        tool=present(_TOOL),
        provider=present(_PROVIDER),
        model=present(_MODEL),
        response_id=present(_RESPONSE_ID),
        cost=present(_COST),
        user=present(_USER),
        conversation=present(_CONVERSATION),
        inputs=present(_INPUTS),
        outputs=present(_OUTPUTS),
        output_messages=present(_OUTPUT_MESSAGES),
        usage=tuple((kind, paths) for kind, paths in usage if paths),
        raw_usage=tuple(
            (name, name.removeprefix(_USAGE_PREFIXES[0]).removeprefix(_USAGE_PREFIXES[1]))
            for name in names
            if name.startswith(_USAGE_PREFIXES)
        ),
    )


_find_and_keep = lru_cache(_MAX_ENTRIES)(_find)


def _has_prefix(path: Path, names: tuple[str, ...]) -> bool:
    prefix = path.attribute.partition("*")[0]
    return any(name.startswith(prefix) for name in names)
