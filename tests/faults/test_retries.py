"""Retries: their number, the waits between them, and the warnings about them."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from attrs import evolve

from faults.assertions import assert_no_secrets_leaked, capture_debug_logs, sdk_warnings
from faults.forms import FAST_RETRIES, KEY, TIME_TOLERANCE, TIMEOUTS, Form, report_outcome
from faults.server import FaultServer, Step
from faults.steps import ACCEPT, TASK, hang, respond, send_raw
from xpander_sdk import Backend, ModuleException, RateLimitedError, RetryPolicy, ServerError, TimedOutError, Timeouts

TWO_SECONDS_AHEAD = "a date 2 s ahead"  # the test replaces it by the date
PAST = "Sun, 06 Nov 1994 08:49:37 GMT"


def respond_retry_after(retry_after: str | None, status: int = 429) -> Step:
    if retry_after == TWO_SECONDS_AHEAD:
        retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    return respond(status, {"detail": "later"}, {} if retry_after is None else {"retry-after": retry_after})


@pytest.mark.parametrize(
    ("status", "retry_after", "at_least", "at_most"),
    [
        pytest.param(429, "1", 1.0, 1.5, id="seconds"),
        pytest.param(503, "0.3", 0.3, 0.8, id="503"),
        pytest.param(429, "0.3", 0.3, 0.8, id="fraction-of-second"),
        pytest.param(429, "0", 0.0, 0.5, id="zero"),
        pytest.param(429, TWO_SECONDS_AHEAD, 0.5, 2.5, id="date"),  # the precision of a date is one second
        pytest.param(429, PAST, 0.0, 0.5, id="past-date"),
        pytest.param(429, None, 0.0, 0.5, id="absent"),
        pytest.param(429, "in a while", 0.0, 0.5, id="garbage"),
        pytest.param(429, "-5", 0.0, 0.5, id="negative"),
        pytest.param(429, "Mon, 01 Jan 99999999999 00:00:00 GMT", 0.0, 0.5, id="invalid-date"),
    ],
)
def test_retry_waits_for_retry_after(status, retry_after, at_least, at_most, form: Form):
    with FaultServer(respond_retry_after(retry_after, status), ACCEPT) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert outcome.task is not None
    assert server.attempts == 2
    assert at_least <= outcome.seconds < at_most + TIME_TOLERANCE


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "policy"),
    [
        pytest.param("3600", FAST_RETRIES, id="beyond-default-limit"),
        pytest.param("5", FAST_RETRIES, id="beyond-total-timeout"),
        pytest.param("1", evolve(FAST_RETRIES, max_retry_after=0.5), id="beyond-configured-limit"),
        pytest.param("9" * 400, FAST_RETRIES, id="infinite"),
    ],
)
def test_too_long_retry_after_raises_error_immediately(status, retry_after, policy, form: Form):
    with FaultServer(respond_retry_after(retry_after, status), ACCEPT) as server:
        outcome = report_outcome(form, form.configuration(server.url, retry=policy))
    assert type(outcome.error) is (RateLimitedError if status == 429 else ServerError)
    assert (outcome.error.attempts, server.attempts) == (1, 1)
    assert outcome.error.retry_after == float(retry_after)
    assert outcome.seconds < TIME_TOLERANCE


def test_error_after_last_attempt_has_retry_after(form: Form):
    with FaultServer(respond_retry_after("0.1")) as server:
        outcome = report_outcome(form, form.configuration(server.url))
    assert type(outcome.error) is RateLimitedError
    assert (outcome.error.retry_after, outcome.error.attempts) == (0.1, FAST_RETRIES.attempts)


def test_policy_with_one_attempt_never_retries(form: Form):
    with FaultServer(respond(503)) as server:
        outcome = report_outcome(form, form.configuration(server.url, retry=RetryPolicy(attempts=1)))
    assert outcome.error is not None
    assert (outcome.error.attempts, server.attempts) == (1, 1)


def test_retry_budget_limits_attempts_during_outage(form: Form):
    policy = RetryPolicy(attempts=4, first_delay=0, max_delay=0, budget=10)
    calls = 50
    with FaultServer(respond(503)) as server:
        configuration = form.configuration(server.url, retry=policy)
        errors = [report_outcome(form, configuration).error for _ in range(calls)]
    assert all(type(error) is ServerError for error in errors)
    assert sum(error.attempts for error in errors if error) == server.attempts
    assert calls + policy.budget <= server.attempts <= calls + policy.budget + 0.1 * calls


def test_outage_does_not_use_retry_budget_of_other_destination(form: Form):
    policy = RetryPolicy(attempts=4, first_delay=0, max_delay=0, budget=3)
    with FaultServer(respond(503)) as failing, FaultServer(respond(503), ACCEPT) as other:
        configuration = form.configuration(failing.url, retry=policy)
        for _ in range(5):
            report_outcome(form, configuration)
        assert form.report(form.configuration(other.url, retry=policy)).id == TASK["id"]


def test_outage_and_recovery_are_each_logged_once(form: Form, caplog):
    outage = [respond(503)] * 6
    with capture_debug_logs(caplog), FaultServer(*outage, ACCEPT, ACCEPT, respond(500), ACCEPT) as server:
        configuration = form.configuration(server.url)
        for _ in range(2):
            report_outcome(form, configuration)
        assert len(sdk_warnings(caplog)) == 1
        form.report(configuration)
        assert len(sdk_warnings(caplog)) == 2
        form.report(configuration)
        assert len(sdk_warnings(caplog)) == 2
        form.report(configuration)
    assert server.attempts == 10
    outage_warning, recovery_warning, *second_outage = sdk_warnings(caplog)
    assert configuration.base_url in outage_warning
    assert "503" in outage_warning
    assert configuration.base_url in recovery_warning
    assert "again" in recovery_warning
    assert len(second_outage) == 2
    assert_no_secrets_leaked(None, caplog)


def test_working_destination_causes_no_warning(form: Form, caplog):
    with capture_debug_logs(caplog), FaultServer(ACCEPT, respond(404), ACCEPT) as server:
        configuration = form.configuration(server.url)
        for _ in range(3):
            report_outcome(form, configuration)
    assert sdk_warnings(caplog) == []


def test_options_can_be_changed_for_one_call(form: Form):
    with FaultServer(respond(503)) as server:
        backend = Backend(form.configuration(server.url))
        without_retries = backend.with_options(retry=RetryPolicy(attempts=1))
        assert count_attempts(form, without_retries) == 1
        assert count_attempts(form, backend) == FAST_RETRIES.attempts
        assert count_attempts(form, backend, configuration=without_retries.configuration) == 1
    assert server.attempts == FAST_RETRIES.attempts + 2


def count_attempts(form: Form, backend: Backend, **arguments: Any) -> int:
    with pytest.raises(ModuleException) as raised:
        form.report_by(backend, **arguments)
    return raised.value.attempts


def test_call_uses_its_own_total_timeout(form: Form):
    with FaultServer(hang()) as server:
        configuration = form.configuration(server.url, timeouts=Timeouts(total=60, read=60))
        outcome = report_outcome(form, configuration.with_options(timeouts=Timeouts(total=0.3)))
    assert type(outcome.error) is TimedOutError
    assert outcome.seconds < 0.3 + TIME_TOLERANCE


def test_waits_count_towards_total_timeout(form: Form):
    policy = RetryPolicy(attempts=1_000, first_delay=0.2, max_delay=0.2, budget=1_000)
    with FaultServer(send_raw()) as server:
        outcome = report_outcome(
            form, form.configuration(server.url, retry=policy, timeouts=evolve(TIMEOUTS, total=1.0), api_key=KEY)
        )
    assert outcome.error is not None
    assert outcome.error.attempts > 2
    assert server.attempts in (
        outcome.error.attempts,
        outcome.error.attempts - 1,
    )  # the total timeout may end the last one
    assert outcome.seconds < 1.0 + TIME_TOLERANCE
