"""Compressed bodies: content codings, decompression bombs and corrupt streams."""

import gzip
import json
import sys

import pytest

from contract.raw_http import JSON_HEADERS, MIB, RawClient, RawResponse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def compress(coding: bytes, body: bytes) -> bytes:
    return gzip.compress(body, 9) if coding == b"gzip" else zstd.compress(body)


def report_compressed(raw_client: RawClient, coding: bytes, body: bytes) -> RawResponse:
    return raw_client.report(body, [*JSON_HEADERS, (b"content-encoding", coding)])


each_coding = pytest.mark.parametrize("coding", [b"gzip", b"zstd"])


@each_coding
def test_compressed_body_is_accepted(raw_client: RawClient, coding: bytes) -> None:
    response = report_compressed(raw_client, coding, compress(coding, b'{"result": "compressed"}'))
    assert response.status == 200
    assert json.loads(response.body)["result"] == "compressed"


@pytest.mark.parametrize("coding", [b"identity", b"", b"GZIP", b"x-gzip"])
def test_alias_of_content_coding_is_accepted(raw_client: RawClient, coding: bytes) -> None:
    body = gzip.compress(b"{}") if b"gzip" in coding.lower() else b"{}"
    assert report_compressed(raw_client, coding, body).status == 200


@each_coding
def test_compressed_body_of_4_mib_is_accepted(raw_client: RawClient, coding: bytes) -> None:
    body = b'{"llm_response": "' + b"x" * (4 * MIB - 20) + b'"}'
    assert report_compressed(raw_client, coding, compress(coding, body)).status == 200


@each_coding
@pytest.mark.parametrize("size", [4 * MIB + 1, 500 * MIB], ids=["one byte too many", "500 MiB"])
def test_decompression_bomb_is_413(raw_client: RawClient, coding: bytes, size: int) -> None:
    response = report_compressed(raw_client, coding, compress(coding, b" " * size))
    assert response.status == 413
    assert isinstance(response.detail, str)


def test_nested_decompression_bomb_is_400(raw_client: RawClient) -> None:
    # The server decompresses the body once, and the result is not JSON.
    assert report_compressed(raw_client, b"gzip", gzip.compress(gzip.compress(b" " * 50 * MIB))).status == 400


def test_zstd_with_huge_window_is_400(raw_client: RawClient) -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(b"{}") + compressor.flush()
    assert report_compressed(raw_client, b"zstd", body).status == 400


@each_coding
@pytest.mark.parametrize("defect", ["not compressed", "truncated", "trailing data", "repeated", "flipped", "empty"])
def test_invalid_compressed_body_is_400(raw_client: RawClient, coding: bytes, defect: str) -> None:
    compressed = compress(coding, b'{"result": "' + b"abc" * 50 + b'"}')
    body = {
        "not compressed": b'{"result": "a"}',
        "truncated": compressed[:-1],
        "trailing data": compressed + b"{}",
        "repeated": compressed + compressed,
        "flipped": compressed[:-3] + bytes([compressed[-3] ^ 1]) + compressed[-2:],
        "empty": b"",
    }[defect]
    if defect == "flipped" and coding == b"zstd":
        body = compressed[:6] + b"\xff\xff" + compressed[8:]  # by default, zstd writes no checksum
    assert report_compressed(raw_client, coding, body).status == 400


@pytest.mark.parametrize(
    "coding",
    [b"br", b"deflate", b"compress", b"gzip, gzip", b"gzip, zstd", b"gzip;q=1", b"gz", b"*", b"\xff", b"utf-8"],
)
def test_unknown_content_coding_is_415_with_supported_codings(raw_client: RawClient, coding: bytes) -> None:
    response = report_compressed(raw_client, coding, gzip.compress(b"{}"))
    assert response.status == 415
    assert response.headers["accept-encoding"] == "gzip, zstd"
    assert isinstance(response.detail, str)


def test_two_content_encoding_headers_are_415(raw_client: RawClient) -> None:
    headers = [*JSON_HEADERS, (b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")]
    assert raw_client.report(gzip.compress(gzip.compress(b"{}")), headers).status == 415


def test_compressed_body_without_key_is_401(raw_client: RawClient) -> None:
    assert raw_client.report(gzip.compress(b" " * 50 * MIB), [(b"content-encoding", b"gzip")]).status == 401
