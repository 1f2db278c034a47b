"""Reason of a failure: where it is found, and its form."""

import json

import pytest

from xpander_server.domain.failure_reason import MAX_REASON_LENGTH, failure_reason, find_failure

NOTHING = {"error": None, "result": None, "calls": None, "llm_response": None}


def reason(**fields):
    return failure_reason(**{"is_success": False, **NOTHING, **fields})


def test_first_text_in_the_documented_order_is_the_reason():
    fields = {
        "error": "reported",
        "result": "result",
        "calls": [{"error": "first call"}, {"error": "last call"}, {"model": "m"}],
        "llm_response": '{"error": {"message": "response"}}',
    }
    expected = [("reported", "error"), ("result", "result"), ("last call", "calls"), ("response", "llm_response")]
    for name, (text, source) in zip(list(fields), expected, strict=True):
        failure = find_failure(**{**NOTHING, **fields})
        assert failure is not None
        assert (failure.text, failure.source) == (text, source)
        assert reason(**fields) == text
        fields[name] = None
    assert reason() is None


@pytest.mark.parametrize(
    "response",
    [
        {"error": {"message": "broken", "type": "server_error"}},
        {"error": "broken"},
        {"message": "broken"},
        {"detail": "broken"},
        {"error": {"error": {"detail": "broken"}}},
        [{"message": "fine"}, {"error": {"message": "broken"}}],
    ],
)
def test_reason_is_found_in_responses_of_different_forms(response):
    assert reason(llm_response=json.dumps(response)) == "broken"


@pytest.mark.parametrize("response", ["", "[]", "{}", "null", '"text"', "[[[[[[1]]]]]]", '{"error": [1]}', "{broken"])
def test_response_without_an_error_gives_no_reason(response):
    assert reason(llm_response=response) is None


def test_reason_is_one_line_of_limited_length():
    assert reason(error="Traceback:\n\tline\x00 1\u2028end") == "Traceback: line 1 end"
    long = reason(error="word " * 10_000)
    assert long is not None
    assert len(long) <= MAX_REASON_LENGTH
    assert long.endswith("…")


@pytest.mark.parametrize("is_success", [True, None])
def test_run_that_did_not_fail_has_no_reason(is_success):
    assert reason(is_success=is_success, error="a warning") is None
