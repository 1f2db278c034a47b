"""Table of faults: the error that a caller gets, the number of attempts, and the shortest duration."""

from attrs import field, frozen

from faults.forms import FAST_RETRIES, RESULT, SHORT_TIMEOUTS, TIMEOUTS
from faults.server import FaultServer, Step
from faults.steps import (
    ACCEPT,
    TASK,
    close_immediately,
    drip,
    gzip_json,
    hang,
    never_read,
    raw_response,
    read_slowly,
    reset_after_request,
    reset_immediately,
    respond,
    respond_before_body,
    send_raw,
)
from xpander_sdk import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    ContractError,
    InvalidReportError,
    ModuleException,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    TimedOutError,
    Timeouts,
    TooLargeError,
)

ALL = FAST_RETRIES.attempts
DETAIL = {"detail": "because"}
PROBLEM = {"loc": ["body", "duration"], "msg": "must not be negative", "type": "value_error"}
HTML = b"<!doctype html><title>Gateway</title><h1>Something went wrong</h1>"
CREATED = raw_response(201, TASK)
HEAD, _, BODY = CREATED.partition(b"\r\n\r\n")
GZIP = {"content-encoding": "gzip"}
HTML_TYPE = {"content-type": "text/html"}


@frozen
class FaultCase:
    """Faults of a server, and the expected outcome of a report.

    Attributes:
        name: ID of the test case.
        script: step for every attempt, or one step per attempt.
        error: type of the error; None if the report succeeds.
        status: status code of the error.
        attempts: number of attempts.
        description: part of the error's description.
        timeouts: timeouts of the client.
        at_least: shortest duration of the call in seconds.
        result: result that is reported.
    """

    name: str
    script: tuple[Step, ...] | Step
    error: type[ModuleException] | None = None
    status: int | None = None
    attempts: int = 1
    description: str = ""
    timeouts: Timeouts = TIMEOUTS
    at_least: float = 0.0
    result: str = field(default=RESULT, repr=False)

    @property
    def server(self) -> FaultServer:
        return FaultServer(*(self.script if isinstance(self.script, tuple) else (self.script,)))


def error_status(status: int, error: type[ModuleException], attempts: int = 1) -> FaultCase:
    return FaultCase(str(status), respond(status, DETAIL), error, status, attempts, description="because")


def lost_connection(name: str, step: Step) -> FaultCase:
    """Return a case in which every attempt loses its connection."""
    return FaultCase(name, step, ConnectionFailedError, attempts=ALL)


def read_timeout(name: str, step: Step) -> FaultCase:
    """Return a case in which every attempt exceeds the read timeout."""
    return FaultCase(
        name, step, TimedOutError, attempts=ALL, timeouts=SHORT_TIMEOUTS, at_least=ALL * SHORT_TIMEOUTS.read
    )


def invalid_response(name: str, step: Step, status: int = 200) -> FaultCase:
    """Return a case with an invalid response; the run may be recorded, so the client does not retry."""
    return FaultCase(name, step, ContractError, status)


ERROR_RESPONSES = [
    error_status(400, InvalidReportError),
    error_status(401, AuthenticationError),
    error_status(403, PermissionDeniedError),
    error_status(404, NotFoundError),
    error_status(405, ContractError),
    error_status(408, TimedOutError, ALL),
    error_status(409, ConflictError),
    error_status(413, TooLargeError),
    error_status(415, InvalidReportError),
    FaultCase(
        "422",
        respond(422, {"detail": [PROBLEM]}),
        InvalidReportError,
        422,
        description="body.duration: must not be negative",
    ),
    error_status(429, RateLimitedError, ALL),
    error_status(500, ServerError, ALL),
    error_status(501, ServerError),
    error_status(502, ServerError, ALL),
    error_status(503, ServerError, ALL),
    error_status(504, ServerError, ALL),
    error_status(520, ServerError),
    FaultCase("html-instead-of-json", respond(502, HTML, HTML_TYPE), ServerError, 502, ALL, "Gateway"),
    FaultCase("500-without-body", respond(500), ServerError, 500, ALL, "The backend gave no reason."),
    FaultCase("401-without-body", respond(401), AuthenticationError, 401, 1, "The backend gave no reason."),
    FaultCase("redirect-without-location", respond(302), ContractError, 302, 1, "redirects to nowhere"),
    FaultCase(
        "413-before-body-is-sent",
        respond_before_body(raw_response(413, DETAIL)),
        TooLargeError,
        413,
        description="because",
        result="x" * 4_000_000,
    ),
    FaultCase("502-with-broken-gzip", respond(502, b"not gzip at all", GZIP), ServerError, 502, ALL),
]

SUCCESSES_AND_RETRIES = [
    FaultCase("first-attempt", ACCEPT),
    FaultCase("200", respond(200, TASK)),
    FaultCase("503-then-success", (respond(503, DETAIL), ACCEPT), attempts=2),
    FaultCase("two-different-faults-then-success", (respond(500), reset_after_request, ACCEPT), attempts=3),
    FaultCase("429-then-403", (respond(429), respond(403, DETAIL)), PermissionDeniedError, 403, 2, "because"),
    FaultCase("hang-then-success", (hang(), ACCEPT), attempts=2, timeouts=SHORT_TIMEOUTS, at_least=SHORT_TIMEOUTS.read),
]

