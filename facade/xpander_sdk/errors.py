"""Errors of the SDK.

    ModuleException
    ├── AuthenticationError      401, PermissionError
    ├── PermissionDeniedError    403, PermissionError
    ├── NotFoundError            404, LookupError
    ├── ConflictError            409
    ├── TooLargeError            413
    ├── InvalidReportError       400, 415, 422, ValueError: `problems` names the fields
    ├── RateLimitedError         429: `retry_after`
    ├── ServerError              5xx
    ├── ConnectionFailedError    no response, ConnectionError
    ├── TimedOutError            no response in time, TimeoutError
    ├── ContractError            a response that does not match the API
    └── OutboxError              the outbox cannot store a report
        └── OutboxFullError      the outbox has no room

`error_from_response` is the only function that converts responses to errors.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from xpander_sdk._records import evolve, frozen

if TYPE_CHECKING:
    from xpander_sdk.receipt import Receipt


@frozen(kw_only=True)
class RequestInfo:
    """Description of the call that caused an error.

    Attributes:
        attempts: Number of requests that were sent.
        report_id: The id of the report; None if the call was not a report.
        request_id: The id of the request in the logs of client and server; None if no request was sent.
    """

    attempts: int = 1
    report_id: str | None = None
    request_id: str | None = None


_NO_INFO = RequestInfo()


class ModuleException(Exception):
    """Error of a call: the backend rejected it, did not respond, or its response is unusable.

    Attributes:
        status_code: HTTP status of the response; None if there was no response.
        description: The reason.
        attempts: Number of requests that were sent.
        report_id: The id of the report, for another attempt; None if the call was not a report.
        request_id: The id of the request in the logs of client and server; None if no request was sent.
        retry_after: Seconds that the backend asks to wait; None if it does not.
        problems: Dicts with `loc`, `msg` and `type`, one for each field that the backend rejected.
        receipt: Receipt of the outbox, if the undelivered report is stored there; else None.
    """

    receipt: "Receipt[Any] | None" = None

    def __init__(
        self,
        status_code: int | None,
        description: str,
        info: RequestInfo = _NO_INFO,
        *,
        retry_after: float | None = None,
        problems: list[dict[str, Any]] | None = None,
    ) -> None:
        description = _escape_control_characters(description)
        super().__init__(status_code, description)
        self.status_code = status_code
        self.description = description
        self.attempts = info.attempts
        self.report_id = info.report_id
        self.request_id = None if info.request_id is None else _escape_control_characters(info.request_id)
        self.retry_after = retry_after
        self.problems = problems or []

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own method calls the class with `args`, which the subclasses do not accept, and loses the rest.
        return _restore, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        text = self.description if self.status_code is None else f"[{self.status_code}] {self.description}"
        if self.attempts > 1:
            text += f" (after {self.attempts} attempts)"
        return text


def _restore(kind: "type[ModuleException]", args: tuple[Any, ...]) -> "ModuleException":
    """Return an unpickled or copied error. Pickle then sets its attributes."""
    error = kind.__new__(kind)
    super(ModuleException, error).__init__(*args)  # OSError's method also sets `errno` and `strerror`
    return error


def _escape_control_characters(text: str) -> str:
    """Return the text in one line, without characters that a terminal obeys: a backend may have sent it."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else ascii(character)[1:-1]
        for character in text
    )


class AuthenticationError(ModuleException, PermissionError):
    """The API key is missing or unknown (401)."""


class PermissionDeniedError(ModuleException, PermissionError):
    """The API key is valid, but lacks permission (403)."""


class NotFoundError(ModuleException, LookupError):
    """The organization of the key has no such task (404)."""


class ConflictError(ModuleException):
    """The id belongs to a task of another agent (409). Nothing was changed."""


class TooLargeError(ModuleException):
    """The report exceeds the size limit of the backend (413). Nothing was recorded."""


class InvalidReportError(ModuleException, ValueError):
    """The backend rejected the request as invalid (400, 415, 422). `problems` lists the fields, if the backend does."""


class RateLimitedError(ModuleException):
    """Too many requests (429). `retry_after` is the time to wait, if the backend states one."""


class ServerError(ModuleException):
    """The backend failed (5xx). The same report can be sent again."""


class ConnectionFailedError(ModuleException, ConnectionError):
    """The backend did not respond. The same report can be sent again."""


class TimedOutError(ModuleException, TimeoutError):
    """The backend did not respond in time. The same report can be sent again."""


class ContractError(ModuleException):
    """The response does not match the API. The report may have been recorded."""


class OutboxError(ModuleException):
    """The outbox cannot store a report, because its file cannot be used."""

    def __init__(self, description: str, report_id: str | None = None) -> None:
        super().__init__(None, description, RequestInfo(attempts=0, report_id=report_id))


class OutboxFullError(OutboxError):
    """The outbox has no room, and the report was not stored. `OutboxSettings(when_full=…)` sets what happens then."""


_BY_STATUS: dict[int, type[ModuleException]] = {
    400: InvalidReportError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: TimedOutError,
    409: ConflictError,
    413: TooLargeError,
    415: InvalidReportError,
    422: InvalidReportError,
    429: RateLimitedError,
}
_MAX_DESCRIPTION = 2_000  # characters
_NO_REASON = "The backend gave no reason."


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    info: RequestInfo,
    retry_after: float | None,
    redact: Callable[[str], str],
) -> ModuleException:
    """Return the error for a response of a status other than 2xx.

    Args:
        status: The status code.
        headers: Headers by name, in lower case.
        body: The body, in any format.
        info: Describes the request.
        retry_after: Seconds that the backend asks to wait, or None.
        redact: Function that removes secrets from a text.
    """
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else ContractError)
    description, problems = _read_body(body, redact)
    if 300 <= status < 400:
        # Redirects are not followed: the key must not go to another host.
        location = redact(headers.get("location", "nowhere"))[:500]
        description = f"it redirects to {location}; is that the base_url to set?"
    if status == 401:
        reason = description or _NO_REASON
        description = f"{reason} Is XPANDER_API_KEY (or Configuration.api_key) the key of this backend?"
    if status == 404 and description.rstrip(".") in ("", "Not Found"):  # of an address; the text for a task names it
        description = f"{description or _NO_REASON} Is base_url the address of a backend, without the path of a page?"
    if request_id := redact(headers.get("x-request-id", ""))[:200]:
        info = evolve(info, request_id=request_id)
    return kind(status, description or _NO_REASON, info, retry_after=retry_after, problems=problems)


def _read_body(body: bytes, redact: Callable[[str], str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the description of an error and its problems. The body may be `{"detail": …}`, or anything else."""
    import json  # imported here: `import xpander_sdk` does not need it

    # Redacted before it is shortened: the rest of a secret would not be recognized.
    text = redact(body.decode("utf-8", "replace")).strip()[:_MAX_DESCRIPTION]
    try:
        detail = json.loads(redact(json.dumps(json.loads(body)["detail"])))
    except (ValueError, TypeError, LookupError, RecursionError):
        return text, []
    if isinstance(detail, list):
        problems = [problem for problem in detail if isinstance(problem, dict)]
        return "; ".join(_describe(problem) for problem in problems)[:_MAX_DESCRIPTION] or text, problems
    return (detail[:_MAX_DESCRIPTION] if isinstance(detail, str) else text), []


def _describe(problem: Mapping[str, Any]) -> str:
    """Return `field.path: message` for one rejected field."""
    loc = problem.get("loc")
    path = ".".join(str(part) for part in loc) if isinstance(loc, list) else "request"
    return f"{path}: {problem.get('msg', 'is rejected')}"
