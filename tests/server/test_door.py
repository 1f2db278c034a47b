"""Who can reach the server: this machine, unless somebody says how the way is kept safe."""

import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from server.conftest import Shop
from support.certificates import create_certificate
from support.server import KEY, running_server


def refusal(*arguments: str, **settings: str) -> str:
    """What `serve` says before it ends, as it should."""
    command = [sys.executable, "-m", "xpander_sdk.cli", "serve", "--port", "0", *arguments]
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **settings}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_store_without_a_key_is_served_to_this_machine_alone(shop: Shop, host: str):
    told = refusal("--store", shop.url, "--host", host, "--allow-plain-http")
    assert "the store has no API key" in told
    assert "xpander-report keys create" in told


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_not_to_send_keys_unencrypted(shop: Shop, host: str):
    told = refusal("--store", shop.url, "--host", host, XPANDER_API_KEY="hunter2")
    for way in ("--tls-certificate", "--behind-proxy", "--allow-plain-http"):
        assert way in told
    assert "hunter2" not in told


@pytest.mark.parametrize("way", [["--behind-proxy", "10.0.0.0/8"], ["--allow-plain-http"]])
def test_who_says_how_it_is_kept_safe_may_listen_everywhere(shop: Shop, way: list[str]):
    with running_server(shop.path, "--host", "0.0.0.0", *way) as server:
        port = server.url.rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200


def test_a_live_key_of_the_store_is_enough(shop: Shop):
    shop.key("ci", "org")
    told = refusal("--store", shop.url, "--host", "0.0.0.0")
    assert "the store has no API key" not in told
    shop.revoke("ci", "org")
    assert "the store has no API key" in refusal("--store", shop.url, "--host", "0.0.0.0")


def test_it_speaks_tls(shop: Shop, tmp_path: Path):
    certificate = create_certificate("DNS:localhost,IP:127.0.0.1", tmp_path)
    options = ["--tls-certificate", certificate.path, "--tls-key", certificate.key, "--host", "0.0.0.0"]
    with running_server(shop.path, *options) as server:
        assert server.url.startswith("https://0.0.0.0:")
        port = server.url.rpartition(":")[2]
        context = ssl.create_default_context(cafile=certificate.path)
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as client:
            answer = client.get("/agents-metrics/a", headers={"x-api-key": KEY})
            assert answer.status_code == 200
            assert "strict-transport-security" in answer.headers
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)


def test_a_certificate_needs_its_key_and_both_must_fit(shop: Shop, tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    one, other = create_certificate("DNS:a", here), create_certificate("DNS:b", there)
    for options, told in (
        (["--tls-certificate", one.path], "must be given together"),
        (["--tls-key", one.key], "must be given together"),
        (["--tls-certificate", one.path, "--tls-key", other.key], "cannot use the TLS certificate"),
        (["--tls-certificate", str(tmp_path / "none"), "--tls-key", one.key], "cannot use the TLS certificate"),
        (["--behind-proxy", "proxy.example"], "must be an IP address, a network or *"),
        (["--rate-limit", "many"], "must have the form 100/s"),
    ):
        assert told in refusal("--store", shop.url, *options)
