"""Paths, ids and methods that violate the contract or are at its limits."""

import json
from urllib.parse import quote

import pytest

from contract.raw_http import JSON_HEADERS, RawClient
from support.server import ORGANIZATION


@pytest.mark.parametrize(
    "segment",
    [
        b"%00", b"a%00", b"%0A", b"a%0A", b"%0D%0A", b"%1F", b"%7F", b"%FF", b"%C0%AF", b"%ED%A0%80", b".", b"..",
        b"%2E", b"%2e%2E",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"POST", b"/agent-execution/%s/report_task"),
        (b"GET", b"/agent-execution/%s/status"),
        (b"GET", b"/agent-execution/executions/history/%s"),
        (b"GET", b"/agent-execution/executions/history/user/%s"),
        (b"GET", b"/agents-metrics/%s"),
    ],
)
def test_path_segment_that_is_no_valid_id_is_422(
    raw_client: RawClient, method: bytes, path: bytes, segment: bytes
) -> None:
    response = raw_client.request(
        method, path.replace(b"%s", segment), JSON_HEADERS, b"{}" if method == b"POST" else b""
    )
    assert response.status == 422
    assert isinstance(response.detail, list)
    assert response.detail[0]["loc"][0] == "path"


@pytest.mark.parametrize("length", [256, 4_000])
def test_too_long_id_is_422(raw_client: RawClient, length: int) -> None:
    assert raw_client.request(b"GET", b"/agent-execution/" + b"x" * length + b"/status").status == 422


@pytest.mark.parametrize("character", ["x", "ü", "🙂", "%", "/", "'"])
def test_id_of_255_characters_is_accepted(raw_client: RawClient, character: str) -> None:
    task_id = (raw_client.agent + character * 255)[:255]
    response = raw_client.report(json.dumps({"id": task_id}).encode())
    assert response.status == 200
    shown = raw_client.request(b"GET", f"/agent-execution/{quote(task_id, safe='')}/status".encode())
    assert shown.status == 200
    assert json.loads(shown.body)["id"] == task_id


def test_ids_of_255_four_byte_characters_are_accepted(raw_client: RawClient) -> None:
    emoji = "🙂" * 255
    names = dict.fromkeys(("id", "user_id", "parent_task_id", "triggering_agent_id"), emoji)
    path = f"/agent-execution/{quote(emoji)}/report_task".encode()
    response = raw_client.request(b"POST", path, JSON_HEADERS, json.dumps(names).encode())
    assert response.status == 200
    assert json.loads(response.body)["agent_id"] == emoji
    assert raw_client.request(b"GET", f"/agent-execution/executions/history/{quote(emoji)}".encode()).status == 200


@pytest.mark.parametrize(
    "target",
    [b"//", b"/agent-execution", b"/agent-execution//status", b"/agents-metrics/a/b", b"/../health", b"/health/"],
)
def test_unknown_path_is_404(raw_client: RawClient, target: bytes) -> None:
    response = raw_client.request(b"GET", target)
    assert response.status == 404
    assert isinstance(response.detail, str)


def test_trailing_slash_is_404(raw_client: RawClient) -> None:
    response = raw_client.request(b"POST", raw_client.report_path + b"/", JSON_HEADERS, b"{}")
    assert response.status == 404
    assert isinstance(response.detail, str)


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND"])
def test_unsupported_method_is_405_with_allowed_methods(raw_client: RawClient, method: bytes) -> None:
    response = raw_client.request(method, raw_client.report_path)
    assert response.status == 405
    assert response.headers["allow"] == "POST"
    assert isinstance(response.detail, str)


@pytest.mark.parametrize("target", [b"/health", b"/agents-metrics/a", b"/agent-execution/a/status"])
def test_post_to_read_operation_is_405(raw_client: RawClient, target: bytes) -> None:
    response = raw_client.request(b"POST", target, JSON_HEADERS, b"{}")
    assert response.status == 405
    assert "GET" in response.headers["allow"]
    assert isinstance(response.detail, str)


def test_path_may_start_with_organization_of_key(raw_client: RawClient) -> None:
    assert raw_client.request(b"GET", f"/{ORGANIZATION}/agents-metrics/{raw_client.agent}".encode()).status == 200


@pytest.mark.parametrize("organization", [b"another", b"%FF", b"%00", b"%2E%2E"])
def test_path_with_another_organization_is_403(raw_client: RawClient, organization: bytes) -> None:
    response = raw_client.request(b"GET", b"/" + organization + b"/agents-metrics/a")
    assert response.status == 403
    assert isinstance(response.detail, str)
