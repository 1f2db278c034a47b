"""What nobody should send: each is refused with a reason, or taken where JSON allows it, and the server goes on."""

import gzip
import http.client
import json
import socket
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

import pytest
from attrs import frozen
from backports import zstd

from support.server import KEY, ORGANIZATION, Server

MIB = 1024 * 1024
SECONDS = 20.0
Headers = list[tuple[bytes, bytes]]
AUTHORIZED: Headers = [(b"x-api-key", KEY.encode())]
AS_JSON: Headers = [*AUTHORIZED, (b"content-type", b"application/json")]


@frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> object:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)["detail"]


class Wire:
    """Speaks HTTP in bytes: a client library would not send most of this."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = parts.hostname, parts.port
        self.agent = f"hostile-{uuid.uuid4().hex}"

    @property
    def report_path(self) -> bytes:
        return f"/agent-execution/{self.agent}/report_task".encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=SECONDS)

    def report(self, body: bytes, headers: Headers = AS_JSON) -> Answer:
        return self.ask(b"POST", self.report_path, headers, body)

    def ask(self, method: bytes, target: bytes, headers: Headers = AUTHORIZED, body: bytes = b"") -> Answer:
        length = [(b"content-length", b"%d" % len(body))] if method == b"POST" else []
        return self.send(head(method, target, [*headers, *length]) + body)

    def send(self, raw: bytes) -> Answer:
        with self.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may close before it has read everything
                connection.sendall(raw)
            return read_answer(connection)


def head(method: bytes, target: bytes, headers: Headers) -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"host: test", b"connection: close"]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", b""])


def read_answer(connection: socket.socket) -> Answer:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.url)
    yield wire
    # After each of these tests: it lives, its store answers, and a report still comes through.
    assert server.process.poll() is None
    assert wire.ask(b"GET", b"/health", []).status == 200
    assert wire.report(b"{}").status == 200


def nested(levels: int) -> bytes:
    return b'{"llm_response": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b"{'id': 'a'}", id="single quotes"),
        pytest.param(b'{"result": "\xff"}', id="invalid UTF-8"),
        pytest.param(b'{"llm_response": "\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"llm_response": "\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
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
        pytest.param(nested(513), id="513 levels"),
        pytest.param(nested(900), id="900 levels"),
        pytest.param(nested(100_000), id="100,000 levels"),
        pytest.param(b'{"llm_response": ' + b'{"a":' * 100_000, id="100,000 open objects"),
    ],
)
def test_body_that_is_no_json_within_the_bounds_is_400(wire: Wire, body: bytes) -> None:
    answer = wire.report(body)
    assert answer.status == 400
    assert isinstance(answer.detail, str)


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
def test_field_outside_the_contract_is_422_and_named(wire: Wire, body: bytes) -> None:
    answer = wire.report(body)
    assert answer.status == 422
    assert isinstance(answer.detail, list)
    assert answer.detail[0].keys() == {"loc", "msg", "type"}
    assert answer.detail[0]["loc"][0] == "body"


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        (b'{"duration": 1}', "duration", 1.0),
        (b'{"duration": 1e9}', "duration", 1e9),
        (b'{"duration": -1e9}', "duration", -1e9),
        (b'{"duration": 1e-999}', "duration", 0.0),
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
def test_odd_body_that_the_contract_allows_is_kept(wire: Wire, body: bytes, name: str, expected: object) -> None:
    answer = wire.report(body)
    assert answer.status == 200
    assert json.loads(answer.body)[name] == expected


@pytest.mark.parametrize("count", [b"17046.0", b"1.7046e4", b"17046"])
def test_whole_number_is_an_integer_however_it_is_written(wire: Wire, count: bytes) -> None:
    answer = wire.report(b'{"tokens": {"prompt_tokens": %s}}' % count)
    assert answer.status == 200
    assert b'"prompt_tokens":17046,' in answer.body


def test_512_levels_are_kept(wire: Wire) -> None:
    answer = wire.report(nested(512))
    assert answer.status == 200
    assert b"[" * 511 + b"]" * 511 in answer.body


def test_the_last_of_repeated_keys_counts(wire: Wire) -> None:
    # JSON leaves it open; what matters is that what was checked is what is kept.
    answer = wire.report(b'{"result": "first", "llm_response": 1, "result": "last", "llm_response": 2}')
    assert answer.status == 200
    assert json.loads(answer.body)["result"] == "last"
    assert json.loads(answer.body)["llm_response"] == 2


def test_body_of_5_mb_is_413(wire: Wire) -> None:
    answer = wire.report(b'{"llm_response": "' + b"x" * (5 * MIB) + b'"}')
    assert answer.status == 413
    assert isinstance(answer.detail, str)


def test_announced_5_mb_are_413_before_they_are_sent(wire: Wire) -> None:
    answer = wire.send(head(b"POST", wire.report_path, [*AS_JSON, (b"content-length", b"%d" % (5 * MIB))]))
    assert answer.status == 413


def test_5_mb_in_chunks_are_413(wire: Wire) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = wire.send(head(b"POST", wire.report_path, [*AS_JSON, (b"transfer-encoding", b"chunked")]) + chunk * 80)
    assert answer.status == 413


def test_body_of_4_mib_is_taken(wire: Wire) -> None:
    body = b'{"llm_response": "' + b"x" * (4 * MIB - 20) + b'"}'
    assert len(body) == 4 * MIB
    assert wire.report(body).status == 200


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
def test_body_of_another_type_is_415(wire: Wire, content_type: bytes | None) -> None:
    headers = AUTHORIZED if content_type is None else [*AUTHORIZED, (b"content-type", content_type)]
    answer = wire.report(b"{}", headers)
    assert answer.status == 415
    assert isinstance(answer.detail, str)


@pytest.mark.parametrize("content_type", [b"application/json; charset=utf-8", b"Application/JSON"])
def test_json_by_any_other_spelling_is_taken(wire: Wire, content_type: bytes) -> None:
    assert wire.report(b"{}", [*AUTHORIZED, (b"content-type", content_type)]).status == 200


# Packed bodies


def packed(coding: bytes, body: bytes) -> bytes:
    return gzip.compress(body, 9) if coding == b"gzip" else zstd.compress(body)


def report_packed(wire: Wire, coding: bytes, body: bytes) -> Answer:
    return wire.report(body, [*AS_JSON, (b"content-encoding", coding)])


CODINGS = pytest.mark.parametrize("coding", [b"gzip", b"zstd"])


@CODINGS
def test_packed_body_is_taken(wire: Wire, coding: bytes) -> None:
    answer = report_packed(wire, coding, packed(coding, b'{"result": "packed"}'))
    assert answer.status == 200
    assert json.loads(answer.body)["result"] == "packed"


@pytest.mark.parametrize("coding", [b"identity", b"", b"GZIP", b"x-gzip"])
def test_coding_by_any_other_name_is_taken(wire: Wire, coding: bytes) -> None:
    body = gzip.compress(b"{}") if b"gzip" in coding.lower() else b"{}"
    assert report_packed(wire, coding, body).status == 200


@CODINGS
def test_packed_body_of_4_mib_is_taken(wire: Wire, coding: bytes) -> None:
    body = b'{"llm_response": "' + b"x" * (4 * MIB - 20) + b'"}'
    assert report_packed(wire, coding, packed(coding, body)).status == 200


@CODINGS
@pytest.mark.parametrize("size", [4 * MIB + 1, 500 * MIB], ids=["one byte too many", "500 MiB"])
def test_bomb_is_413(wire: Wire, coding: bytes, size: int) -> None:
    answer = report_packed(wire, coding, packed(coding, b" " * size))
    assert answer.status == 413
    assert isinstance(answer.detail, str)


def test_bomb_in_a_bomb_is_400(wire: Wire) -> None:
    # Unpacked once, and then no JSON.
    assert report_packed(wire, b"gzip", gzip.compress(gzip.compress(b" " * 50 * MIB))).status == 400


def test_zstd_that_asks_for_a_huge_window_is_400(wire: Wire) -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    body = packer.compress(b"{}") + packer.flush()
    assert report_packed(wire, b"zstd", body).status == 400


@CODINGS
@pytest.mark.parametrize("broken", ["not packed", "cut off", "with more behind", "twice", "flipped", "empty"])
def test_broken_packing_is_400(wire: Wire, coding: bytes, broken: str) -> None:
    whole = packed(coding, b'{"result": "' + b"abc" * 50 + b'"}')
    body = {
        "not packed": b'{"result": "a"}',
        "cut off": whole[:-1],
        "with more behind": whole + b"{}",
        "twice": whole + whole,
        "flipped": whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        "empty": b"",
    }[broken]
    if broken == "flipped" and coding == b"zstd":
        body = whole[:6] + b"\xff\xff" + whole[8:]  # it has no checksum unless asked
    assert report_packed(wire, coding, body).status == 400


@pytest.mark.parametrize(
    "coding",
    [b"br", b"deflate", b"compress", b"gzip, gzip", b"gzip, zstd", b"gzip;q=1", b"gz", b"*", b"\xff", b"utf-8"],
)
def test_unknown_coding_is_415_and_says_which_are_known(wire: Wire, coding: bytes) -> None:
    answer = report_packed(wire, coding, gzip.compress(b"{}"))
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "gzip, zstd"
    assert isinstance(answer.detail, str)


def test_two_codings_in_two_headers_are_415(wire: Wire) -> None:
    headers = [*AS_JSON, (b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")]
    assert wire.report(gzip.compress(gzip.compress(b"{}")), headers).status == 415


def test_packed_body_of_a_stranger_is_401(wire: Wire) -> None:
    assert wire.report(gzip.compress(b" " * 50 * MIB), [(b"content-encoding", b"gzip")]).status == 401


# Paths


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
def test_segment_that_can_be_no_id_is_422(wire: Wire, method: bytes, path: bytes, segment: bytes) -> None:
    answer = wire.ask(method, path.replace(b"%s", segment), AS_JSON, b"{}" if method == b"POST" else b"")
    assert answer.status == 422
    assert isinstance(answer.detail, list)
    assert answer.detail[0]["loc"][0] == "path"


@pytest.mark.parametrize("length", [256, 4_000])
def test_id_that_is_too_long_is_422(wire: Wire, length: int) -> None:
    assert wire.ask(b"GET", b"/agent-execution/" + b"x" * length + b"/status").status == 422


@pytest.mark.parametrize("character", ["x", "ü", "🙂", "%", "/", "'"])
def test_id_of_255_characters_is_taken(wire: Wire, character: str) -> None:
    task_id = (wire.agent + character * 255)[:255]
    answer = wire.report(json.dumps({"id": task_id}).encode())
    assert answer.status == 200
    shown = wire.ask(b"GET", f"/agent-execution/{quote(task_id, safe='')}/status".encode())
    assert shown.status == 200
    assert json.loads(shown.body)["id"] == task_id


def test_all_ids_of_255_four_byte_characters_are_taken(wire: Wire) -> None:
    faces = "🙂" * 255
    names = dict.fromkeys(("id", "user_id", "parent_task_id", "triggering_agent_id"), faces)
    path = f"/agent-execution/{quote(faces)}/report_task".encode()
    answer = wire.ask(b"POST", path, AS_JSON, json.dumps(names).encode())
    assert answer.status == 200
    assert json.loads(answer.body)["agent_id"] == faces
    assert wire.ask(b"GET", f"/agent-execution/executions/history/{quote(faces)}".encode()).status == 200


@pytest.mark.parametrize(
    "target",
    [b"//", b"/agent-execution", b"/agent-execution//status", b"/agents-metrics/a/b", b"/../health", b"/health/"],
)
def test_unknown_path_is_404(wire: Wire, target: bytes) -> None:
    answer = wire.ask(b"GET", target)
    assert answer.status == 404
    assert isinstance(answer.detail, str)


def test_trailing_slash_is_404(wire: Wire) -> None:
    answer = wire.ask(b"POST", wire.report_path + b"/", AS_JSON, b"{}")
    assert answer.status == 404
    assert isinstance(answer.detail, str)


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND"])
def test_method_that_is_not_there_is_405_and_says_which_is(wire: Wire, method: bytes) -> None:
    answer = wire.ask(method, wire.report_path)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert isinstance(answer.detail, str)


@pytest.mark.parametrize("target", [b"/health", b"/agents-metrics/a", b"/agent-execution/a/status"])
def test_post_to_what_is_only_read_is_405(wire: Wire, target: bytes) -> None:
    answer = wire.ask(b"POST", target, AS_JSON, b"{}")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert isinstance(answer.detail, str)


def test_organisation_of_the_key_may_stand_in_front(wire: Wire) -> None:
    assert wire.ask(b"GET", f"/{ORGANIZATION}/agents-metrics/{wire.agent}".encode()).status == 200


@pytest.mark.parametrize("organization", [b"another", b"%FF", b"%00", b"%2E%2E"])
def test_another_organisation_in_front_is_403(wire: Wire, organization: bytes) -> None:
    answer = wire.ask(b"GET", b"/" + organization + b"/agents-metrics/a")
    assert answer.status == 403
    assert isinstance(answer.detail, str)


# Parameters


def like_a_cursor(*position: object) -> str:
    """What somebody might make who has looked into a cursor of this server."""
    return "cursor=" + urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "limit=１", "limit=1_0", "limit=%201", "limit=1%20", "limit=+1", "limit=%2B1", "limit=1.0", "limit=1e2",
        "limit=0", "limit=-1", "limit=1001", f"limit={10**30}", f"limit={'9' * 5_000}", "limit=", "limit=ten",
        "limit=true", "limit=1&limit=2", "limit=5&limit=5", "cursor=", "cursor=AAAA", "cursor=%00", "cursor=1&cursor=2",
        f"cursor={'A' * 1_500}", f"cursor={'A' * 1_501}", like_a_cursor(1, 2), like_a_cursor("1", "x"),
        like_a_cursor(1), "status=done", "status=", "status=completed%0A", "status=completed&status=failed",
        "user_id=", "user_id=%00", "user_id=%0A", "user_id=..", f"user_id={'x' * 256}", "user_id=a&user_id=b",
        "internal_status=",
    ],
    ids=lambda query: query[:40],
)  # fmt: skip
def test_query_outside_the_contract_is_422(wire: Wire, query: str) -> None:
    target = f"/agent-execution/executions/history/{wire.agent}?{quote(query, safe='=&%+')}"
    answer = wire.ask(b"GET", target.encode())
    assert answer.status == 422
    assert isinstance(answer.detail, list)
    assert answer.detail[0]["loc"] == ["query", query.split("=")[0]]


@pytest.mark.parametrize(
    "value",
    [
        "", "now", "2026-01-31", "2026-01-31T09:30:00", "2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z",
        "2026-01-31T09:30:00%00Z", "２026-01-31T09:30:00Z", "10000-01-01T00:00:00Z", "1767605400",
    ],
)  # fmt: skip
def test_time_that_is_none_is_422(wire: Wire, value: str) -> None:
    answer = wire.ask(b"GET", f"/agents-metrics/{wire.agent}?since={quote(value, safe='%')}".encode())
    assert answer.status == 422
    assert isinstance(answer.detail, list)
    assert answer.detail[0]["loc"] == ["query", "since"]


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-31t09:30:00z", "2026-01-31T09:30:00+23:59",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z",
        "2026-01-31T09:30:00.123456789Z", "2026-01-31T09:30:00.1Z", "2026-01-31T09:30:00-00:00",
    ],
)  # fmt: skip
def test_time_at_the_edge_is_taken(wire: Wire, value: str) -> None:
    # RFC 3339 allows every one of them, also where it is in no year of UTC's that a calendar has.
    for name in ("since", "until"):
        answer = wire.ask(b"GET", f"/agents-metrics/{wire.agent}?{name}={quote(value)}".encode())
        assert answer.status == 200


@pytest.mark.parametrize(
    "position",
    [(10**30, "x"), (2**63, "x"), (-(10**30), "x"), (-1, ""), (0, "\0"), (0, "x" * 1_000), (True, "x")],
    ids=str,
)
def test_cursor_that_somebody_made_up_never_fails_the_server(wire: Wire, position: tuple[object, ...]) -> None:
    target = f"/agent-execution/executions/history/{wire.agent}?{like_a_cursor(*position)}"
    assert wire.ask(b"GET", target.encode()).status in (200, 422)


@pytest.mark.parametrize(
    "query", ["%FF", "%", "&&&===", "a=1&a=2", "limit", "limit=%FF", "status=%FF", "=", "%00=1", "x" * 4_000, "a[]=1"]
)
def test_query_that_is_hardly_one_never_fails_the_server(wire: Wire, query: str) -> None:
    answer = wire.ask(b"GET", f"/agent-execution/executions/history/{wire.agent}?{query}".encode())
    assert answer.status in (200, 422)


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
def test_time_of_report_outside_the_contract_is_422(wire: Wire, value: bytes) -> None:
    answer = wire.report(b"{}", [*AS_JSON, (b"x-reported-at", value)])
    assert answer.status == 422
    assert isinstance(answer.detail, list)
    assert answer.detail[0]["loc"] == ["header", "x-reported-at"]


def test_two_times_of_report_are_422(wire: Wire) -> None:
    assert wire.report(b"{}", [*AS_JSON, (b"x-reported-at", b"1"), (b"X-Reported-At", b"1")]).status == 422


# Keys


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([], id="missing"),
        pytest.param([b""], id="empty"),
        pytest.param([b"   "], id="spaces"),
        pytest.param([b"unknown"], id="unknown"),
        pytest.param([KEY.encode()[:-1]], id="cut off"),
        pytest.param([KEY.encode() + b"x"], id="too long"),
        pytest.param([KEY.upper().encode()], id="in capitals"),
        pytest.param([b'"' + KEY.encode() + b'"'], id="quoted"),
        pytest.param([b"k\xc3\xa4se"], id="UTF-8"),
        pytest.param([b"k\xe4se"], id="Latin-1"),
        pytest.param([b"\xff\xfe"], id="no text"),
        pytest.param([b"x" * 10_000], id="10,000 bytes"),
        pytest.param([KEY.encode(), KEY.encode()], id="twice"),
        pytest.param([b"unknown", KEY.encode()], id="unknown and known"),
        pytest.param([KEY.encode(), b""], id="known and empty"),
    ],
)
def test_key_that_is_not_just_one_known_one_is_401(wire: Wire, keys: list[bytes]) -> None:
    answer = wire.ask(b"GET", f"/agents-metrics/{wire.agent}".encode(), [(b"x-api-key", key) for key in keys])
    assert answer.status == 401
    assert "www-authenticate" in answer.headers
    assert isinstance(answer.detail, str)


def test_authorization_header_is_no_key(wire: Wire) -> None:
    headers = [(b"authorization", b"Bearer " + KEY.encode())]
    assert wire.ask(b"GET", f"/agents-metrics/{wire.agent}".encode(), headers).status == 401


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
def test_who_asks_comes_before_what_is_asked(wire: Wire, method: bytes, target: bytes, body: bytes) -> None:
    assert wire.ask(method, target, [(b"content-type", b"application/json")], body).status == 401
    assert wire.ask(method, target, [(b"content-type", b"text/plain"), (b"x-api-key", b"no")], body).status == 401


def test_large_body_of_a_stranger_is_401(wire: Wire) -> None:
    assert wire.report(b"x" * 5 * MIB, []).status == 401


# Connections


@pytest.mark.parametrize("lines", [1, 1_000], ids=["one", "a thousand"])
def test_head_of_over_64_kib_is_431(wire: Wire, lines: int) -> None:
    flood = [(b"x", b"y" * (100_000 // lines))] * lines
    assert wire.ask(b"GET", b"/health", flood).status == 431


def test_heads_that_never_end_keep_nobody_else_waiting(wire: Wire) -> None:
    connections = [wire.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(b"POST /agent-execution/a/report_task HTTP/1.1\r\nx: ")
        assert wire.report(b"{}").status == 200
    finally:
        for connection in connections:
            connection.close()


def test_half_a_body_and_then_nothing_does_no_harm(wire: Wire) -> None:
    for _ in range(20):
        with wire.connect() as connection:
            connection.sendall(
                head(b"POST", wire.report_path, [*AS_JSON, (b"content-length", b"1000")]) + b'{"id": "ha'
            )


def test_half_a_body_records_nothing(wire: Wire) -> None:
    task_id = f"half-{wire.agent}"
    body = json.dumps({"id": task_id}).encode()
    with wire.connect() as connection:
        # All of a report is there, but not all that was announced.
        connection.sendall(head(b"POST", wire.report_path, [*AS_JSON, (b"content-length", b"1000")]) + body)
        connection.shutdown(socket.SHUT_WR)
        # It may still say something, and closes in any case.
        while connection.recv(65_536):
            pass
    assert wire.ask(b"GET", f"/agent-execution/{task_id}/status".encode()).status == 404


def test_half_a_head_does_no_harm(wire: Wire) -> None:
    for _ in range(20):
        with wire.connect() as connection:
            connection.sendall(b"POST /agent-exec")


def test_body_in_single_bytes_is_taken(wire: Wire) -> None:
    body = b'{"result": "slow"}'
    with wire.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head(b"POST", wire.report_path, [*AS_JSON, (b"content-length", b"%d" % len(body))]))
        for byte in body:
            connection.sendall(bytes([byte]))
        assert read_answer(connection).status == 200


def test_waiting_for_half_bodies_keeps_nobody_else_waiting(wire: Wire) -> None:
    connections = [wire.connect() for _ in range(100)]
    try:
        for connection in connections:
            connection.sendall(head(b"POST", wire.report_path, [*AS_JSON, (b"content-length", b"1000")]) + b"{")
        assert wire.report(b"{}").status == 200
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"G\xffT /health HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        b"POST /agent-execution/a/report_task HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_does_no_harm(wire: Wire, raw: bytes) -> None:
    with wire.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    # Whatever it makes of that: it closes, and did not fail.
    assert not answer.startswith(b"HTTP/1.1 5")


@pytest.mark.parametrize(
    "target", [b"/health?\xff", b"/\xc3\xbc", b"/agents-metrics/\xff", b"/agents-metrics/a\\b", b"/a%"]
)
def test_raw_bytes_in_the_target_do_no_harm(wire: Wire, target: bytes) -> None:
    assert wire.ask(b"GET", target).status in (200, 400, 404, 422)
