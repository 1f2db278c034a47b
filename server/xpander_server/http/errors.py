"""How a request is refused: one exception that carries the answer."""

from collections.abc import Mapping
from typing import TypedDict


class Problem(TypedDict):
    """One thing that is wrong with a request: where, what, and which rule of the contract it breaks."""

    loc: list[str | int]
    msg: str
    type: str


class HTTPError(Exception):
    """Answer the request with `status` and `detail`, and change nothing."""

    def __init__(self, status: int, detail: str | list[Problem], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def validation_error(where: str, name: str, message: str, rule: str) -> HTTPError:
    """A 422 for one parameter or field."""
    return HTTPError(422, [{"loc": [where, name], "msg": message, "type": rule}])
