"""How often it is tried again, how soon, and what is said of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from attrs import evolve

from faults.calls import (
    EAGER,
    KEY,
    QUICK,
    SLACK,
    Form,
    everything_logged,
    nothing_is_told,
    outcome_of,
    warnings_of,
)
from faults.server import RECORDED, TASK, FaultServer, answer, hangs, sends
from xpander_sdk import Backend, ModuleException, RateLimitedError, RetryPolicy, ServerError, TimedOutError, Timeouts

DATE = "a date 2 s from now"  # which is known only once the test runs
PAST = "Sun, 06 Nov 1994 08:49:37 GMT"


def limited(retry_after: str | None, status: int = 429):
    if retry_after == DATE:
        retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    return answer(status, {"detail": "later"}, {} if retry_after is None else {"retry-after": retry_after})


@pytest.mark.parametrize(
    ("status", "retry_after", "at_least", "at_most"),
    [
        pytest.param(429, "1", 1.0, 1.5, id="seconds"),
        pytest.param(503, "0.3", 0.3, 0.8, id="503"),
        pytest.param(429, "0.3", 0.3, 0.8, id="part-of-a-second"),
        pytest.param(429, "0", 0.0, 0.5, id="zero"),
        pytest.param(429, DATE, 0.5, 2.5, id="date"),  # a date has whole seconds
        pytest.param(429, PAST, 0.0, 0.5, id="date-that-is-past"),
        pytest.param(429, None, 0.0, 0.5, id="absent"),
        pytest.param(429, "in a while", 0.0, 0.5, id="garbage"),
        pytest.param(429, "-5", 0.0, 0.5, id="negative"),
        pytest.param(429, "Mon, 01 Jan 99999999999 00:00:00 GMT", 0.0, 0.5, id="date-beyond-all-dates"),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to(status, retry_after, at_least, at_most, form: Form):
    with FaultServer(limited(retry_after, status), RECORDED) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert outcome.task is not None
    assert server.attempts == 2
    assert at_least <= outcome.seconds < at_most + SLACK


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "policy"),
    [
        pytest.param("3600", EAGER, id="more-than-a-backend-may-ask-for"),
        pytest.param("5", EAGER, id="more-than-is-left"),
        pytest.param("1", evolve(EAGER, max_retry_after=0.5), id="more-than-this-caller-allows"),
        pytest.param("9" * 400, EAGER, id="infinite"),
    ],
)
def test_what_is_too_long_to_wait_for_is_told_at_once(status, retry_after, policy, form: Form):
    with FaultServer(limited(retry_after, status), RECORDED) as server:
        outcome = outcome_of(form, form.configuration(server.url, retry=policy))
    assert type(outcome.error) is (RateLimitedError if status == 429 else ServerError)
    assert (outcome.error.attempts, server.attempts) == (1, 1)
    assert outcome.error.retry_after == float(retry_after)
    assert outcome.seconds < SLACK


def test_what_the_backend_asks_for_is_told_when_all_attempts_failed(form: Form):
    with FaultServer(limited("0.1")) as server:
        outcome = outcome_of(form, form.configuration(server.url))
    assert type(outcome.error) is RateLimitedError
    assert (outcome.error.retry_after, outcome.error.attempts) == (0.1, EAGER.attempts)


def test_one_attempt_is_one_attempt(form: Form):
    with FaultServer(answer(503)) as server:
        outcome = outcome_of(form, form.configuration(server.url, retry=RetryPolicy(attempts=1)))
    assert outcome.error is not None
    assert (outcome.error.attempts, server.attempts) == (1, 1)


def test_an_outage_costs_the_backend_a_tenth_more_and_no_storm(form: Form):
    policy = RetryPolicy(attempts=4, first_delay=0, max_delay=0, budget=10)
    calls = 50
    with FaultServer(answer(503)) as server:
        configuration = form.configuration(server.url, retry=policy)
        errors = [outcome_of(form, configuration).error for _ in range(calls)]
    assert all(type(error) is ServerError for error in errors)
    assert sum(error.attempts for error in errors if error) == server.attempts
    assert calls + policy.budget <= server.attempts <= calls + policy.budget + 0.1 * calls


def test_an_outage_of_one_target_takes_nothing_from_another(form: Form):
    policy = RetryPolicy(attempts=4, first_delay=0, max_delay=0, budget=3)
    with FaultServer(answer(503)) as ill, FaultServer(answer(503), RECORDED) as other:
        down = form.configuration(ill.url, retry=policy)
        for _ in range(5):
            outcome_of(form, down)
        assert form.report(form.configuration(other.url, retry=policy)).id == TASK["id"]


def test_an_outage_is_said_once_and_its_end_once(form: Form, caplog):
    ill = [answer(503)] * 6
    with everything_logged(caplog), FaultServer(*ill, RECORDED, RECORDED, answer(500), RECORDED) as server:
        configuration = form.configuration(server.url)
        for _ in range(2):
            outcome_of(form, configuration)
        assert len(warnings_of(caplog)) == 1
        form.report(configuration)
        assert len(warnings_of(caplog)) == 2
        form.report(configuration)
        assert len(warnings_of(caplog)) == 2
        form.report(configuration)
    assert server.attempts == 10
    gone, back, *again = warnings_of(caplog)
    assert configuration.base_url in gone
    assert "503" in gone
    assert configuration.base_url in back
    assert "again" in back
    assert len(again) == 2
    nothing_is_told(None, caplog)


def test_a_target_that_is_well_is_not_spoken_of(form: Form, caplog):
    with everything_logged(caplog), FaultServer(RECORDED, answer(404), RECORDED) as server:
        configuration = form.configuration(server.url)
        for _ in range(3):
            outcome_of(form, configuration)
    assert warnings_of(caplog) == []


def test_options_may_be_changed_for_one_call(form: Form):
    with FaultServer(answer(503)) as server:
        backend = Backend(form.configuration(server.url))
        once = backend.with_options(retry=RetryPolicy(attempts=1))
        assert attempts_of(form, once) == 1
        assert attempts_of(form, backend) == EAGER.attempts
        assert attempts_of(form, backend, configuration=once.configuration) == 1
    assert server.attempts == EAGER.attempts + 2


def attempts_of(form: Form, backend: Backend, **arguments: Any) -> int:
    with pytest.raises(ModuleException) as raised:
        form.report_by(backend, **arguments)
    return raised.value.attempts


def test_a_call_may_have_a_deadline_of_its_own(form: Form):
    with FaultServer(hangs()) as server:
        configuration = form.configuration(server.url, timeouts=Timeouts(total=60, read=60))
        hurried = configuration.with_options(timeouts=Timeouts(total=0.3))
        outcome = outcome_of(form, hurried)
    assert type(outcome.error) is TimedOutError
    assert outcome.seconds < 0.3 + SLACK


def test_the_waits_count_towards_the_deadline(form: Form):
    policy = RetryPolicy(attempts=1_000, first_delay=0.2, max_delay=0.2, budget=1_000)
    with FaultServer(sends()) as server:
        outcome = outcome_of(
            form, form.configuration(server.url, retry=policy, timeouts=evolve(QUICK, total=1.0), api_key=KEY)
        )
    assert outcome.error is not None
    assert outcome.error.attempts > 2
    assert server.attempts in (outcome.error.attempts, outcome.error.attempts - 1)  # the last may have come too late
    assert outcome.seconds < 1.0 + SLACK
