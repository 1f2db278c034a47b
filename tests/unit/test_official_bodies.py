"""Comparison of our request bodies with recorded ones of the official SDK, without a socket and without that SDK.

To record them again, in the environment that `make interop` creates:

.official-venv/bin/python tests/interop/record.py > tests/unit/official_bodies.json
"""

import json
from pathlib import Path

import pytest

from interop.arguments import ROWS
from interop.compare import DELIBERATE, difference
from interop.values import CALLS, evaluate
from xpander_sdk import Configuration
from xpander_sdk.client import client as connection
from xpander_sdk.client.operations import Operation

OFFICIAL = json.loads(Path(__file__).with_name("official_bodies.json").read_text(encoding="utf-8"))


class Sent(BaseException):
    """Raised instead of sending. Not an Exception, because the client could handle that."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(configuration: Configuration, operation: Operation) -> None:
        raise Sent(operation)

    monkeypatch.setattr(connection, "send", send)
    monkeypatch.setenv("XPANDER_API_KEY", "key")


@pytest.mark.parametrize("row", ROWS)
def test_request_equals_that_of_official_sdk(row: str) -> None:
    form, expression = ROWS[row]
    ours = {}
    try:
        CALLS[form](**evaluate(expression))
    except Sent as sent:
        ours = {"path": sent.operation.url, "body": sent.operation.content.decode()}
    except Exception as error:
        ours = {"raised": type(error).__name__}
    assert difference(row, OFFICIAL[row], ours) is None


def test_recorded_rows_are_those_of_the_table() -> None:
    assert list(OFFICIAL) == list(ROWS)
    assert set(DELIBERATE) <= set(ROWS)
