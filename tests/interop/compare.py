"""Whether our client sends what the official SDK sends: the outcomes of `record.py`, ours beside theirs.

Where the official SDK sends something, ours sends the same text, but for the id that it mints. Where the official SDK
refuses, ours sends JSON, or raises ValueError. What differs on purpose stands in DELIBERATE.
"""

import json
import re
from collections.abc import Iterator, Mapping

from attrs import frozen

Outcome = Mapping[str, str]

REFUSED = "ValueError"
KEYS = ["id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools"]


@frozen
class Deliberate:
    """A difference that is meant.

    Attributes:
        ours: what stands in our path or body; or REFUSED.
    """

    reason: str
    ours: str


def _deliberate() -> Iterator[tuple[str, Deliberate]]:
    for reason, ours, rows in _DIFFERENCES:
        for row in rows:
            yield row, Deliberate(reason, ours)


def _both(row: str) -> list[str]:
    return [f"{row}/Task", f"{row}/Backend"]


_DIFFERENCES: list[tuple[str, str, list[str]]] = [
    (
        "beyond the contract's bound on counts",
        REFUSED,
        [
            f"tokens={{'prompt_tokens': {count}}}/Task"
            for count in ("2**53 + 1", "10**12 + 1", "-(10**12) - 1", "2**70")
        ],
    ),
    (
        "beyond the contract's bound on durations",
        REFUSED,
        [f"duration={seconds}/Task" for seconds in ("1e22", "1e20", "1e9 + 1", "1e308", "2**53 + 1", "2**70")],
    ),
    ("beyond the contract's bound on names of tools", REFUSED, ["used_tools=['x' * 256]/Task"]),
    (
        "no id that could be asked for again: empty, a step in a path, with control characters, too long",
        REFUSED,
        [f"id={text}/Task" for text in ("''", r"'a\x00b'", r"'a\x7fb'", r"'a\nb'", "'.'", "'x' * 256")],
    ),
    ("beyond our bound on integers, which is one digit lower", '"0x', ["llm_response=10**4299/Task"]),
    (
        "an offset keeps its seconds",
        '"2026-01-01T00:00:00+00:01:30"',
        ["llm_response=datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=90)))/Task"],
    ),
    (
        "a key has no place in a record",
        "***",
        ["llm_response=Configuration(api_key='zzz', base_url='http://h', organization_id='o')/Task"],
    ),
    (
        "no agent is named: theirs posts to an agent called None, or to none at all",
        REFUSED,
        [
            *_both("agent: dict()"),
            *_both("agent: dict(agent_id=None)"),
            *_both("agent: dict(agent_id='')"),
            "agent: dict(agent=None)/Backend",
        ],
    ),
    ("theirs goes up one level, and names no agent", REFUSED, _both("agent: dict(agent_id='..')")),
    (
        "the configuration's agent is heard",
        "/agent-execution/configured/",
        _both("agent: dict(configuration=Configuration(agent_id='configured'))"),
    ),
    (
        "an agent without an id yields to agent_id",
        "/agent-execution/given/",
        ["agent: dict(agent=types.SimpleNamespace(id=None), agent_id='given')/Backend"],
    ),
    (
        "an agent's id is a str",
        REFUSED,
        [
            *_both("agent: dict(agent_id=5)"),
            *_both("agent: dict(agent_id=UUID)"),
            "agent: dict(agent=types.SimpleNamespace(id=7))/Backend",
        ],
    ),
    ("a path stays one: the id is escaped", "/a%2Fb/report_task", _both("agent: dict(agent_id='a/b')")),
    ("a path stays one: the id is escaped", "/a%20b%3Fc%23d/report_task", _both("agent: dict(agent_id='a b?c#d')")),
    ("a path stays one: the id is escaped", "/%252F/report_task", _both("agent: dict(agent_id='%2F')")),
    (
        "the same path, with more of it escaped",
        "/x%3Ay%40z%2Cw%3Bv%2Bu%3Dt%26s%21%24%28%29%2A~/report_task",
        _both("agent: dict(agent_id='x:y@z,w;v+u=t&s!$()*~')"),
    ),
]

DELIBERATE: dict[str, Deliberate] = dict(_deliberate())


def difference(row: str, official: Outcome, ours: Outcome) -> str | None:
    """What is wrong with our outcome, or None."""
    if "raised" in ours:
        if ours["raised"] != REFUSED:
            return f"raises {ours['raised']}"
    elif fault := _fault(ours["body"]):
        return f"{fault}: {ours['body'][:500]}"
    meant = DELIBERATE.get(row)
    if "raised" in official:
        return None if meant is None else "theirs refuses: take it out of DELIBERATE"
    ours = _without_minted_id(official, ours)
    if meant is None:
        return None if ours == official else f"theirs: {_shown(official)}; ours: {_shown(ours)}"
    if ours == official:
        return "no longer differs: take it out of DELIBERATE"
    as_meant = ours.get("raised") == REFUSED if meant.ours == REFUSED else meant.ours in "".join(ours.values())
    return None if as_meant else f"not the difference that is meant ({meant.reason}): {_shown(ours)}"


def differences(official: Mapping[str, Outcome], ours: Mapping[str, Outcome]) -> list[str]:
    assert list(official) == list(ours)
    return [f"{row}: {found}" for row in official if (found := difference(row, official[row], ours[row]))]


def _fault(body: str) -> str | None:
    try:
        keys = list(json.loads(body, parse_constant=_refuse))
    except ValueError as error:
        return f"no JSON ({error})"
    return None if keys == KEYS else "other keys"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _without_minted_id(official: Outcome, ours: Outcome) -> Outcome:
    if "body" not in ours or not official["body"].startswith('{"id":null,'):
        return ours
    return {**ours, "body": re.sub(r'^{"id":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",', '{"id":null,', ours["body"])}


def _shown(outcome: Outcome) -> str:
    shown = " ".join(outcome.values())
    return shown if len(shown) <= 500 else f"{shown[:400]} … {shown[-60:]}"
