"""Model calls of one run, and their sum."""

from collections.abc import Iterable, Mapping
from typing import Any

from xpander_capture.responses.usage import Usage, sum_tokens
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.usage import TOKEN_KINDS

MAX_CALLS = 1_000
"""Largest number of calls in a report. Further calls are added up by provider and model."""

_MAX_IDS = 100_000  # response ids that are remembered
_EXCLUDED: dict[str, Any] = {}


class Calls:
    """Model calls of one run, in their order. Calls with the same response id count once.

    Two sources can record one call: the program itself and a framework's result that contains it. Of two entries with
    one id, the one that states its tokens counts, else the first one.
    """

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_id: dict[str, dict[str, Any]] = {}
        self._sums: dict[tuple[Any, ...], dict[str, Any]] = {}  # calls beyond MAX_CALLS

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, call: Mapping[str, Any]) -> bool:
        """Add a call, and return whether it is a new one.

        Args:
            call: Entry of the report's `calls`; None for unknown values.
        """
        entry = {name: value for name, value in call.items() if value is not None}
        response_id = entry.get("response_id")
        if response_id is not None:
            # Threads may record at the same time; `setdefault` is one step.
            is_full = len(self._by_id) >= _MAX_IDS
            known = self._by_id.get(response_id, entry) if is_full else self._by_id.setdefault(response_id, entry)
            if known is not entry:
                if known is not _EXCLUDED and not known.get("tokens") and entry.get("tokens"):
                    known.update(entry)
                return False
        if len(self._calls) < MAX_CALLS // 2:
            self._calls.append(entry)
        else:
            self._add_to_sum(entry)
        return True

    def exclude(self, calls: Iterable[Mapping[str, Any]]) -> None:
        """Do not count calls with the ids of these, if they are added later."""
        for call in calls:
            response_id = call.get("response_id")
            if response_id is not None and len(self._by_id) < _MAX_IDS:
                self._by_id.setdefault(response_id, _EXCLUDED)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the entries of the report's `calls`."""
        return [dict(call) for call in [*self._calls, *self._sums.values()]][:MAX_CALLS]

    def tokens(self) -> Tokens | None:
        """Return the sum of the calls; None if no call states its tokens.

        If the calls differ in whether their prompts include the cached tokens, those of the sum do.
        """
        total = sum_tokens([
            Usage(call["tokens"], call.get("prompt_includes_cache"))
            for call in [*self._calls, *self._sums.values()]
            if call.get("tokens")
        ])  # fmt: skip
        if total is None:
            return None
        return Tokens(**{kind: total.tokens.get(kind, 0) for kind in TOKEN_KINDS})

    def _add_to_sum(self, entry: dict[str, Any]) -> None:
        key = (entry.get("provider"), entry.get("model"), entry.get("prompt_includes_cache"))
        total = self._sums.setdefault(key, {})
        for name, value in entry.items():
            if name == "tokens":
                sums = total.setdefault("tokens", {})
                for kind, count in value.items():
                    sums[kind] = sums.get(kind, 0) + (count or 0)
            elif name in ("cost", "duration"):
                total[name] = total.get(name, 0) + value
            elif name in ("provider", "model", "prompt_includes_cache"):
                total[name] = value
