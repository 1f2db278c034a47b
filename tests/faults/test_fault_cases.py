"""Every fault of the table, in both forms; and details of errors and responses."""

import pytest

from faults.assertions import assert_attempts_identical, assert_no_secrets_leaked, capture_debug_logs
from faults.fault_cases import DETAIL, FAULT_CASES, PROBLEM, FaultCase
from faults.forms import Form, report_outcome
from faults.server import FaultServer
from faults.steps import ACCEPT, TASK, respond
from xpander_sdk import ConnectionFailedError, ContractError, NotFoundError


@pytest.mark.parametrize("case", FAULT_CASES, ids=lambda case: case.name)
def test_fault_has_expected_outcome(case: FaultCase, form: Form, caplog, spans):
    with capture_debug_logs(caplog), case.server as server:
        outcome = report_outcome(form, form.configuration(server.url, timeouts=case.timeouts), result=case.result)
    error = outcome.error
    assert type(error) is (case.error or type(None)), repr(error)
    if error is not None:
        assert error.status_code == case.status
        assert error.attempts == case.attempts
        assert case.description in error.description
    else:
        assert outcome.task is not None
        assert outcome.task.id == TASK["id"]
    assert server.attempts == case.attempts
    assert outcome.seconds >= case.at_least
    assert_attempts_identical(server, error if error and not error.status_code else None)
    assert_no_secrets_leaked(error, caplog, spans)


def test_error_of_rejected_report_contains_problems(form: Form):
    with FaultServer(respond(422, {"detail": [PROBLEM]})) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert isinstance(outcome.error, ValueError)
    assert outcome.error.problems == [PROBLEM]


def test_unknown_status_and_fields_of_response_are_kept(form: Form):
    newer_task = {**TASK, "status": "hibernating", "llm_model_name": "gpt-9"}
    with FaultServer(respond(200, newer_task)) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert outcome.task is not None
    assert str(outcome.task.status) == "hibernating"
    assert outcome.task.extra == {"llm_model_name": "gpt-9"}


def test_error_has_request_id_of_backend(form: Form):
    with FaultServer(respond(404, DETAIL, {"x-request-id": "req-of-the-backend"})) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert outcome.error is not None
    assert outcome.error.request_id == "req-of-the-backend"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_raises_error_and_is_not_followed(status: int, form: Form, caplog):
    # A client that follows the redirect would send the key to another server.
    with capture_debug_logs(caplog), FaultServer(ACCEPT) as other:
        location = f"{other.url}/elsewhere"
        with FaultServer(respond(status, None, {"location": location})) as server:
            outcome = report_outcome(form, form.configuration(server.url))
    assert type(outcome.error) is ContractError
    assert (outcome.error.status_code, outcome.error.attempts, server.attempts) == (status, 1, 1)
    assert location in outcome.error.description
    assert other.attempts == 0
    assert_no_secrets_leaked(outcome.error, caplog)


def test_error_of_an_unknown_address_names_base_url(form: Form):
    with FaultServer(respond(404, {"detail": "Not Found."})) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert isinstance(outcome.error, NotFoundError)
    assert outcome.error.description == ("Not Found. Is base_url the address of a backend, without the path of a page?")


def test_error_of_a_refused_connection_asks_for_the_server(form: Form):
    with FaultServer(ACCEPT) as server:
        url = server.url
    outcome = report_outcome(form, form.configuration(url))
    assert isinstance(outcome.error, ConnectionFailedError)
    assert outcome.error.description.endswith("Does the server run, and is its address in base_url right?")
