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
