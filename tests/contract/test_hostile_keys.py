"""Keys that are missing, malformed or repeated."""

import pytest

from contract.raw_http import MIB, RawClient
from support.server import KEY


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="missing"),
        pytest.param([b""], id="empty"),
        pytest.param([b"   "], id="spaces"),
        pytest.param([b"unknown"], id="unknown"),
        pytest.param([KEY.encode()[:-1]], id="truncated"),
        pytest.param([KEY.encode() + b"x"], id="with suffix"),
        pytest.param([KEY.upper().encode()], id="upper case"),
        pytest.param([b'"' + KEY.encode() + b'"'], id="quoted"),
        pytest.param([b"k\xc3\xa4se"], id="UTF-8"),
        pytest.param([b"k\xe4se"], id="Latin-1"),
        pytest.param([b"\xff\xfe"], id="not text"),
        pytest.param([b"x" * 10_000], id="10,000 bytes"),
        pytest.param([KEY.encode(), KEY.encode()], id="repeated"),
        pytest.param([b"unknown", KEY.encode()], id="unknown and known"),
        pytest.param([KEY.encode(), b""], id="known and empty"),
    ],
)
def test_invalid_key_is_401(raw_client: RawClient, keys: list[bytes]) -> None:
    response = raw_client.request(
        b"GET", f"/agents-metrics/{raw_client.agent}".encode(), [(b"x-api-key", key) for key in keys]
    )
    assert response.status == 401
    assert "www-authenticate" in response.headers
    assert isinstance(response.detail, str)


def test_authorization_header_is_ignored(raw_client: RawClient) -> None:
    headers = [(b"authorization", b"Bearer " + KEY.encode())]
    assert raw_client.request(b"GET", f"/agents-metrics/{raw_client.agent}".encode(), headers).status == 401


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        (b"POST", b"/agent-execution/%00/report_task", b"{}"),
        (b"POST", b"/agent-execution/a/report_task", b'{"duration": "soon"}'),
        (b"POST", b"/agent-execution/a/report_task", b"no JSON"),
        (b"GET", b"/agent-execution/%FF/status", b""),
        (b"GET", b"/agent-execution/unknown/status", b""),
        (b"GET", b"/agent-execution/executions/history/a?limit=0", b""),
        (b"GET", b"/another/agents-metrics/a", b""),
    ],
)
def test_authentication_precedes_validation(raw_client: RawClient, method: bytes, target: bytes, body: bytes) -> None:
    assert raw_client.request(method, target, [(b"content-type", b"application/json")], body).status == 401
    assert (
        raw_client.request(method, target, [(b"content-type", b"text/plain"), (b"x-api-key", b"no")], body).status
        == 401
    )


def test_large_body_without_key_is_401(raw_client: RawClient) -> None:
    assert raw_client.report(b"x" * 5 * MIB, []).status == 401
