"""Comparison of the outcomes of `record.py`: the requests of this SDK and those of the official SDK.

If the official SDK sends a request, this SDK must send the same text, apart from the ID that it generates. If the
official SDK raises an exception, this SDK must send JSON or raise ValueError. DELIBERATE contains the exceptions.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from attrs import frozen

Outcome = Mapping[str, str]

REFUSED = "ValueError"
KEYS = ["id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools"]


@frozen
class Deliberate:
    """Deliberate difference between the two SDKs.

    Attributes:
        reason: reason for the difference.
        ours: text that the path or the body of this SDK's request contains, or REFUSED.
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
    ("beyond the contract's bound on tool names", REFUSED, ["used_tools=['x' * 256]/Task"]),
    (
        "the task could not be loaded by this ID: empty, a path segment, control characters, or too long",
        REFUSED,
        [f"id={text}/Task" for text in ("''", r"'a\x00b'", r"'a\x7fb'", r"'a\nb'", "'.'", "'x' * 256")],
    ),
    ("beyond our bound on integers, which is one digit shorter", '"0x', ["llm_response=10**4299/Task"]),
    (
        "our offset has seconds",
        '"2026-01-01T00:00:00+00:01:30"',
        ["llm_response=datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=90)))/Task"],
    ),
    (
        "our records never contain a key",
        "***",
        ["llm_response=Configuration(api_key='zzz', base_url='http://h', organization_id='o')/Task"],
    ),
    (
        "no agent: the official SDK sends to an agent named None, or to an incomplete path",
        REFUSED,
        [
            *_both("agent: dict()"),
            *_both("agent: dict(agent_id=None)"),
            *_both("agent: dict(agent_id='')"),
            "agent: dict(agent=None)/Backend",
        ],
    ),
    ("the official SDK sends to the parent path, which has no agent", REFUSED, _both("agent: dict(agent_id='..')")),
    (
        "we read the usage that a provider returned; the official SDK sends zeros for it",
        '"completion_tokens":2,"prompt_tokens":5,"cache_read_tokens":0,',
        ["tokens={'input_tokens': 5, 'output_tokens': 2}/Task"],
    ),
    (
        "we read the cached tokens of a provider's usage",
        '"completion_tokens":2,"prompt_tokens":5,"cache_read_tokens":4,',
        ["tokens={'prompt_tokens': 5, 'completion_tokens': 2, 'prompt_tokens_details': {'cached_tokens': 4}}/Task"],
    ),
    (
        "we refuse an empty key",
        REFUSED,
        _both("agent: dict(agent_id=AGENT, configuration=Configuration(api_key=''))"),
    ),
    (
        "we use the agent of the configuration",
        "/agent-execution/configured/",
        _both("agent: dict(configuration=Configuration(agent_id='configured'))"),
    ),
    (
        "we use agent_id for an agent without an ID",
        "/agent-execution/given/",
        ["agent: dict(agent=types.SimpleNamespace(id=None), agent_id='given')/Backend"],
    ),
    ("we escape the ID in the path", "/a%2Fb/report_task", _both("agent: dict(agent_id='a/b')")),
    ("we escape the ID in the path", "/a%20b%3Fc%23d/report_task", _both("agent: dict(agent_id='a b?c#d')")),
    ("we escape the ID in the path", "/%252F/report_task", _both("agent: dict(agent_id='%2F')")),
    (
        "the same path, in which we escape more characters",
        "/x%3Ay%40z%2Cw%3Bv%2Bu%3Dt%26s%21%24%28%29%2A~/report_task",
        _both("agent: dict(agent_id='x:y@z,w;v+u=t&s!$()*~')"),
    ),
]

if find_spec("orjson") is not None:
    # orjson, of the extra `fast`, writes the same numbers with other exponents than the standard library.
    _DIFFERENCES += [
        ("the same number", '"duration":1e-7,', ["duration=1e-7/Task"]),
        ("the same number", '"llm_response":0.00001,', ["llm_response=1e-5/Task"]),
    ]

DELIBERATE: dict[str, Deliberate] = dict(_deliberate())


def difference(row: str, official: Outcome, ours: Outcome) -> str | None:
    """Return a description of the problem with our outcome; None if it is correct."""
    if "raised" in ours:
        if ours["raised"] != REFUSED:
            return f"raises {ours['raised']}"
    elif problem := _body_problem(ours["body"]):
        return f"{problem}: {ours['body'][:500]}"
    deliberate = DELIBERATE.get(row)
    if "raised" in official:
        return None if deliberate is None else "the official SDK raises an exception: remove the row from DELIBERATE"
    ours = _without_generated_id(official, ours)
    if deliberate is None:
        return None if ours == official else f"official: {_shorten(official)}; ours: {_shorten(ours)}"
    if ours == official:
        return "no difference: remove the row from DELIBERATE"
    if deliberate.ours == REFUSED:
        is_expected = ours.get("raised") == REFUSED
    else:
        is_expected = deliberate.ours in "".join(ours.values())
    return None if is_expected else f"not the deliberate difference ({deliberate.reason}): {_shorten(ours)}"


def differences(official: Mapping[str, Outcome], ours: Mapping[str, Outcome]) -> list[str]:
    """Return the problems of all rows, each with the name of its row."""
    assert list(official) == list(ours)
    return [f"{row}: {problem}" for row in official if (problem := difference(row, official[row], ours[row]))]


def _body_problem(body: str) -> str | None:
    try:
        keys = list(json.loads(body, parse_constant=_reject))
    except ValueError as error:
        return f"invalid JSON ({error})"
    return None if keys == KEYS else "unexpected keys"


def _reject(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _without_generated_id(official: Outcome, ours: Outcome) -> Outcome:
    if "body" not in ours or not official["body"].startswith('{"id":null,'):
        return ours
    return {**ours, "body": re.sub(r'^{"id":"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",', '{"id":null,', ours["body"])}


def _shorten(outcome: Outcome) -> str:
    text = " ".join(outcome.values())
    return text if len(text) <= 500 else f"{text[:400]} … {text[-60:]}"
