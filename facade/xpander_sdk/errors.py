"""What goes wrong between a report and its record.

    ModuleException
    ├── AuthenticationError      401, PermissionError
    ├── PermissionDeniedError    403, PermissionError
    ├── NotFoundError            404, LookupError
    ├── ConflictError            409
    ├── TooLargeError            413
    ├── InvalidReportError       400, 415, 422, ValueError: `problems` names the fields
    ├── RateLimitedError         429: `retry_after`
    ├── ServerError              5xx
    ├── ConnectionFailedError    no answer, ConnectionError
    ├── TimedOutError            no answer in time, TimeoutError
    ├── ContractError            an answer that is not what the contract says
    └── OutboxError              the outbox cannot keep a report
        └── OutboxFullError      there is no room for it

This is the only place where an answer, or the lack of one, becomes an error.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

if TYPE_CHECKING:
    from xpander_sdk.receipt import Receipt


@frozen(kw_only=True)
class RequestInfo:
    """The call that an error is about."""

    attempts: int = 1
    report_id: str | None = None
    request_id: str | None = None


_NOTHING = RequestInfo()


class ModuleException(Exception):
    """The backend did not do what it was asked.

    Attributes:
        status_code: the HTTP status of the answer; None where there was none.
        description: what went wrong.
        attempts: how many requests were sent.
        report_id: the id of the report, to send it again with; None where it was no report.
        request_id: what the request was called, as the backend's logs have it; None where nothing was sent.
        retry_after: seconds that the backend asks to wait; None where it does not say.
        problems: for each field that was refused, `loc`, `msg` and `type`.
        receipt: of the outbox, where it keeps a report that could not be delivered; else None.
    """

    receipt: "Receipt[Any] | None" = None

    def __init__(
        self,
        status_code: int | None,
        description: str,
        about: RequestInfo = _NOTHING,
        *,
        retry_after: float | None = None,
        problems: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(status_code, description)
        self.status_code = status_code
        self.description = description
        self.attempts = about.attempts
        self.report_id = about.report_id
        self.request_id = about.request_id
        self.retry_after = retry_after
        self.problems = problems or []

    def __str__(self) -> str:
        told = self.description if self.status_code is None else f"[{self.status_code}] {self.description}"
        if self.attempts > 1:
            told += f" (after {self.attempts} attempts)"
        return told


class AuthenticationError(ModuleException, PermissionError):
    """The key is missing or unknown."""


class PermissionDeniedError(ModuleException, PermissionError):
    """The key is known, and has no access."""


class NotFoundError(ModuleException, LookupError):
    """There is no such task in the organisation of the key."""


class ConflictError(ModuleException):
    """The id belongs to another agent; nothing was changed."""


class TooLargeError(ModuleException):
    """The report is larger than the backend takes."""


class InvalidReportError(ModuleException, ValueError):
    """The backend refuses the request; `problems` says which fields, where it tells."""


class RateLimitedError(ModuleException):
    """Too many requests; `retry_after` says how long to wait, where the backend tells."""


class ServerError(ModuleException):
    """The backend failed; the same report may be sent again."""


class ConnectionFailedError(ModuleException, ConnectionError):
    """There was no answer; the same report may be sent again."""


class TimedOutError(ModuleException, TimeoutError):
    """There was no answer in time; the same report may be sent again."""


class ContractError(ModuleException):
    """The answer is not what the contract says. A report that was answered so may have been recorded."""


class OutboxError(ModuleException):
    """The outbox cannot keep a report: its file cannot be used."""

    def __init__(self, description: str, report_id: str | None = None) -> None:
        super().__init__(None, description, RequestInfo(attempts=0, report_id=report_id))


class OutboxFullError(OutboxError):
    """The outbox has no room for a report, which was not kept; `OutboxSettings(when_full=…)` says what to do then."""


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
_MAX_DESCRIPTION = 2_000


def error_from_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    about: RequestInfo,
    retry_after: float | None,
    redacted: Callable[[str], str],
) -> ModuleException:
    """The error that an answer other than 2xx stands for, whatever its body is; `redacted` takes out what is secret."""
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else ContractError)
    description, problems = _described(body, redacted)
    if 300 <= status < 400:
        # Never followed: the key would go where nobody meant it to.
        description = (
            f"it redirects to {redacted(headers.get('location', 'nowhere'))[:500]}; is that the base_url to set?"
        )
    if status == 401:
        told = description or "The backend gave no reason."
        description = f"{told} Is XPANDER_API_KEY (or Configuration.api_key) the key of this backend?"
    if echoed := redacted(headers.get("x-request-id", ""))[:200]:
        about = evolve(about, request_id=echoed)
    return kind(status, description or "The backend gave no reason.", about, retry_after=retry_after, problems=problems)


def _described(body: bytes, redacted: Callable[[str], str]) -> tuple[str, list[dict[str, Any]]]:
    import json  # which `import xpander_sdk` needs for nothing else

    # Redacted before it is cut, which could leave half of a secret.
    text = redacted(body.decode("utf-8", "replace")).strip()[:_MAX_DESCRIPTION]
    try:
        detail = json.loads(redacted(json.dumps(json.loads(body)["detail"])))
    except (ValueError, TypeError, LookupError, RecursionError):
        return text, []
    if isinstance(detail, list):
        problems = [problem for problem in detail if isinstance(problem, dict)]
        return "; ".join(_problem(problem) for problem in problems)[:_MAX_DESCRIPTION] or text, problems
    return (detail[:_MAX_DESCRIPTION] if isinstance(detail, str) else text), []


def _problem(problem: Mapping[str, Any]) -> str:
    loc = problem.get("loc")
    where = ".".join(str(part) for part in loc) if isinstance(loc, list) else "request"
    return f"{where}: {problem.get('msg', 'is refused')}"
