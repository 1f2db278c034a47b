"""Durations and costs of the command line as text."""

import pytest

from xpander_sdk.cli.render.figures import dollars_text, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (8.511e-06, "<0.01 ms"),
        (0.00042, "0.42 ms"),
        (0.04, "40 ms"),
        (0.0994, "99 ms"),
        (0.0999, "0.10 s"),
        (0.1, "0.10 s"),
        (4.7, "4.70 s"),
        (1_234_567.0, "1,234,567.00 s"),
        (-1.5, "-1.50 s"),
    ],
)
def test_a_short_duration_is_not_shown_as_zero(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("dollars", "digits", "text"),
    [
        (0.0, 4, "$0.0000"),
        (0.000037, 4, "<$0.0001"),
        (0.0001, 4, "$0.0001"),
        (0.000037, 6, "$0.000037"),
        (1_234.5, 2, "$1,234.50"),
        (0.004, 2, "<$0.01"),
    ],
)
def test_a_small_cost_is_not_shown_as_zero(dollars, digits, text):
    assert dollars_text(dollars, digits) == text
