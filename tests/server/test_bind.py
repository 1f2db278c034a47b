"""Bind rules: addresses that other_certificate machines can reach require a key, and TLS or an explicit permission."""

import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.conftest import StoreWithKeys
from support.certificates import create_certificate
from support.server import KEY, running_server, serve_command, server_url


def startup_error(*arguments: str, **settings: str) -> str:
    """Return the error text of `serve` with invalid arguments; assert exit status 2 and empty standard output."""
    command = [sys.executable, "-m", "xpander_sdk.cli", "serve", "--port", "0", *arguments]
    process = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **settings}, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 2, process
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    return process.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_store_without_key_requires_loopback_address(store_with_keys: StoreWithKeys, host: str):
    error = startup_error("--store", store_with_keys.url, "--host", host, "--allow-plain-http")
    assert "the store has no API key" in error
    assert "xpander-report keys create" in error


def test_error_of_a_port_in_use_names_the_option_of_another_port(store_with_keys: StoreWithKeys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        error = startup_error("--store", store_with_keys.url, "--port", port)
    assert error.endswith("Address already in use; --port names another port\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_external_address_requires_tls_or_permission(store_with_keys: StoreWithKeys, host: str):
    error = startup_error("--store", store_with_keys.url, "--host", host, XPANDER_API_KEY="hunter2" * 3)
    for option in ("--tls-certificate", "--behind-proxy", "--allow-plain-http"):
        assert option in error
    assert "hunter2" not in error


@pytest.mark.parametrize("option", [["--behind-proxy", "10.0.0.0/8"], ["--allow-plain-http"]])
def test_external_address_is_permitted_with_proxy_or_plain_http(store_with_keys: StoreWithKeys, option: list[str]):
    with running_server(store_with_keys.path, "--host", "0.0.0.0", *option) as server:
        port = server.url.rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200


def test_active_key_in_store_permits_external_address(store_with_keys: StoreWithKeys):
    store_with_keys.create_key("ci", "org")
    error = startup_error("--store", store_with_keys.url, "--host", "0.0.0.0")
    assert "the store has no API key" not in error
    store_with_keys.revoke_key("ci", "org")
    assert "the store has no API key" in startup_error("--store", store_with_keys.url, "--host", "0.0.0.0")


def test_server_uses_tls(store_with_keys: StoreWithKeys, tmp_path: Path):
    certificate = create_certificate("DNS:localhost,IP:127.0.0.1", tmp_path)
    options = ["--tls-certificate", certificate.path, "--tls-key", certificate.key, "--host", "0.0.0.0"]
    with running_server(store_with_keys.path, *options) as server:
        assert server.url.startswith("https://0.0.0.0:")
        port = server.url.rpartition(":")[2]
        context = ssl.create_default_context(cafile=certificate.path)
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as client:
            response = client.get("/agents-metrics/a", headers={"x-api-key": KEY})
            assert response.status_code == 200
            assert "strict-transport-security" in response.headers
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)


def test_invalid_settings_are_rejected(store_with_keys: StoreWithKeys, tmp_path: Path):
    folder, other_folder = tmp_path / "folder", tmp_path / "other_folder"
    folder.mkdir()
    other_folder.mkdir()
    certificate, other_certificate = create_certificate("DNS:a", folder), create_certificate("DNS:b", other_folder)
    for options, error in (
        (["--tls-certificate", certificate.path], "must be given together"),
        (["--tls-key", certificate.key], "must be given together"),
        (["--tls-certificate", certificate.path, "--tls-key", other_certificate.key], "cannot use the TLS certificate"),
        (["--tls-certificate", str(tmp_path / "none"), "--tls-key", certificate.key], "cannot use the TLS certificate"),
        (["--behind-proxy", "proxy.example"], "must be an IP address, a network or *"),
        (["--rate-limit", "many"], "must have the form 100/s"),
    ):
        assert error in startup_error("--store", store_with_keys.url, *options)


@pytest.mark.parametrize(
    "key", ["a", "password", "nineteen characters"[:19], "twenty characters..é", "twenty with a space."]
)
def test_weak_key_is_rejected(store_with_keys: StoreWithKeys, key: str):
    error = startup_error("--store", store_with_keys.url, XPANDER_API_KEY=key)
    assert "at least 20 printable ASCII characters" in error
    assert key not in error or len(key) == 1


def serve_without_key(store_with_keys: StoreWithKeys, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "xpander_sdk.cli", "serve", "--store", store_with_keys.url, "--port", "0"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.Popen([*command, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def test_server_prints_its_store_and_its_url_when_it_starts(store_with_keys: StoreWithKeys):
    with subprocess.Popen(serve_command(store_with_keys.path), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
        finally:
            process.terminate()
        further_lines = process.stdout.read()
    assert re.fullmatch(rf"Serving {re.escape(store_with_keys.url)} at http://127\.0\.0\.1:\d+\n", first_line)
    assert further_lines == ""


def test_first_key_is_not_written_into_pipe(store_with_keys: StoreWithKeys):
    with serve_without_key(store_with_keys) as process:
        try:
            assert process.stdout is not None
            url = server_url(process.stdout.readline())
            assert "xpander-report keys create" in process.stdout.readline()
            key = store_with_keys.create_key("later", "local")
            assert httpx.get(f"{url}/agents-metrics", headers={"x-api-key": key}, trust_env=False).status_code == 200
        finally:
            process.terminate()
        assert "xpr_" not in process.stdout.read()


def test_first_key_is_written_into_key_file(store_with_keys: StoreWithKeys, tmp_path: Path):
    file = tmp_path / "key"
    for _ in range(2):  # the second start finds the key in the store, and ignores the file
        with serve_without_key(store_with_keys, "--key-file", str(file)) as process:
            try:
                assert process.stdout is not None
                url = server_url(process.stdout.readline())
                headers = {"x-api-key": file.read_text().strip()}
                assert httpx.get(f"{url}/agents-metrics", headers=headers, trust_env=False).status_code == 200
            finally:
                process.terminate()
            assert "xpr_" not in process.stdout.read()
    assert file.stat().st_mode & 0o777 == 0o600


def test_key_file_is_never_overwritten(store_with_keys: StoreWithKeys, tmp_path: Path):
    file = tmp_path / "key"
    file.write_text("precious")
    error = startup_error("--store", store_with_keys.url, "--key-file", str(file))
    assert "--key-file must name a new file" in error
    assert file.read_text() == "precious"
    # The key that could not be written is revoked, so that the next start creates another one.
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    assert "--key-file must name a new file" in startup_error("--store", store_with_keys.url, "--key-file", str(link))
    assert not (tmp_path / "target").exists()
