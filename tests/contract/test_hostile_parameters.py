"""Query parameters and headers that violate the contract or are at its limits."""

import json
from base64 import urlsafe_b64encode
from urllib.parse import quote

import pytest

from contract.raw_http import JSON_HEADERS, RawClient


def forged_cursor(*position: object) -> str:
    """Return a query with a cursor in the format of this server's cursors."""
    return "cursor=" + urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "limit=１", "limit=1_0", "limit=%201", "limit=1%20", "limit=+1", "limit=%2B1", "limit=1.0", "limit=1e2",
        "limit=0", "limit=-1", "limit=1001", f"limit={10**30}", f"limit={'9' * 5_000}", "limit=", "limit=ten",
        "limit=true", "limit=1&limit=2", "limit=5&limit=5", "cursor=", "cursor=AAAA", "cursor=%00", "cursor=1&cursor=2",
        f"cursor={'A' * 1_500}", f"cursor={'A' * 1_501}", forged_cursor(1, 2), forged_cursor("1", "x"),
        forged_cursor(1), "status=done", "status=", "status=completed%0A", "status=completed&status=failed",
        "user_id=", "user_id=%00", "user_id=%0A", "user_id=..", f"user_id={'x' * 256}", "user_id=a&user_id=b",
        "internal_status=",
    ],
    ids=lambda query: query[:40],
)  # fmt: skip
def test_invalid_query_parameter_is_422(raw_client: RawClient, query: str) -> None:
    target = f"/agent-execution/executions/history/{raw_client.agent}?{quote(query, safe='=&%+')}"
    response = raw_client.request(b"GET", target.encode())
    assert response.status == 422
    assert isinstance(response.detail, list)
    assert response.detail[0]["loc"] == ["query", query.split("=")[0]]


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2026-01-31", "2026-01-31T09:30:00", "2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z",
        "2026-01-31T09:30:00%00Z", "２026-01-31T09:30:00Z", "10000-01-01T00:00:00Z", "1767605400",
    ],
)  # fmt: skip
def test_invalid_time_is_422(raw_client: RawClient, value: str) -> None:
    response = raw_client.request(b"GET", f"/agents-metrics/{raw_client.agent}?since={quote(value, safe='%')}".encode())
    assert response.status == 422
    assert isinstance(response.detail, list)
    assert response.detail[0]["loc"] == ["query", "since"]


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-31t09:30:00z", "2026-01-31T09:30:00+23:59",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z",
        "2026-01-31T09:30:00.123456789Z", "2026-01-31T09:30:00.1Z", "2026-01-31T09:30:00-00:00",
    ],
)  # fmt: skip
def test_unusual_valid_time_is_accepted(raw_client: RawClient, value: str) -> None:
    # RFC 3339 allows all of these times, including times whose year in UTC is outside the calendar of Python.
    for name in ("since", "until"):
        response = raw_client.request(b"GET", f"/agents-metrics/{raw_client.agent}?{name}={quote(value)}".encode())
        assert response.status == 200


@pytest.mark.parametrize(
    "position",
    [(10**30, "x"), (2**63, "x"), (-(10**30), "x"), (-1, ""), (0, "\0"), (0, "x" * 1_000), (True, "x")],
    ids=str,
)
def test_forged_cursor_does_not_cause_server_error(raw_client: RawClient, position: tuple[object, ...]) -> None:
    target = f"/agent-execution/executions/history/{raw_client.agent}?{forged_cursor(*position)}"
    assert raw_client.request(b"GET", target.encode()).status in (200, 422)


@pytest.mark.parametrize(
    "query", ["%FF", "%", "&&&===", "a=1&a=2", "limit", "limit=%FF", "status=%FF", "=", "%00=1", "x" * 4_000, "a[]=1"]
)
def test_malformed_query_does_not_cause_server_error(raw_client: RawClient, query: str) -> None:
    response = raw_client.request(b"GET", f"/agent-execution/executions/history/{raw_client.agent}?{query}".encode())
    assert response.status in (200, 422)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"now",
        b"-1",
        b"1.5",
        b"1e3",
        b"1_0",
        b"\xef\xbc\x91",
        b"+1",
        b"253402300800000000",
        b"9" * 30,
        b"9" * 5_000,
    ],
)
def test_invalid_reported_at_is_422(raw_client: RawClient, value: bytes) -> None:
    response = raw_client.report(b"{}", [*JSON_HEADERS, (b"x-reported-at", value)])
    assert response.status == 422
    assert isinstance(response.detail, list)
    assert response.detail[0]["loc"] == ["header", "x-reported-at"]


def test_two_reported_at_headers_are_422(raw_client: RawClient) -> None:
    assert raw_client.report(b"{}", [*JSON_HEADERS, (b"x-reported-at", b"1"), (b"X-Reported-At", b"1")]).status == 422
