"""Fast paths of reports: each must give what the reference gives, or leave the report to the reference."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpander_server import contract
from xpander_server.body_json import MAX_VALUES
from xpander_server.domain.new_task import create_task
from xpander_server.domain.task import MAX_CLOCK_AHEAD, merge
from xpander_server.http.errors import HTTPError
from xpander_server.report_decoder import decode_batch, decode_report

NOW = 1_767_605_400_000_000

TEXTS = st.text(max_size=4) | st.sampled_from(["", ".", "..", "a\n", "a\u007f", "ü", "x" * 255, "x" * 256, "\u2028"])
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, 17046.0, 10**9, 10**9 + 1, -(10**12), 10**12 + 1, 2 * 10**12, 10**30, True]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
RESPONSES = VALUES | st.fixed_dictionaries({"model": st.sampled_from(["gpt-4o-2024-08-06", "unknown", "", None, 5])})
KINDS = (
    "completion_tokens",
    "prompt_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
    "other_tokens",
)
TOKENS = st.dictionaries(st.sampled_from(KINDS), st.none() | NUMBERS, max_size=4)
TIMES = st.sampled_from(
    [
        "2020-01-01T00:00:00Z", "2020-01-01", "2999-01-01T00:00:00+00:00", "2021-13-01T00:00:00Z",
        "2021-02-30T00:00:00Z", "2020-02-29t23:59:59.123456789z", "2020-02-29T23:59:59.123456789-23:59",
        "2020-01-01T24:00:00Z", "1970-12-31T23:59:59Z",
        "2020-01-01T00:00:60Z", "2020-01-01T00:00:00+24:00", "2020-01-01 00:00:00Z",
        "2020-01-01T00:00:00", "2020-01-01T00:00:00Z\n",
    ]
)  # fmt: skip
CALLS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.none() | TEXTS | st.just("openai") for name in ("provider", "model", "response_id", "error")},
        "tokens": st.none() | TOKENS | st.dictionaries(TEXTS, NUMBERS, max_size=2),
        "prompt_includes_cache": st.none() | st.booleans() | NUMBERS,
        "duration": st.none() | NUMBERS,
        "cost": st.none() | NUMBERS,
        "other": st.just(1),
    },
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("id", "user_id", "conversation_id", "parent_task_id", "triggering_agent_id"), TEXTS),
    **dict.fromkeys(("input", "result"), TEXTS),
    "error": TEXTS | st.sampled_from(["x" * 16_384, "x" * 16_385]),
    "calls": st.lists(CALLS, max_size=2),
    "metadata": st.dictionaries(
        TEXTS | st.sampled_from(["a=b", "x" * 64, "x" * 65]), TEXTS | st.just("x" * 513), max_size=2
    ),
    "llm_response": RESPONSES,
    "tokens": TOKENS,
    "is_success": st.booleans(),
    "duration": NUMBERS,
    "used_tools": st.lists(TEXTS, max_size=3),
    "created_at": TIMES,
    "finished_at": TIMES,
    "unknown": VALUES,
}
REPORTS = st.fixed_dictionaries(
    {}, optional={name: st.one_of(st.none(), values, values, values, VALUES) for name, values in FIELDS.items()}
)
LATE = "2999-01-01T00:00:00Z"
COUNTS = st.dictionaries(st.sampled_from(KINDS), st.none() | st.integers(-3, 9), max_size=3)
PLAIN_REPORTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.none() | FIELDS[name] for name in ("input", "result", "error", "is_success", "used_tools")},
        "id": st.none() | st.just("t"),
        "llm_response": st.none() | RESPONSES.map(lambda value: json.dumps(value)),
        "tokens": st.none() | st.dictionaries(st.sampled_from(KINDS[:5]), st.none() | st.integers(-3, 9), max_size=4),
        "duration": st.none() | st.integers(-1, 5) | st.floats(-1e9, 1e9),
        "user_id": st.none() | st.just("user"),
        "conversation_id": st.none() | st.just("conversation"),
        "calls": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "provider": st.none() | st.just("openai"),
                    "model": st.sampled_from([None, "gpt-4o", "gpt-4o-mini", "unknown"]),
                    "response_id": st.sampled_from([None, "r1", "r2"]),
                    "tokens": st.none()
                    | st.dictionaries(st.sampled_from(KINDS), st.none() | st.integers(-3, 9), max_size=3),
                    "prompt_includes_cache": st.none() | st.booleans(),
                    "error": st.none() | st.just("timeout"),
                    "duration": st.none() | st.integers(-1, 5) | st.floats(-1e9, 1e9),
                    "cost": st.none() | st.integers(0, 5) | st.floats(0, 1e9),
                },
            ),
            max_size=3,
        ),
        "metadata": st.none() | st.dictionaries(st.sampled_from(["env", "region"]), TEXTS),
        "created_at": st.sampled_from(
            [None, "2020-01-01T00:00:00Z", "2020-01-01t00:00:00.5+02:00", "2999-01-01T00:00:00Z"]
        ),
        "finished_at": st.sampled_from([None, "2020-01-01T00:00:07Z", LATE]),
    },
)
"""Validated reports, as both decoders return them."""


def read_by_schema(operation_id: str, body: bytes) -> Any:
    """Return what the reference returns for a body; None if it refuses the body."""
    try:
        return contract.operations()[operation_id]._read_by_schema(body, MAX_VALUES)
    except HTTPError:
        return None


def without_nulls(report: Any) -> Any:
    """Return a report without null values, which state nothing, and with exact types."""
    if isinstance(report, HTTPError):
        return None
    stated = {name: value for name, value in report.items() if value is not None}
    if "tokens" in stated:
        stated["tokens"] = {kind: count for kind, count in stated["tokens"].items() if count is not None}
    if "calls" in stated:
        stated["calls"] = [
            {name: value for name, value in call.items() if value is not None} for call in stated["calls"]
        ]
    return stated


@settings(max_examples=600, deadline=None)
@given(REPORTS, st.sampled_from([None, 1]))
def test_fast_decoder_gives_the_values_of_the_schema_or_leaves_the_body_to_it(report, indent):
    body = json.dumps(report, indent=indent).encode()
    decoded = decode_report(body)
    if decoded is not None:
        expected = read_by_schema("reportTask", body)
        assert expected is not None, "the schema refuses the body"
        assert without_nulls(decoded) == without_nulls(expected)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(REPORTS, st.fixed_dictionaries({}, optional={"agent_id": TEXTS, "reported_at": st.none() | NUMBERS})),
        max_size=3,
    )
)
def test_fast_decoder_of_batches_gives_the_values_of_the_schema_or_leaves_the_body_to_it(reports):
    body = json.dumps({"reports": [{**report, **agent} for report, agent in reports]}).encode()
    decoded = decode_batch(body)
    if decoded is not None:
        expected = read_by_schema("reportTasks", body)
        assert expected is not None, "the schema refuses the body"
        assert list(map(without_nulls, decoded)) == list(map(without_nulls, expected))


@pytest.mark.parametrize(
    "body",
    [
        b'{"llm_response": 1e999}',
        b'{"llm_response": "\xff"}',
        b'{"llm_response": "\\ud800"}',
        b'{"llm_response": %s}' % (b"1" * 5_000),
        b'{"llm_response": %s}' % (b"[" * 600 + b"]" * 600),
        b'{"duration": 0.%s}' % (b"1" * 60_000),
        b'{"duration": 1e999}',
        b'{"duration": NaN}',
        b'{"tokens": {"prompt_tokens": 1.5}}',
        b'{"is_success": 1}',
        b'{"id": "a\\nb"}',
        b'{"id": ".."}',
        b'{"result": "%s"}' % (b"x" * 100_000),
        b'{"created_at": "2020-02-30T00:00:00Z"}',
        b'{"finished_at": "2020-01-01T24:00:00Z"}',
        b'{"calls": [{"cost": 0.%s}]}' % (b"1" * 60_000),
        b'{"calls": [{"model": "a\\nb"}]}',
        b'{"metadata": {"a\\n": "b"}}',
        b'{"calls": [{"tokens": {"prompt_tokens\\n": 1}}]}',
        b'{"unknown": null}',
        b"[]",
        b"null",
        b"{",
        b"",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_doubtful_body_is_left_to_the_schema(body):
    assert decode_report(body) is None
    assert decode_batch(b'{"reports": [{"agent_id": "a"}, %s]}' % body) is None or body.startswith(b'{"result"')


def test_typical_reports_take_the_fast_path():
    examples = json.loads(contract.document("json"))["components"]["examples"]
    report = {**examples["SeedReport"]["value"], "llm_response": {"model": "gpt-4o", "choices": [{"index": 0}]}}
    assert decode_report(json.dumps(report).encode()) is not None
    report |= {
        "created_at": "2026-01-05T09:30:00.123456Z",
        "finished_at": "2026-01-05T09:30:02Z",
        "metadata": {"env": "prod"},
    }
    report["calls"] = [
        {"model": "gpt-4o", "tokens": {"prompt_tokens": 9, "reasoning_tokens": 4}, "duration": 1, "cost": 0.02}
    ]
    assert decode_report(json.dumps(report).encode()) is not None
    batch = {"reports": [{"agent_id": "a", "reported_at": NOW, **report}] * 3}
    assert decode_batch(json.dumps(batch).encode()) is not None
    assert decode_batch(json.dumps(examples["TwoReports"]["value"]).encode()) is not None


def test_member_that_is_stated_twice_has_its_last_value():
    body = b'{"result": "first", "llm_response": {"a": 1}, "result": "second", "llm_response": {"b": 1.10}}'
    decoded = decode_report(body)
    assert decoded is not None
    assert without_nulls(decoded) == without_nulls(read_by_schema("reportTask", body))
    assert decoded["llm_response"] == '{"b": 1.10}'


@settings(max_examples=400, deadline=None)
@given(PLAIN_REPORTS, st.none() | st.sampled_from([NOW - 5, NOW, NOW + 5, NOW + MAX_CLOCK_AHEAD + 1]))
def test_new_task_equals_the_merged_one(report, reported_at):
    arguments: dict[str, Any] = {"organization_id": "o", "agent_id": "a", "task_id": "t", "now": NOW}
    task = create_task(report, reported_at=reported_at, **arguments)
    assert task is not None, "reports with known fields must take the fast path"
    expected = merge(None, report, reported_at=reported_at, **arguments)
    assert task == expected
    assert task.reported_at == expected.reported_at


def test_new_task_with_an_unknown_field_is_left_to_merge():
    report: Any = {"result": "text", "newer_field": 1}
    assert create_task(report, organization_id="o", agent_id="a", task_id="t", reported_at=NOW, now=NOW) is None
