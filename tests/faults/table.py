"""The table of faults: what a caller sees of each, after how many attempts, and how soon."""

from attrs import field, frozen

from faults.calls import HURRIED, QUICK
from faults.server import (
    RECORDED,
    TASK,
    FaultServer,
    Step,
    answer,
    answers_before_the_body,
    close_at_once,
    drips,
    hangs,
    never_reads,
    reads_slowly,
    reset_after_request,
    reset_at_once,
    sends,
    wire,
    zipped,
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

ALL = 3  # attempts, as the tests' policy has them
WHY = {"detail": "because"}
PROBLEM = {"loc": ["body", "duration"], "msg": "must not be negative", "type": "value_error"}
HTML = b"<!doctype html><title>Gateway</title><h1>Something went wrong</h1>"
ANSWERED = wire(201, TASK)
HEAD, _, BODY = ANSWERED.partition(b"\r\n\r\n")
GZIP = {"content-encoding": "gzip"}


@frozen
class Row:
    """A fault, and what becomes of it. `error` None stands for a task."""

    name: str
    script: tuple[Step, ...] | Step
    error: type[ModuleException] | None = None
    status: int | None = None
    attempts: int = 1
    description: str = ""
    timeouts: Timeouts = QUICK
    at_least: float = 0.0
    result: str = field(default="result-that-is-private", repr=False)

    @property
    def server(self) -> FaultServer:
        return FaultServer(*(self.script if isinstance(self.script, tuple) else (self.script,)))


def refused(status: int, error: type[ModuleException], attempts: int = 1) -> Row:
    return Row(str(status), answer(status, WHY), error, status, attempts, description="because")


def unusable(name: str, step: Step, status: int = 200) -> Row:
    """It was answered, and may have been recorded: nothing is sent again."""
    return Row(name, step, ContractError, status)


STATUSES = [
    refused(400, InvalidReportError),
    refused(401, AuthenticationError),
    refused(403, PermissionDeniedError),
    refused(404, NotFoundError),
    refused(405, ContractError),
    refused(408, TimedOutError, ALL),
    refused(409, ConflictError),
    refused(413, TooLargeError),
    refused(415, InvalidReportError),
    Row("422", answer(422, {"detail": [PROBLEM]}), InvalidReportError, 422, 1, "body.duration: must not be negative"),
    refused(429, RateLimitedError, ALL),
    refused(500, ServerError, ALL),
    refused(501, ServerError),
    refused(502, ServerError, ALL),
    refused(503, ServerError, ALL),
    refused(504, ServerError, ALL),
    refused(520, ServerError),
    Row("html-in-place-of-json", answer(502, HTML, {"content-type": "text/html"}), ServerError, 502, ALL, "Gateway"),
    Row("an-error-without-a-body", answer(500), ServerError, 500, ALL, "The backend gave no reason."),
    Row("401-without-a-body", answer(401), AuthenticationError, 401, 1, "The backend gave no reason."),
    Row("a-redirect-to-nowhere", answer(302), ContractError, 302, 1, "redirects to nowhere"),
    Row(
        "413-before-the-body-is-sent",
        answers_before_the_body(wire(413, WHY)),
        TooLargeError,
        413,
        description="because",
        result="x" * 4_000_000,
    ),
    Row("502-in-broken-gzip", answer(502, b"not gzip at all", GZIP), ServerError, 502, ALL),
]

PASSING = [
    Row("first-try", RECORDED),
    Row("200", answer(200, TASK)),
    Row("503-then-well", (answer(503, WHY), RECORDED), attempts=2),
    Row("two-different-faults-then-well", (answer(500), reset_after_request, RECORDED), attempts=3),
    Row("429-then-forbidden", (answer(429), answer(403, WHY)), PermissionDeniedError, 403, 2, "because"),
    Row("hang-then-well", (hangs(), RECORDED), attempts=2, timeouts=HURRIED, at_least=HURRIED.read),
]

CONNECTIONS = [
    Row("reset-at-once", reset_at_once, ConnectionFailedError, attempts=ALL),
    Row("reset-after-the-request", reset_after_request, ConnectionFailedError, attempts=ALL),
    Row("closed-at-once", close_at_once, ConnectionFailedError, attempts=ALL),
    Row("closed-before-the-headers", sends(), ConnectionFailedError, attempts=ALL),
    Row("closed-mid-headers", sends(ANSWERED[:40]), ConnectionFailedError, attempts=ALL),
    Row("closed-mid-body", sends(ANSWERED[:-10]), ConnectionFailedError, attempts=ALL),
    Row("hang-on-headers", hangs(), TimedOutError, attempts=ALL, timeouts=HURRIED, at_least=ALL * HURRIED.read),
    Row(
        "hang-mid-headers",
        hangs(ANSWERED[:40]),
        TimedOutError,
        attempts=ALL,
        timeouts=HURRIED,
        at_least=ALL * HURRIED.read,
    ),
    Row(
        "hang-on-body",
        hangs(HEAD + b"\r\n\r\n"),
        TimedOutError,
        attempts=ALL,
        timeouts=HURRIED,
        at_least=ALL * HURRIED.read,
    ),
    Row(
        "hang-mid-body",
        hangs(ANSWERED[:-10]),
        TimedOutError,
        attempts=ALL,
        timeouts=HURRIED,
        at_least=ALL * HURRIED.read,
    ),
    Row("black-hole", never_reads, TimedOutError, attempts=ALL, timeouts=HURRIED, at_least=ALL * HURRIED.read),
    Row("not-http", sends(b"SSH-2.0-OpenSSH_9.9\r\n"), ConnectionFailedError, attempts=ALL),
    Row("http-0.9", sends(HTML), ConnectionFailedError, attempts=ALL),
]

# The total ends these: no part of any of them is late by itself.
SLOW = Timeouts(connect=0.5, read=0.5, total=1.0)
LONG_READ = Timeouts(connect=0.5, read=60.0, total=1.0)
DEADLINES = [
    Row("headers-byte-by-byte", drips(ANSWERED), TimedOutError, timeouts=SLOW, at_least=0.9),
    Row("body-byte-by-byte", drips(ANSWERED, at_once=len(HEAD) + 4), TimedOutError, timeouts=SLOW, at_least=0.9),
    Row("1xx-for-ever", drips(b"HTTP/1.1 102 Processing\r\n\r\n" * 9, every=0.01), TimedOutError, timeouts=SLOW),
    Row("total-before-read", hangs(), TimedOutError, timeouts=LONG_READ, at_least=0.9),
    Row(
        "request-taken-bit-by-bit",
        reads_slowly(every=0.05),
        TimedOutError,
        timeouts=LONG_READ,
        at_least=0.9,
        result="x" * 16_000_000,
    ),
]

UNUSABLE = [
    unusable("html-200", answer(200, HTML, {"content-type": "text/html"})),
    unusable("empty-200", answer(200)),
    Row("204", answer(204), ContractError, 204),
    unusable("no-json", answer(200, b"{")),
    unusable("no-text", answer(200, b"\xff\xfe\x00")),
    unusable("an-array", answer(200, [TASK])),
    unusable("null", answer(200, b"null")),
    unusable("nested-too-deep", answer(200, b"[" * 100_000)),
    unusable("number-too-long", answer(200, b"1" * 5_000)),
    *(
        unusable(f"without-{name}", answer(200, {k: v for k, v in TASK.items() if k != name}))
        for name in ("id", "status")
    ),
    unusable("a-time-beyond-all-times", answer(200, {**TASK, "created_at": "9999-12-31T24:00:00"})),
    unusable("a-time-before-all-times", answer(200, {**TASK, "created_at": "0001-01-01T00:00:00+14:00"})),
    unusable("tokens-that-are-none", answer(200, {**TASK, "tokens": "many"})),
    unusable("a-user-that-is-none", answer(200, {**TASK, "input": {"user": 5}})),
    unusable("content-length-too-short", sends(wire(200, TASK, length=20), is_kept=True)),
    Row("content-length-too-long", sends(wire(200, TASK, length=9_999)), ConnectionFailedError, attempts=ALL),
    Row("content-length-of-no-number", sends(wire(200, TASK, length="many")), ConnectionFailedError, attempts=ALL),
    unusable("broken-gzip", answer(200, b"not gzip at all", GZIP)),
    unusable("gzip-cut-short", answer(200, zipped(TASK)[:-30], GZIP)),
    unusable("an-encoding-not-asked-for", answer(200, b"whatever", {"content-encoding": "br"})),
]

USABLE = [
    Row("gzip", answer(200, zipped(TASK), GZIP)),
    # Bounds are for what is reported; an answer is read as it is.
    Row("more-tokens-than-may-be-reported", answer(200, {**TASK, "tokens": {"prompt_tokens": 10**13}})),
    Row("json-that-is-called-text", answer(200, TASK, {"content-type": "text/plain"})),
    Row("100-first", sends(b"HTTP/1.1 100 Continue\r\n\r\n", ANSWERED, is_kept=True)),
    Row("103-first", sends(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", ANSWERED, is_kept=True)),
    Row("until-it-closes", sends(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)),
    Row(
        "chunked",
        sends(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
            is_kept=True,
        ),
    ),
    # What takes long is the request, which is under way all the time.
    Row(
        "request-taken-slowly",
        reads_slowly(every=0.02),
        timeouts=Timeouts(connect=1.0, read=2.0, total=10.0),
        at_least=1.0,
        result="x" * 20_000_000,
    ),
    Row("slow-but-in-time", drips(ANSWERED, at_once=len(ANSWERED) - 10, every=0.02)),
]

ROWS = [*STATUSES, *PASSING, *CONNECTIONS, *DEADLINES, *UNUSABLE, *USABLE]
