"""Retry loop of one call: its steps, and the request and the error that it makes."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from xpander_sdk import Configuration, RetryPolicy, Timeouts, errors
from xpander_sdk.client import request_flow as module
from xpander_sdk.client.destination import Destination, build_destination
from xpander_sdk.client.operations import Operation
from xpander_sdk.client.redaction import Redaction
from xpander_sdk.client.request_flow import SendAttempt, Sleep, build_request, request_flow
from xpander_sdk.transport.base import DecodingError, Response, TransportError

KEY = "secret-key-1"
CONFIGURATION = Configuration(
    api_key=KEY,
    organization_id="org-1",
    base_url="https://backend.example/api",
    timeouts=Timeouts(total=30),
    retry=RetryPolicy(attempts=3, first_delay=1.0, max_delay=1.0),
)
OPERATION: Operation[Any] = Operation(
    name="get_task", method="GET", url="/tasks/t1", parse=lambda body, headers: body, report_id="t1"
)
BUSY = Response(503, {}, b"{}")
DONE = Response(200, {}, b'{"id": "t1"}')


class Span:
    """Span that keeps its attributes."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def set_attribute(self, name: str, value: Any) -> None:
        self.attributes[name] = value


@pytest.fixture(autouse=True)
def _clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "monotonic", lambda: 1_000.0)


@pytest.fixture
def destination() -> Destination:
    return build_destination(CONFIGURATION)


@pytest.fixture
def run(destination: Destination) -> Callable[..., tuple[list[str], Any]]:
    """Return a function that gives outcomes to a flow, and returns its steps and its result or error."""

    def run(
        *outcomes: Any, operation: Operation[Any] = OPERATION, configuration: Configuration = CONFIGURATION,
        span: Span | None = None,
    ) -> tuple[list[str], Any]:  # fmt: skip
        flow = request_flow(configuration, destination, operation, Redaction(KEY, destination), span)
        remaining, steps = list(outcomes), []
        step: SendAttempt | Sleep = next(flow)
        while True:
            steps.append("send" if isinstance(step, SendAttempt) else "sleep")
            try:
                step = flow.send(remaining.pop(0) if isinstance(step, SendAttempt) else None)
            except StopIteration as end:
                return steps, end.value
            except errors.ModuleException as error:
                return steps, error

    return run


def test_accepted_request_returns_the_parsed_response(run):
    assert run(DONE) == (["send"], {"id": "t1"})


@pytest.mark.parametrize(
    "outcome", [BUSY, Response(429, {}, b""), TransportError("away"), TransportError("slow", is_timeout=True)]
)
def test_temporary_failure_is_followed_by_another_attempt(run, outcome):
    assert run(outcome, outcome, DONE) == (["send", "sleep", "send", "sleep", "send"], {"id": "t1"})


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Response(400, {}, b""), errors.InvalidReportError),
        (Response(199, {}, b""), errors.ContractError),
        (Response(300, {}, b""), errors.ContractError),
        (TransportError("reset", is_retryable=False), errors.ConnectionFailedError),
        (DecodingError("zlib", 200), errors.ContractError),
    ],
)
def test_lasting_failure_is_raised_at_once(run, outcome, kind):
    steps, error = run(outcome)
    assert steps == ["send"]
    assert type(error) is kind


@pytest.mark.parametrize("status", [200, 201, 299])
def test_all_statuses_of_success_are_accepted(run, status):
    assert run(Response(status, {}, b"5")) == (["send"], 5)


def test_last_attempt_raises_the_error_with_the_number_of_attempts(run):
    steps, error = run(BUSY, BUSY, BUSY)
    assert steps == ["send", "sleep", "send", "sleep", "send"]
    assert (error.status_code, error.attempts, error.report_id) == (503, 3, "t1")


def test_flow_sleeps_as_long_as_the_backend_asks_within_the_total_timeout(destination):
    redaction = Redaction(KEY, destination)
    flow = request_flow(CONFIGURATION, destination, OPERATION, redaction, None)
    first = next(flow)
    assert isinstance(first, SendAttempt)
    assert first.deadline == 1_030.0
    sleep = flow.send(Response(503, {"retry-after": "7"}, b""))
    assert isinstance(sleep, Sleep)
    assert 7.0 <= sleep.seconds <= 8.0
    second = flow.send(None)
    assert isinstance(second, SendAttempt)
    assert (second.request, second.deadline) == (first.request, 1_030.0)


def test_error_states_how_long_the_backend_asks_to_wait(run):
    steps, error = run(Response(503, {"retry-after": "21"}, b""))
    assert (steps, error.retry_after) == (["send"], 21.0)


