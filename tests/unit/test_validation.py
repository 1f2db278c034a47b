import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import Configuration, Task, Tokens
from xpander_sdk.reporting import validation


class TorchLikeScalar:
    """Scalar with the conversions of a torch tensor."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value

    def __float__(self) -> float:
        return float(self.value)


class EmptyAgent(list[Any]):
    """Agent that is an empty container."""

    id = "empty"


@pytest.fixture
def configuration() -> Configuration:
    return Configuration(base_url="sqlite:///unused.db")


def test_agent_without_truth_value_is_used(configuration):
    assert validation.resolve_agent_id(configuration, agent=EmptyAgent(), agent_id="argument") == "empty"
    agent = np.array([1, 2]).view(type("Agent", (np.ndarray,), {"id": "array"}))
    assert validation.resolve_agent_id(configuration, agent=agent) == "array"


def test_agent_overrides_agent_id(configuration):
    assert (
        validation.resolve_agent_id(configuration, agent=SimpleNamespace(id="object"), agent_id="argument") == "object"
    )


def test_agent_id_overrides_environment(configuration, monkeypatch):
    monkeypatch.setenv("XPANDER_AGENT_ID", "environment")
    assert validation.resolve_agent_id(configuration, agent_id="argument") == "argument"


def test_agent_without_id_falls_back_to_agent_id(configuration):
    assert validation.resolve_agent_id(configuration, agent=SimpleNamespace(id=None), agent_id="argument") == "argument"


def test_agent_id_defaults_to_configuration_then_environment(configuration, monkeypatch):
    monkeypatch.setenv("XPANDER_AGENT_ID", "environment")
    assert validation.resolve_agent_id(configuration) == "environment"
    assert validation.resolve_agent_id(Configuration(agent_id="configured")) == "configured"


def test_missing_agent_error_names_all_sources(configuration):
    with pytest.raises(ValueError, match=r"agent_id=.* agent=.* XPANDER_AGENT_ID"):
        validation.resolve_agent_id(configuration)


@pytest.mark.parametrize("agent", [{"id": "x"}, "agent-1", 5])
def test_agent_without_id_attribute_is_rejected(configuration, agent):
    with pytest.raises(ValueError, match="agent must be an object with an id"):
        validation.resolve_agent_id(configuration, agent=agent)


@pytest.mark.parametrize("value", ["", ".", "..", "a\nb", "\x00", "a" * 256, "a\ud800", 1.5, True, {"id": 1}, None])
def test_invalid_id_is_rejected_by_name(value):
    with pytest.raises(ValueError, match="task_id"):
        validation.parse_id("task_id", value)


@pytest.mark.parametrize("value", ["a/b", "...", "a" * 255, "é", " "])
def test_valid_ids_are_accepted(value):
    assert validation.parse_id("id", value) == value


@pytest.mark.parametrize("value", [7, np.int64(7), UUID(int=7)])
def test_id_accepts_integers_and_uuids(value):
    assert validation.parse_id("id", value) == str(value)


def test_id_with_lone_surrogate_is_rejected_with_reason():
    with pytest.raises(ValueError, match=r"id must not contain lone surrogates, got 'a\\ud800'"):
        validation.parse_id("id", "a\ud800")


@pytest.mark.parametrize("value", [5, 1.5, {}, []])
def test_wrong_type_of_text_is_rejected_with_value_or_type(value):
    with pytest.raises(ValueError, match=r"query must be a str or None, got (5|1\.5|dict|list)"):
        validation.parse_str("query", value)


def test_lone_surrogate_becomes_replacement_character():
    assert validation.parse_str("input", "a\ud800b\udfff") == "a�b�"


@given(st.text())
def test_valid_text_is_not_changed(value):
    assert validation.parse_str("input", value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        (None, None),
        (1, True),
        (0, False),
        ("yes", True),
        ("OFF", False),
        (1.0, True),
        (b"true", True),
        (Decimal(0), False),
        (np.all([True]), True),
        (np.array(False), False),
        (pd.Series([False]).all(), False),
        (TorchLikeScalar(True), True),
        (np.str_("yes"), True),
        (np.int64(0), False),
    ],
)
def test_bool_accepts_values_of_official_client(value, expected):
    assert validation.parse_bool("is_success", value) is expected


@pytest.mark.parametrize("value", [2, "", "maybe", [], math.nan, np.array([True, False]), np.float64(2), pd.NA])
def test_other_bools_are_rejected(value):
    with pytest.raises(ValueError, match="is_success"):
        validation.parse_bool("is_success", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        ("1.5", 1.5),
        (b"1.5", 1.5),
        (True, 1.0),
        (Decimal("2.5"), 2.5),
        (-1, -1.0),
        (None, None),
        (timedelta(minutes=1), 60.0),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.timedelta64(2, "m"), 120.0),
        (pd.Timedelta(seconds=2), 2.0),
        (np.float32(1.5), 1.5),
        (np.array(1.5), 1.5),
        (TorchLikeScalar(1.5), 1.5),
    ],
)
def test_duration_accepts_numbers_and_text(value, expected):
    assert validation.parse_duration("duration", value) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", np.timedelta64("NaT", "s"), pd.NaT])
def test_duration_that_is_not_finite_is_unknown(value):
    assert validation.parse_duration("duration", value) is None


@pytest.mark.parametrize("value", ["", "1,5", pytest.param(10**400, id="enormous"), timedelta.max, [], 1e10])
def test_other_durations_are_rejected(value):
    with pytest.raises(ValueError, match="duration"):
        validation.parse_duration("duration", value)


@pytest.mark.parametrize("value", [5, "5", "5.0", 5.0, Decimal(5), np.int64(5), np.float32(5), np.array(5)])
def test_token_count_accepts_whole_numbers(value):
    assert Tokens(prompt_tokens=value).prompt_tokens == 5


@pytest.mark.parametrize("value", [5.5, "many", math.nan, math.inf, []])
def test_other_token_counts_are_rejected_by_name(value):
    with pytest.raises(ValueError, match="cache_read_tokens"):
        Tokens(cache_read_tokens=value)


@pytest.mark.parametrize("value", [10**13, -(10**13), pytest.param(10**5000, id="huge")])
def test_report_rejects_token_counts_beyond_limit(value):
    with pytest.raises(ValueError, match="prompt_tokens must be within"):
        Task.report_external_task(Configuration(api_key="k"), "a", tokens={"prompt_tokens": value})


def test_total_tokens_is_computed_and_argument_ignored():
    assert Tokens(prompt_tokens=2, completion_tokens=None, cache_read_tokens=9, total_tokens=99).total_tokens == 2


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T03:00:00Z",
        "2026-01-02t03:00:00z",
        "2026-01-02 03:00",
        "20260102T030000Z",
        "2026-01-02T05:00:00+02:00",
        datetime(2026, 1, 2, 3),
        datetime(2026, 1, 2, 3, tzinfo=UTC),
        datetime(2026, 1, 2, 5, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_time_accepts_iso_8601_and_datetime(value):
    assert validation.parse_datetime("since", value) == datetime(2026, 1, 2, 3, tzinfo=UTC)


def test_date_means_midnight_in_utc():
    assert validation.parse_datetime("since", date(2026, 1, 2)) == datetime(2026, 1, 2, tzinfo=UTC)
    assert validation.parse_datetime("until", "2026-01-01T24:00:00Z") == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01", 5])
def test_other_times_are_rejected(value):
    with pytest.raises(ValueError, match="since"):
        validation.parse_datetime("since", value)


def test_empty_builtin_agent_counts_as_not_given(configuration):
    agents = [None, "", 0, [], {}]
    assert {validation.resolve_agent_id(configuration, agent=agent, agent_id="argument") for agent in agents} == {
        "argument"
    }


class FaultyAgent:
    @property
    def id(self) -> str:
        raise RuntimeError("no connection")


def test_agent_whose_id_fails_is_rejected(configuration):
    with pytest.raises(ValueError, match="agent must be an object with an id, got FaultyAgent"):
        validation.resolve_agent_id(configuration, agent=FaultyAgent())


@pytest.mark.parametrize("value", ["tab\there", "\x1f", "\x7f", "é\n"])
def test_control_characters_are_rejected_in_ids_and_names(value):
    with pytest.raises(ValueError, match="id must not contain control characters"):
        validation.parse_id("id", value)
    with pytest.raises(ValueError, match="model must not contain control characters"):
        validation.parse_name("model", value)


@pytest.mark.parametrize("value", ["a b", "~", "\x80", "\u2028", "é"])
def test_other_characters_are_allowed_in_ids_and_names(value):
    assert validation.parse_id("id", value) == validation.parse_name("model", value) == value


def test_id_that_is_an_integer_beyond_the_limit_of_python_is_rejected():
    with pytest.raises(ValueError, match="id must have at most 255 characters, got a longer integer"):
        validation.parse_id("id", 10**5_000)


def test_bytes_that_are_not_utf_8_are_rejected():
    with pytest.raises(ValueError, match="input must be UTF-8 if it is bytes"):
        validation.parse_str("input", b"\xff")


def test_error_of_16384_characters_is_the_longest_that_is_kept_whole():
    assert validation.parse_error("error", "a" * 16_384) == "a" * 16_384
    assert validation.parse_error("error", "a" * 8_192 + "b" * 8_193) == "a" * 8_190 + "\n…\n" + "b" * 8_190


@pytest.mark.parametrize(("value", "expected"), [(b"YES", True), (b"off", False), (Decimal(1), True)])
def test_bool_may_be_bytes_or_a_decimal(value, expected):
    assert validation.parse_bool("is_success", value) is expected


def test_signaling_nan_is_no_bool():
    with pytest.raises(ValueError, match="is_success must be True, False, or None"):
        validation.parse_bool("is_success", Decimal("sNaN"))


@pytest.mark.parametrize(("value", "expected"), [(1e9, 1e9), (-1e9, -1e9), (bytearray(b"2"), 2.0)])
def test_duration_may_be_a_billion_seconds(value, expected):
    assert validation.parse_duration("duration", value) == expected


@pytest.mark.parametrize("value", [1_000_000_001, -1_000_000_001])
def test_longer_duration_is_rejected(value):
    with pytest.raises(ValueError, match=f"duration must be within ±1000000000 seconds, got {value}"):
        validation.parse_duration("duration", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (True, 1), (" 7 ", 7), (b"7", 7), ("9007199254740993", 9_007_199_254_740_993), ("-3", -3)],
)
def test_whole_number_is_exact(value, expected):
    number = validation.parse_int("count", value)
    assert number == expected
    assert type(number) is type(expected)


@pytest.mark.parametrize("value", ["5.5", b"", "1e400", object()])
def test_other_values_are_no_whole_number(value):
    with pytest.raises(ValueError, match="count must be a whole number or None"):
        validation.parse_int("count", value)


@pytest.mark.parametrize("value", ["1971-01-01T00:00:00Z", "2999-12-31T23:59:59Z", None])
def test_run_may_take_place_from_1971_to_2999(value):
    assert validation.parse_run_time("created_at", value) == validation.parse_datetime("created_at", value)


@pytest.mark.parametrize(("value", "year"), [("1970-12-31T23:59:59Z", 1970), ("3000-01-01T00:00:00Z", 3000)])
def test_other_years_of_a_run_are_rejected(value, year):
    with pytest.raises(ValueError, match=f"created_at must be within the years 1971 to 2999, got {year}"):
        validation.parse_run_time("created_at", value)


@pytest.mark.parametrize(
    "value", [datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "0001-01-01T00:00+01:00"]
)
def test_time_that_has_no_year_in_utc_is_rejected(value):
    with pytest.raises(ValueError, match="since must be within the years 1 to 9999 in UTC"):
        validation.parse_datetime("since", value)


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (None, "None"),
        (5, "5"),
        (0.5, "0.5"),
        ("x" * 40, repr("x" * 40)),
        ("x" * 41, "str"),
        (10**40 - 1, "9" * 40),
        (10**40, "int"),
        (-(10**40), "int"),
        ([1], "list"),
    ],
)
def test_error_texts_contain_short_values_and_the_types_of_others(value, description):
    assert validation.describe(value) == description
