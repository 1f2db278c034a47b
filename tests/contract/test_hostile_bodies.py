"""Bodies that are malformed, violate the contract or exceed its limits."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.raw_http import AUTHORIZED, JSON_HEADERS, MIB, RawClient, request_head


def nested_arrays(levels: int) -> bytes:
    """Return a report with this number of levels of nesting, including its own."""
    return b'{"llm_response": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="truncated"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b"{'id': 'a'}", id="single quotes"),
        pytest.param(b'{"result": "\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"llm_response": "\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"llm_response": "\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b"{}\xef\xbb\xbf", id="byte order mark at the end"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf{}", id="two byte order marks"),
        pytest.param('{"id": "a"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(rb'{"result": "\ud800"}', id="lone high surrogate"),
        pytest.param(rb'{"result": "\udc00"}', id="lone low surrogate"),
        pytest.param(rb'{"llm_response": {"\udfff": 1}}', id="lone surrogate in a document's key"),
        pytest.param(rb'{"id": "\ud800"}', id="lone surrogate in the id"),
        pytest.param(b'{"duration": NaN}', id="NaN"),
        pytest.param(b'{"llm_response": [NaN]}', id="NaN in a document"),
        pytest.param(b'{"llm_response": -Infinity}', id="Infinity"),
        pytest.param(b'{"duration": 1e999}', id="1e999"),
        pytest.param(b'{"llm_response": 1e999}', id="1e999 in a document"),
        pytest.param(b'{"llm_response": %s}' % (b"9" * 5_000), id="5,000 digits in a document"),
        pytest.param(b'{"duration": %s}' % (b"9" * 5_000), id="5,000 digits"),
        pytest.param(b'{"result": "a\x00b"}', id="raw NUL"),
        pytest.param(b'{"result": "a\nb"}', id="raw newline"),
        pytest.param(nested_arrays(513), id="513 levels"),
        pytest.param(nested_arrays(900), id="900 levels"),
        pytest.param(nested_arrays(100_000), id="100,000 levels"),
        pytest.param(b'{"llm_response": ' + b'{"a":' * 100_000, id="100,000 open objects"),
    ],
)
def test_invalid_json_is_400(raw_client: RawClient, body: bytes) -> None:
    response = raw_client.report(body)
    assert response.status == 400
    assert isinstance(response.detail, str)


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"[]", b'"text"', b"1", b"true",
        b'{"unknown": 1}', b'{"ID": "a"}',
        b'{"is_success": "true"}', b'{"is_success": 1}', b'{"is_success": []}',
        b'{"duration": "4.7"}', b'{"duration": true}', b'{"duration": -1000000000.5}', b'{"duration": 1e10}',
        b'{"tokens": 5}', b'{"tokens": []}', b'{"tokens": {"prompt": 1}}', b'{"tokens": {"prompt_tokens": "5"}}',
        b'{"tokens": {"prompt_tokens": 5.5}}', b'{"tokens": {"prompt_tokens": -1e13}}',
        b'{"tokens": {"prompt_tokens": true}}', b'{"tokens": {"prompt_tokens": 9223372036854775808}}',
        b'{"tokens": {"prompt_tokens": 1e300}}', b'{"tokens": {"prompt_tokens": %s}}' % (b"9" * 4_000),
        b'{"used_tools": "search"}', b'{"used_tools": [null]}', b'{"used_tools": [["search"]]}',
        b'{"used_tools": {"0": "search"}}', b'{"used_tools": ["%s"]}' % (b"x" * 256),
        b'{"used_tools": [%s""]}' % (b'"",' * 10_000),
        b'{"input": 5}', b'{"input": {"text": "a"}}', b'{"result": ["a"]}',
        b'{"id": ""}', b'{"id": 5}', b'{"id": "."}', b'{"id": ".."}', b'{"id": "%s"}' % (b"x" * 256),
        rb'{"id": "a\u0000b"}', rb'{"id": "a\nb"}', rb'{"id": "a\n"}', rb'{"id": "\u007f"}',
        rb'{"user_id": "a\u0000"}', b'{"parent_task_id": ".."}', b'{"triggering_agent_id": ""}',
        b'{"created_at": "2020-02-30T00:00:00Z"}', b'{"created_at": "2020-01-01T24:00:00Z"}',
        b'{"created_at": "2016-12-31T23:59:60Z"}', b'{"created_at": "1970-01-01T00:00:00Z"}',
        b'{"finished_at": "3000-01-01T00:00:00Z"}', rb'{"finished_at": "2020-01-01T00:00:00Z\n"}',
        b'{"created_at": "2020-01-01"}', b'{"created_at": 1}', b'{"finished_at": ""}',
    ],
    ids=lambda body: body[:50].decode(),
)  # fmt: skip
def test_invalid_field_is_422_with_its_location(raw_client: RawClient, body: bytes) -> None:
    response = raw_client.report(body)
    assert response.status == 422
    assert isinstance(response.detail, list)
    assert response.detail[0].keys() == {"loc", "msg", "type"}
    assert response.detail[0]["loc"][0] == "body"


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        (b'{"duration": 1}', "duration", 1.0),
        (b'{"duration": 1e9}', "duration", 1e9),
        (b'{"duration": -1e9}', "duration", -1e9),
        (b'{"duration": 1e-999}', "duration", None),
        (b'{"llm_response": 9223372036854775808}', "llm_response", 2**63),
        (b'{"llm_response": %s}' % (b"9" * 4_300), "llm_response", 10**4_300 - 1),
        (rb'{"result": "a\u0000b"}', "result", "a\0b"),
        (rb'{"llm_response": {"\u0000": "\u0000"}}', "llm_response", {"\0": "\0"}),
        (rb'{"result": "\ud83d\ude00"}', "result", "😀"),
        (b'{"llm_response": {"b": 1, "a": 2}}', "llm_response", {"b": 1, "a": 2}),
        (b'{"result": "%s"}' % (b"x" * 4_000_000), "result", "x" * 4_000_000),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "backslashreplace").decode() if isinstance(value, bytes) else "",
)
def test_unusual_valid_body_is_stored(raw_client: RawClient, body: bytes, name: str, expected: object) -> None:
    response = raw_client.report(body)
    assert response.status == 200
    assert json.loads(response.body)[name] == expected


@pytest.mark.parametrize("count", [b"17046.0", b"1.7046e4", b"17046"])
def test_integer_may_be_written_as_float(raw_client: RawClient, count: bytes) -> None:
    response = raw_client.report(b'{"tokens": {"prompt_tokens": %s}}' % count)
    assert response.status == 200
    assert b'"prompt_tokens":17046,' in response.body


def test_512_levels_of_nesting_are_stored(raw_client: RawClient) -> None:
    response = raw_client.report(nested_arrays(512))
    assert response.status == 200
    assert b"[" * 511 + b"]" * 511 in response.body


def test_last_of_repeated_keys_is_stored(raw_client: RawClient) -> None:
    # RFC 8259 does not define which value wins. The value that is validated must be the value that is stored.
    response = raw_client.report(b'{"result": "first", "llm_response": 1, "result": "last", "llm_response": 2}')
    assert response.status == 200
    assert json.loads(response.body)["result"] == "last"
    assert json.loads(response.body)["llm_response"] == 2


def test_body_of_5_mb_is_413(raw_client: RawClient) -> None:
    response = raw_client.report(b'{"llm_response": "' + b"x" * (5 * MIB) + b'"}')
    assert response.status == 413
    assert isinstance(response.detail, str)


def test_content_length_of_5_mb_is_413_before_body_is_sent(raw_client: RawClient) -> None:
    response = raw_client.send(
        request_head(b"POST", raw_client.report_path, [*JSON_HEADERS, (b"content-length", b"%d" % (5 * MIB))])
    )
    assert response.status == 413


def test_chunked_body_of_5_mb_is_413(raw_client: RawClient) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    response = raw_client.send(
        request_head(b"POST", raw_client.report_path, [*JSON_HEADERS, (b"transfer-encoding", b"chunked")]) + chunk * 80
    )
    assert response.status == 413


def test_body_of_4_mib_is_accepted(raw_client: RawClient) -> None:
    body = b'{"llm_response": "' + b"x" * (4 * MIB - 20) + b'"}'
    assert len(body) == 4 * MIB
    assert raw_client.report(body).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"application/jsonp",
        b"text/json; application/json",
    ],
)
def test_body_of_other_media_type_is_415(raw_client: RawClient, content_type: bytes | None) -> None:
    headers = AUTHORIZED if content_type is None else [*AUTHORIZED, (b"content-type", content_type)]
    response = raw_client.report(b"{}", headers)
    assert response.status == 415
    assert isinstance(response.detail, str)


@pytest.mark.parametrize("content_type", [b"application/json; charset=utf-8", b"Application/JSON"])
def test_spelling_of_media_type_is_flexible(raw_client: RawClient, content_type: bytes) -> None:
    assert raw_client.report(b"{}", [*AUTHORIZED, (b"content-type", content_type)]).status == 200


def test_byte_order_mark_is_ignored(raw_client: RawClient) -> None:
    response = raw_client.report(b'\xef\xbb\xbf{"llm_response": 1.10}')
    assert response.status == 200
    assert b'"llm_response":1.10' in response.body


def fill(start: bytes, unit: bytes, end: bytes, size: int = 4 * MIB) -> bytes:
    """Return a body of almost `size` bytes that repeats `unit`."""
    count = (size - len(start) - len(end)) // len(unit)
    return start + (unit * count).removesuffix(b",") + end


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(fill(b'{"used_tools": [', b"1,", b"]}"), {400}, id="numbers as tools"),
        pytest.param(b'{"used_tools": [%s1]}' % (b"1," * 99_000), {422}, id="99,000 numbers as tools"),
        pytest.param(b"{%s}" % b",".join(b'"k%d":1' % i for i in range(99_000)), {422}, id="99,000 unknown fields"),
        pytest.param(fill(b'{"llm_response": [', b"[],", b"]}"), {400}, id="empty arrays"),
        pytest.param(fill(b'{"llm_response": [', b'{"model":"a"},', b"]}"), {200}, id="objects"),
        pytest.param(fill(b'{"llm_response": [', b"[],", b"NaN]}"), {400}, id="NaN at the end"),
        pytest.param(fill(b'{"llm_response": [', b"9" * 4_000 + b",", b"]}"), {400}, id="long integers"),
        pytest.param(fill(b'{"llm_response": [', b"9" * 100 + b",", b"]}"), {200}, id="integers of 100 digits"),
        pytest.param(fill(b'{"input": "', b"[{,", b'"}'), {200}, id="separators in a string"),
        pytest.param(fill(b'{"input": "', rb"\"", b'"}'), {200}, id="escaped quotes"),
        pytest.param(fill(b'{"input": "', b"a", b""), {400}, id="open string"),
        pytest.param(fill(b'{"llm_response": [', b'"' + b"a" * 41 + b'",', b"]}"), {200}, id="strings"),
    ],
)
def test_body_does_not_delay_other_requests(raw_client: RawClient, body: bytes, statuses: set[int]) -> None:
    is_done, waits = threading.Event(), []

    def probe() -> None:
        while not is_done.is_set():
            started = time.monotonic()
            assert raw_client.request(b"GET", b"/healthz").status == 200
            waits.append(time.monotonic() - started)

    with ThreadPoolExecutor(1) as executor:
        probing = executor.submit(probe)
        response = raw_client.report(gzip.compress(body, 1), [*JSON_HEADERS, (b"content-encoding", b"gzip")])
        is_done.set()
        probing.result()
    assert response.status in statuses
    if response.status == 422:
        assert isinstance(response.detail, list)
        assert 0 < len(response.detail) <= 20
    # Generous, because the tests share the machine. Without limits some of these bodies stopped the server for minutes.
    assert max(waits) < 1.0
