"""Limit of the names in metrics: of tools, models and agents.

A caller chooses these names, so their number has no natural limit, and a document of metrics with a hundred thousand
names would take seconds to read and to write. Therefore the metrics of an organization count at most `MAX_NAMES` names
of each kind separately in each period of 32 days. All further names are summed up, in measures that have the prefix
"other_" and no label:

    registry            {"tool": ["search", "fetch"]}    and it is full
    amounts             {"completed tool_calls search": 4, "completed tool_calls crawl": 2, "completed tool_calls x": 1}
    registry.fold(...)  {"completed tool_calls search": 4, "completed other_tool_calls": 3}

The first names of a period are admitted, and a registry never forgets a name. A name that was rejected once is rejected
until the period ends, because a registry only becomes fuller. So each name of a period is always counted in the same
place. Changes of amounts may therefore be folded one by one, in any order, negative ones included: the sums are exact,
and a rebuild of the metrics with the same registry gives the same amounts. Rejected names are not stored; a sketch
estimates how many distinct ones there were.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from xpander_server.domain.distinct_names import DistinctNames
from xpander_server.domain.metrics import KIND_OF_MEASURE, OTHER, Amounts, parse_key

MAX_NAMES = 1_000
"""Largest number of names of one kind in a registry."""
MAX_CHARACTERS = 32_000
"""Largest number of characters of all names of one kind in a registry."""
_RANKING_MEASURES = {"tool": "tool_calls", "model": "model_runs", "agent": "agent_runs"}


class NameRegistry:
    """Names that the metrics of an organization count separately in one period.

    Attributes:
        is_stored: Whether the store has this registry, perhaps with fewer names.
        is_changed: Whether it differs from the one in the store.
    """

    def __init__(self) -> None:
        self.is_stored = False
        self.is_changed = False
        self._names: dict[str, dict[str, None]] = {kind: {} for kind in _RANKING_MEASURES}
        self._characters = dict.fromkeys(_RANKING_MEASURES, 0)
        # Kinds with a rejected name. From then on, a shorter name that would still fit is rejected too: rejected names
        # are not stored, so it may be one of them.
        self._full_kinds: set[str] = set()
        self._rejected: dict[str, DistinctNames] = {}
        # Keys of amounts whose names are admitted, so that `fold` parses each key once.
        self._admitted_keys: set[str] = set()

    @property
    def is_full(self) -> bool:
        """True after a name was rejected."""
        return bool(self._full_kinds)

    @classmethod
    def from_amounts(cls, amounts: Mapping[str, int]) -> "NameRegistry":
        """Return a registry that admits the names in `amounts`, the most used ones first."""
        registry = cls()
        for kind, names in _rank_names(amounts).items():
            for name in names:
                registry.admit(kind, name)
        return registry

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "NameRegistry":
        """Return the registry that `to_document` has described."""
        registry = cls()
        registry.is_stored = True
        for kind in _RANKING_MEASURES:
            names = document.get(kind, ())
            registry._names[kind] = dict.fromkeys(names)
            registry._characters[kind] = sum(map(len, names))
        registry._full_kinds.update(document.get("full", ()))
        registry._rejected = {kind: DistinctNames(text) for kind, text in document.get("rejected", {}).items()}
        return registry

    def to_document(self) -> dict[str, Any]:
        """Return the admitted names by kind, the kinds that are full, and the sketches of the rejected names."""
        document: dict[str, Any] = {kind: [*names] for kind, names in self._names.items()}
        rejected = {kind: names.to_text() for kind, names in sorted(self._rejected.items())}
        return {**document, "full": sorted(self._full_kinds), "rejected": rejected}

    def admit(self, kind: str, name: str) -> bool:
        """Return whether a name is counted separately; admit a new name if the registry has space."""
        names = self._names[kind]
        if name in names:
            return True
        characters = self._characters[kind] + len(name)
        if kind in self._full_kinds or len(names) >= MAX_NAMES or characters > MAX_CHARACTERS:
            self._reject(kind, name)
            return False
        self.is_changed = True
        names[name] = None
        self._characters[kind] = characters
        return True

    def _reject(self, kind: str, name: str) -> None:
        if kind not in self._full_kinds:
            self._full_kinds.add(kind)
            self._rejected[kind] = DistinctNames()
            self.is_changed = True
        # Another version of this program may have stored a full registry without a sketch.
        if self._rejected.setdefault(kind, DistinctNames()).add(name):
            self.is_changed = True

    def fold(self, amounts: Mapping[str, int]) -> Amounts:
        """Return `amounts` with the names that are not admitted summed up; admit names in alphabetical order."""
        folded = {key: amount for key, amount in amounts.items() if key in self._admitted_keys}
        for key in sorted(amounts.keys() - folded.keys()):
            outcome, measure, label, _ = parse_key(key)
            kind = KIND_OF_MEASURE.get(measure)
            if kind is None or label is None or self.admit(kind, label):
                self._admitted_keys.add(key)
                folded[key] = folded.get(key, 0) + amounts[key]
            else:
                other_key = f"{outcome} {OTHER}{measure}"
                folded[other_key] = folded.get(other_key, 0) + amounts[key]
        return folded


def limit_names(amounts: Amounts) -> tuple[Amounts, NameRegistry]:
    """Return `amounts` with only the `MAX_NAMES` most used names of each kind, and the registry that admits those.

    The other names are summed up. A sum over several periods may have more names than the registry of each period.
    """
    if len(amounts) <= MAX_NAMES:
        return amounts, NameRegistry()
    registry = NameRegistry.from_amounts(amounts)
    return registry.fold(amounts) if registry.is_full else amounts, registry


def count_rejected_names(registries: Iterable[NameRegistry]) -> dict[str, int]:
    """Return about how many distinct names some registries have rejected, by kind; kinds without any are left out."""
    joined: defaultdict[str, DistinctNames] = defaultdict(DistinctNames)
    for registry in registries:
        for kind, names in registry._rejected.items():
            joined[kind].join(names)
    return {kind: count for kind, names in joined.items() if (count := names.estimate())}


def _rank_names(amounts: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the names in `amounts` by kind, the most used ones first."""
    uses: dict[str, defaultdict[str, int]] = {kind: defaultdict(int) for kind in _RANKING_MEASURES}
    for key, amount in amounts.items():
        _, measure, label, _ = parse_key(key)
        kind = KIND_OF_MEASURE.get(measure)
        if kind is not None and label is not None:
            uses[kind][label] += amount if measure == _RANKING_MEASURES[kind] else 0
    return {kind: sorted(counts, key=lambda name: (-counts[name], name)) for kind, counts in uses.items()}
