"""Each fault of the table, in both forms."""

import pytest

from faults.calls import Form, every_attempt_is_the_same, everything_logged, nothing_is_told, outcome_of
from faults.server import RECORDED, TASK, FaultServer, answer
from faults.table import PROBLEM, ROWS, WHY, Row
from xpander_sdk import ContractError


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_ends_as_the_table_says(row: Row, form: Form, caplog, spans):
    with everything_logged(caplog), row.server as server:
        outcome = outcome_of(form, form.configuration(server.url, timeouts=row.timeouts), result=row.result)
    error = outcome.error
    assert type(error) is (row.error or type(None)), repr(error)
    if error is not None:
        assert error.status_code == row.status
        assert error.attempts == row.attempts
        assert row.description in error.description
    else:
        assert outcome.task is not None
        assert outcome.task.id == TASK["id"]
    assert server.attempts == row.attempts
    assert outcome.seconds >= row.at_least
    every_attempt_is_the_same(server, error if error and not error.status_code else None)
    nothing_is_told(error, caplog, spans)


def test_the_problems_of_a_refused_report_are_told(form: Form):
    with FaultServer(answer(422, {"detail": [PROBLEM]})) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert isinstance(outcome.error, ValueError)
    assert outcome.error.problems == [PROBLEM]


def test_an_answer_that_is_newer_than_the_client_is_kept_as_it_is(form: Form):
    newer = {**TASK, "status": "hibernating", "llm_model_name": "gpt-9"}
    with FaultServer(answer(200, newer)) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert outcome.task is not None
    assert str(outcome.task.status) == "hibernating"
    assert outcome.task.extra == {"llm_model_name": "gpt-9"}


def test_the_name_of_the_request_is_the_one_that_the_backend_logged(form: Form):
    with FaultServer(answer(404, WHY, {"x-request-id": "req-of-the-backend"})) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert outcome.error is not None
    assert outcome.error.request_id == "req-of-the-backend"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_never_followed(status: int, form: Form, caplog):
    # The key would go where nobody meant it to.
    with everything_logged(caplog), FaultServer(RECORDED) as other:
        elsewhere = f"{other.url}/elsewhere"
        with FaultServer(answer(status, None, {"location": elsewhere})) as server:
            outcome = outcome_of(form, form.configuration(server.url))
    assert type(outcome.error) is ContractError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (status, 1, 1)
    assert elsewhere in outcome.error.description
    assert other.attempts == 0
    nothing_is_told(outcome.error, caplog)