CONNECTION_FAULTS = [
    lost_connection("reset-immediately", reset_immediately),
    lost_connection("reset-after-request", reset_after_request),
    lost_connection("closed-immediately", close_immediately),
    lost_connection("closed-before-headers", send_raw()),
    lost_connection("closed-within-headers", send_raw(CREATED[:40])),
    lost_connection("closed-within-body", send_raw(CREATED[:-10])),
    read_timeout("hang-before-headers", hang()),
    read_timeout("hang-within-headers", hang(CREATED[:40])),
    read_timeout("hang-before-body", hang(HEAD + b"\r\n\r\n")),
    read_timeout("hang-within-body", hang(CREATED[:-10])),
    read_timeout("request-never-read", never_read),
    lost_connection("not-http", send_raw(b"SSH-2.0-OpenSSH_9.9\r\n")),
    lost_connection("http-0.9", send_raw(HTML)),
]

# Only the total timeout ends these calls: each single read or write is in time.
SHORT_TOTAL = Timeouts(connect=0.5, read=0.5, total=1.0)
TOTAL_BEFORE_READ = Timeouts(connect=0.5, read=60.0, total=1.0)
TOTAL_TIMEOUTS = [
    FaultCase("headers-byte-by-byte", drip(CREATED), TimedOutError, timeouts=SHORT_TOTAL, at_least=0.9),
    FaultCase(
        "body-byte-by-byte",
        drip(CREATED, prefix_length=len(HEAD) + 4),
        TimedOutError,
        timeouts=SHORT_TOTAL,
        at_least=0.9,
    ),
    FaultCase(
        "endless-1xx-responses",
        drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 9, interval=0.01),
        TimedOutError,
        timeouts=SHORT_TOTAL,
    ),
    FaultCase("total-before-read", hang(), TimedOutError, timeouts=TOTAL_BEFORE_READ, at_least=0.9),
    FaultCase(
        "request-read-too-slowly",
        read_slowly(interval=0.05),
        TimedOutError,
        timeouts=TOTAL_BEFORE_READ,
        at_least=0.9,
        result="x" * 16_000_000,
    ),
]

INVALID_RESPONSES = [
    invalid_response("200-with-html", respond(200, HTML, HTML_TYPE)),
    invalid_response("invalid-json", respond(200, b"{")),
    invalid_response("invalid-utf-8", respond(200, b"\xff\xfe\x00")),
    invalid_response("array", respond(200, [TASK])),
    invalid_response("null", respond(200, b"null")),
    invalid_response("nested-too-deeply", respond(200, b"[" * 100_000)),
    invalid_response("number-too-long", respond(200, b"1" * 5_000)),
    invalid_response("text", respond(200, b'"ok"')),
    invalid_response("another-run", respond(200, {**TASK, "id": "another"})),
    invalid_response("another-run-by-number", respond(200, {**TASK, "id": 1})),
    invalid_response("content-length-too-short", send_raw(raw_response(200, TASK, length=20), keep_open=True)),
    lost_connection("content-length-too-long", send_raw(raw_response(200, TASK, length=9_999))),
    lost_connection("content-length-not-a-number", send_raw(raw_response(200, TASK, length="many"))),
    invalid_response("broken-gzip", respond(200, b"not gzip at all", GZIP)),
    invalid_response("truncated-gzip", respond(200, gzip_json(TASK)[:-30], GZIP)),
    invalid_response("unsupported-encoding", respond(200, b"whatever", {"content-encoding": "br"})),
]

UNUSUAL_VALID_RESPONSES = [
    FaultCase("gzip", respond(200, gzip_json(TASK), GZIP)),
    # The bounds on token counts apply to reports, not to responses.
    FaultCase("more-tokens-than-a-report-may-contain", respond(200, {**TASK, "tokens": {"prompt_tokens": 10**13}})),
    FaultCase("json-with-content-type-text", respond(200, TASK, {"content-type": "text/plain"})),
    FaultCase("100-before-response", send_raw(b"HTTP/1.1 100 Continue\r\n\r\n", CREATED, keep_open=True)),
    FaultCase(
        "103-before-response", send_raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", CREATED, keep_open=True)
    ),
    FaultCase("body-until-close", send_raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)),
    FaultCase(
        "chunked",
        send_raw(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
            keep_open=True,
        ),
    ),
    # Sending takes longer than the read timeout, but never stops for that long.
    FaultCase(
        "request-read-slowly",
        read_slowly(interval=0.02),
        timeouts=Timeouts(connect=1.0, read=2.0, total=10.0),
        at_least=1.0,
        result="x" * 20_000_000,
    ),
    FaultCase("slow-body-in-time", drip(CREATED, prefix_length=len(CREATED) - 10, interval=0.02)),
]

FAULT_CASES = [
    *ERROR_RESPONSES,
    *SUCCESSES_AND_RETRIES,
    *CONNECTION_FAULTS,
    *TOTAL_TIMEOUTS,
    *INVALID_RESPONSES,
    *UNUSUAL_VALID_RESPONSES,
]
