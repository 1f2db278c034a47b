"""Groups of failures with the same error, apart from numbers, ids and quoted parts.

error                                                pattern
Timeout after 1200 ms while calling tool 'search'    Timeout after # ms while calling tool …
Timeout after 900 ms while calling tool 'fetch'      Timeout after # ms while calling tool …
KeyError: "a" in run 3f2b8c1d-77aa-4c1e-9d1f-0a1b2c  KeyError: … in run #
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from attrs import frozen

MAX_ERROR_LENGTH = 1_000
"""Characters of an error that count for its pattern."""
MAX_SAMPLES = 5
"""Failures that a group keeps: the newest ones."""

_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_ID = re.compile(r"\b(?=\w*\d)\w{8,}")
"""A word of eight characters or more with a digit."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_QUOTED = re.compile("\"[^\"]*\"|`[^`]*`|“[^”]*”|«[^»]*»|(?<!\\w)'[^']*'(?!\\w)")
"""A quoted part. An apostrophe within a word is no quotation mark."""


@frozen
class Failure:
    """Failed run.

    Attributes:
        task_id: Id of its task.
        agent_id: Its agent.
        created_at: Time of creation, in microseconds since 1970 (UTC).
        error: Text of the error; empty if none was reported.
    """

    task_id: str
    agent_id: str
    created_at: int
    error: str


@frozen
class ErrorGroup:
    """Failures with the same pattern.

    Attributes:
        pattern: The error without numbers, ids and quoted parts; empty for failures without a text.
        count: Number of failures.
        agents: Number of failures by agent, the largest first.
        times: Times of creation, oldest first.
        samples: The newest failures, at most `MAX_SAMPLES`, the newest first.
    """

    pattern: str
    count: int
    agents: Sequence[tuple[str, int]]
    times: Sequence[int]
    samples: Sequence[Failure]

    @property
    def first_seen(self) -> int:
        """Time of the oldest failure."""
        return self.times[0]

    @property
    def last_seen(self) -> int:
        """Time of the newest failure."""
        return self.times[-1]


def normalize_error(error: str) -> str:
    """Return the pattern of an error: "#" replaces numbers and ids, and "…" replaces quoted parts.

    The pattern of a pattern is the pattern itself.
    """
    text = " ".join(error.split())[:MAX_ERROR_LENGTH].rstrip()
    for expression in (_UUID, _ID, _NUMBER):
        text = expression.sub("#", text)
    previous = None
    # A replacement can leave quotation marks that match only now. Each replacement makes the text shorter.
    while text != previous:
        previous, text = text, _QUOTED.sub("…", text)
    return text


def group_errors(failures: Iterable[Failure]) -> list[ErrorGroup]:
    """Return the groups of failures by pattern, the largest first; of equal ones, the one that was seen last."""
    by_pattern: dict[str, list[Failure]] = {}
    for failure in failures:
        by_pattern.setdefault(normalize_error(failure.error), []).append(failure)
    groups = [_group(pattern, members) for pattern, members in by_pattern.items()]
    return sorted(groups, key=lambda group: (-group.count, -group.last_seen, group.pattern))


def _group(pattern: str, members: list[Failure]) -> ErrorGroup:
    newest_first = sorted(members, key=lambda failure: (failure.created_at, failure.task_id), reverse=True)
    agents = Counter(failure.agent_id for failure in members)
    return ErrorGroup(
        pattern,
        len(members),
        sorted(agents.items(), key=lambda item: (-item[1], item[0])),
        [failure.created_at for failure in reversed(newest_first)],
        newest_first[:MAX_SAMPLES],
    )
