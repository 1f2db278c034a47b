"""Model calls of a run: normal form, tokens and costs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.domain.model_calls import (
    TOKEN_KINDS,
    complete_tokens,
    compute_call_costs,
    main_model,
    normalize_calls,
    sum_tokens,
    usage_by_model,
)

AT = 1_800_000_000_000_000
MILLION = 1_000_000

calls = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from([None, "gpt-4o", "gpt-4o-mini", "unknown"]),
            "response_id": st.sampled_from([None, "r1", "r2"]),
            "tokens": st.none() | st.dictionaries(st.sampled_from(TOKEN_KINDS), st.integers(-5, 10**6) | st.none()),
            "cost": st.none() | st.integers(0, 5),
            "error": st.sampled_from([None, "timeout"]),
        },
    ),
    max_size=5,
)


def test_later_entry_of_a_response_id_replaces_only_the_values_that_it_states():
    reported: list[dict[str, Any]] = [
        {"response_id": "r1", "model": "a", "tokens": {"prompt_tokens": 9}},
        {"response_id": "r2"},
        {"response_id": "r1", "model": "b", "tokens": None, "duration": 2},
        {"response_id": "r3"},
    ]
    assert normalize_calls(reported) == [
        {"response_id": "r1", "model": "b", "tokens": {"prompt_tokens": 9}, "duration": 2.0},
        {"response_id": "r2"},
        {"response_id": "r3"},
    ]


def test_calls_without_a_response_id_are_different_calls():
    assert normalize_calls([{"model": "a"}, {"model": "a", "response_id": None}]) == [{"model": "a"}, {"model": "a"}]


def test_numbers_have_one_type_however_json_writes_them():
    (call,) = normalize_calls([{"duration": 3, "cost": 1, "tokens": {"prompt_tokens": 17046.0, "audio": None}}])
    assert repr(call) == "{'duration': 3.0, 'cost': 1.0, 'tokens': {'prompt_tokens': 17046}}"


@given(calls)
def test_normal_form_of_normal_calls_is_equal(reported):
    normal = normalize_calls(reported)
    assert normalize_calls(normal) == normal


@given(calls)
def test_repeated_entries_with_a_response_id_change_nothing(reported):
    with_ids = [call for call in normalize_calls(reported) if "response_id" in call]
    assert normalize_calls([*with_ids, *with_ids]) == with_ids


def test_sum_of_tokens_leaves_out_negative_counts_and_other_kinds():
    counted = [{"tokens": {"prompt_tokens": 5, "reasoning_tokens": 7}}, {"tokens": {"prompt_tokens": -1}}, {}]
    assert sum_tokens(counted) == complete_tokens({"prompt_tokens": 5})
    assert sum_tokens([{}, {"tokens": {}}]) is None


@pytest.mark.parametrize(
    ("call", "cost"),
    [
        ({"model": "gpt-4o", "tokens": {"prompt_tokens": MILLION}}, 2_500_000_000),
        ({"model": "gpt-4o", "tokens": {"completion_tokens": MILLION}}, 10_000_000_000),
        ({"model": "gpt-4o", "tokens": {"prompt_tokens": MILLION}, "cost": 1.5}, 1_500_000_000),
        ({"cost": 0.0}, 0),
        ({"error": "timeout", "model": "gpt-4o"}, 0),
        ({"error": "timeout", "tokens": {}}, 0),
        ({"error": "cut off", "model": "gpt-4o", "tokens": {"prompt_tokens": MILLION}}, 2_500_000_000),
        ({"model": "gpt-4o"}, None),
        ({"model": "unknown", "tokens": {"prompt_tokens": 1}}, None),
        ({"tokens": {"prompt_tokens": 1}}, None),
    ],
)
def test_cost_of_a_call(call, cost):
    assert compute_call_costs([call, {}], None, AT) == [cost, None]


def test_single_call_without_tokens_has_those_of_the_run():
    run_tokens = complete_tokens({"prompt_tokens": MILLION})
    one = [{"model": "gpt-4o"}]
    assert compute_call_costs(one, run_tokens, AT) == [2_500_000_000]
    assert usage_by_model(one, [2_500_000_000], run_tokens) == {"gpt-4o": (MILLION, 2_500_000_000)}
    assert compute_call_costs(one * 2, run_tokens, AT) == [None, None]
    assert usage_by_model(one * 2, [None, None], run_tokens) == {"gpt-4o": (0, None)}


def test_price_of_the_time_of_the_run_applies():
    call = {"model": "claude-opus-4-6", "tokens": {"prompt_tokens": MILLION}}
    before, after = (
        compute_call_costs([call], None, seconds * MILLION)[0] for seconds in (1_760_000_000, 1_790_000_000)
    )
    assert before is not None
    assert after is not None
    assert before != after


def test_usage_of_a_model_is_the_sum_of_its_calls():
    made = [
        {"model": "a", "tokens": {"prompt_tokens": 2, "completion_tokens": 1}},
        {"model": "b", "tokens": {"prompt_tokens": 50, "cache_read_tokens": 9}},
        {"tokens": {"prompt_tokens": 1_000}},
        {"model": "a", "tokens": {"completion_tokens": 4, "prompt_tokens": -7}},
    ]
    usage = usage_by_model(made, [10, None, 5, 20], None)
    assert usage == {"a": (7, 30), "b": (50, None)}
    assert list(usage) == ["a", "b"]
    assert main_model(usage) == "b"


def test_each_call_needs_its_cost():
    with pytest.raises(ValueError, match="shorter"):
        usage_by_model([{"model": "a"}, {"model": "b"}], [1], None)


def test_main_model_is_the_first_of_equal_ones():
    made = [{"model": "x", "tokens": {"prompt_tokens": 3}}, {"model": "y", "tokens": {"prompt_tokens": 3}}]
    assert main_model(usage_by_model(made, [None, None], None)) == "x"
    assert main_model({}) is None