def test_flow_that_has_no_time_left_raises(run, monkeypatch):
    times = iter([1_000.0, 1_029.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    steps, error = run(Response(503, {"retry-after": "1"}, b""))
    assert (steps, error.attempts) == (["send"], 1)


def test_retries_of_all_calls_share_one_budget(run, destination):
    while destination.budget.withdraw():
        pass
    steps, error = run(BUSY)
    assert (steps, error.status_code) == (["send"], 503)


def test_each_call_returns_a_share_to_the_budget(run, destination):
    while destination.budget.withdraw():
        pass
    for _ in range(11):
        run(DONE)
    assert destination.budget.withdraw()


def test_availability_is_logged_when_it_changes(run, caplog):
    with caplog.at_level(logging.WARNING, "xpander_sdk"):
        run(BUSY, TransportError(f"no route with {KEY}"), DONE)
        run(Response(400, {}, b""))
    target = CONFIGURATION.target
    assert caplog.messages == [
        f"{target} is unavailable: 503. Further failures are not logged until it recovers",
        f"{target} is available again",
    ]


def test_attempts_are_logged_without_secrets(run, caplog):
    with caplog.at_level(logging.DEBUG, "xpander_sdk"):
        run(TransportError(f"no route with {KEY}"), DONE)
    attempts = [message for message in caplog.messages if message.startswith("GET /tasks/t1")]
    assert [message.partition("] ")[2] for message in attempts] == ["attempt 1: no route with ***", "attempt 2: 200"]


def test_span_has_the_number_of_attempts_and_the_last_status(run):
    span = Span()
    run(TransportError("away"), BUSY, DONE, span=span)
    assert span.attributes == {"xpander.attempts": 3, "http.response.status_code": 200}


def test_span_of_a_call_without_a_response_has_no_status(run):
    span = Span()
    run(TransportError("reset", is_retryable=False), span=span)
    assert span.attributes == {"xpander.attempts": 1}


def test_request_has_the_path_the_query_and_the_headers(destination):
    operation = evolve(OPERATION, params={"status": ["a", "b c"]}, headers={"if-match": "1"}, content=b"{}")
    request, info = build_request(CONFIGURATION, destination, operation, KEY)
    headers = dict(request.headers)
    assert (request.method, request.content) == ("GET", b"{}")
    assert request.target.endswith(b"/tasks/t1?status=a&status=b+c")
    assert (headers[b"x-api-key"], headers[b"if-match"], headers[b"content-length"]) == (KEY.encode(), b"1", b"2")
    assert headers[b"x-request-id"].decode() == info.request_id
    assert info.report_id == "t1"


def test_request_without_a_body_has_no_length(destination):
    request, _ = build_request(CONFIGURATION, destination, OPERATION, KEY)
    assert request.content == b""
    assert b"content-length" not in dict(request.headers)
    assert request.target.endswith(b"/tasks/t1")


def test_each_request_has_its_own_id(destination):
    infos = [build_request(CONFIGURATION, destination, OPERATION, KEY)[1] for _ in range(2)]
    assert infos[0].request_id != infos[1].request_id


def test_error_of_a_missing_key_of_the_cloud_names_the_setting_of_another_backend():
    cloud = Configuration(base_url="https://inbound.xpander.ai")
    with pytest.raises(ValueError, match="XPANDER_BASE_URL names another backend, such as sqlite:///runs.db$"):
        build_request(cloud, build_destination(cloud), OPERATION, None)


def test_missing_key_is_an_error_except_for_an_embedded_backend(destination):
    with pytest.raises(ValueError, match=r"api_key must be set for .*; pass Configuration\(api_key=…\)"):
        build_request(CONFIGURATION, destination, OPERATION, None)
    embedded = Configuration(base_url="sqlite:///unused.db")
    request, _ = build_request(embedded, build_destination(embedded), OPERATION, None)
    assert b"x-api-key" not in dict(request.headers)


@pytest.mark.parametrize(
    ("outcome", "kind", "text"),
    [
        (TransportError(f"{KEY} was slow", is_timeout=True), errors.TimedOutError, "did not respond: *** was slow"),
        (TransportError("reset", is_retryable=False), errors.ConnectionFailedError, "did not respond: reset"),
        (DecodingError(f"bad {KEY}", 200), errors.ContractError, "sent a response that cannot be decoded: bad ***"),
    ],
)
def test_error_names_the_backend_and_hides_secrets(run, outcome, kind, text):
    once = evolve(CONFIGURATION, retry=RetryPolicy(attempts=1))
    _, error = run(outcome, configuration=once)
    assert type(error) is kind
    assert f"{CONFIGURATION.target} {text}" in str(error)


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"<html>", "JSONDecodeError: Expecting value"), (b"[" * 100_000, "RecursionError"), (b"\xff", "UnicodeDecode")],
)
def test_response_that_is_no_json_is_an_error(run, body, reason):
    _, error = run(Response(200, {}, body))
    assert type(error) is errors.ContractError
    assert (error.status_code, reason in str(error)) == (200, True)
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("kind", [TypeError, KeyError, IndexError, AttributeError, OverflowError])
def test_response_that_does_not_match_the_api_is_an_error(run, kind):
    def parse(body: Any, headers: Any) -> Any:
        raise kind("x" * 1_000)

    _, error = run(DONE, operation=evolve(OPERATION, parse=parse))
    assert type(error) is errors.ContractError
    assert f"the response does not match the API ({kind.__name__}: " in str(error)
    assert str(error).count("x") < 310


def test_empty_response_is_an_empty_object_where_the_api_allows_it(run):
    assert run(Response(204, {}, b" \n"), operation=evolve(OPERATION, may_be_empty=True)) == (["send"], {})
    assert run(DONE, operation=evolve(OPERATION, may_be_empty=True)) == (["send"], {"id": "t1"})
    assert type(run(Response(204, {}, b""))[1]) is errors.ContractError


def test_parser_gets_the_headers(run):
    operation = evolve(OPERATION, parse=lambda body, headers: (json.dumps(body), headers["x-report-batch"]))
    assert run(Response(200, {"x-report-batch": "256"}, b"{}"), operation=operation) == (["send"], ("{}", "256"))
