"""Rules about the fields of a report that a backend supports."""

import json
from typing import Any

import pytest

from xpander_sdk.client.report_fields import (
    extended_fields,
    is_final_answer,
    limit_report,
    may_be_remembered,
    read_supported_fields,
)
from xpander_sdk.errors import ContractError, ModuleException
from xpander_sdk.reporting import fields
from xpander_sdk.reporting.report import Report, new_report

NONE: frozenset[str] = frozenset()


def stored_report(content: bytes) -> Report:
    """Return a report as the outbox returns it: the extended fields are not known."""
    return Report(agent_id="a", id="r", reported_at=1, content=content)


def limited(supported: frozenset[str] = NONE, **arguments: Any) -> dict[str, Any]:
    report = limit_report(new_report("a", id="r", **arguments), supported)
    content: dict[str, Any] = json.loads(report.content)
    assert report.extended_fields == frozenset(content).difference(fields.documented_names())
    return content


def test_new_report_knows_its_extended_fields():
    assert extended_fields(new_report("a", result="r")) == NONE
    assert extended_fields(new_report("a", error="e", user_id="u")) == {"error", "user_id"}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b'{"id":"r","error":"e","metadata":{}}', {"error", "metadata"}),
        (b'{"id":"r","llm_response":{"error":null}}', NONE),
        (b'{"id":"r","result":"no error"}', NONE),
        (b'{"id":"r","future":1}', NONE),  # no name of an extended field: the report is sent as it is
        (b'{"error": not JSON', NONE),
        (b'["error"]', NONE),
    ],
)
def test_extended_fields_of_a_stored_report(content, names):
    assert extended_fields(stored_report(content)) == names


def test_limited_report_has_the_documented_fields_in_their_order():
    content = limited(error="e", calls=[{"model": "m"}], user_id="u", metadata={"a": "1"}, result="r")
    assert list(content) == list(fields.documented_names())
    assert content["result"] == "r"


def test_limited_report_keeps_supported_fields():
    assert "user_id" in limited(frozenset({"user_id"}), error="e", user_id="u")


@pytest.mark.parametrize(("result", "expected"), [(None, "e"), ("", "e"), ("r", "r")])
def test_error_takes_the_place_of_an_empty_result(result, expected):
    assert limited(error="e", result=result)["result"] == expected


@pytest.mark.parametrize("result", [None, ""])
def test_empty_result_stays_without_an_error(result):
    assert limited(user_id="u", result=result)["result"] == result


def test_supported_error_stays_in_its_field():
    content = limited(frozenset({"error"}), error="e", user_id="u")
    assert (content["error"], content["result"]) == ("e", None)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"report_fields": ["error", "calls"]}, {"error", "calls"}),
        ({"report_fields": ["error", 5]}, {"error"}),
        ({"report_fields": "error"}, NONE),
        ({"report_fields": None}, NONE),
        ({"status": "ok"}, NONE),
        (["report_fields"], NONE),
        (None, NONE),
    ],
)
def test_supported_fields_of_a_response(body, names):
    assert read_supported_fields(body) == names


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501])
def test_other_backend_answers_finally(status):
    assert is_final_answer(ModuleException(status, "no"))


@pytest.mark.parametrize("status", [None, 408, 425, 429, 502, 503, 504])
def test_backend_that_cannot_answer_now_may_support_the_fields(status):
    assert not is_final_answer(ModuleException(status, "no"))


def test_unreadable_response_is_final():
    assert is_final_answer(ContractError(None, "no"))


@pytest.mark.parametrize(("status", "expected"), [(401, False), (403, False), (407, False), (404, True), (None, True)])
def test_only_refused_access_is_not_remembered(status, expected):
    assert may_be_remembered(ModuleException(status, "no")) is expected
