"""Exception that becomes an HTTP error response."""

from collections.abc import Mapping
from typing import TypedDict


class Problem(TypedDict):
    """One violation of the contract by a request, as the contract's `ValidationError` describes it.

    Attributes:
        loc: Path to the invalid value, such as `["body", "tokens", "prompt_tokens"]`.
        msg: Description for people. It never contains the value.
        type: Keyword of the JSON Schema rule, such as `maxLength`.
    """

    loc: list[str | int]
    msg: str
    type: str


class HTTPError(Exception):
    """Rejection of a request. The request has changed nothing.

    Args:
        status: Status code of the response.
        detail: Reason, or the list of problems of a 422.
        headers: Additional headers of the response.
    """

    def __init__(self, status: int, detail: str | list[Problem], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def validation_error(location: str, name: str, message: str, rule: str) -> HTTPError:
    """Return a 422 for one invalid parameter.

    Args:
        location: `path`, `query` or `header`.
        name: Name of the parameter.
        message: Description for people.
        rule: Name of the violated rule, for programs.
    """
    return HTTPError(422, [{"loc": [location, name], "msg": message, "type": rule}])
