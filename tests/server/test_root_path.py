"""Server below a path prefix: pages, sessions and API, whether or not the proxy removes the prefix."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from server.conftest import StoreWithKeys
from support.server import KEY, running_server
from xpander_sdk import Backend, Configuration
from xpander_server.http.bind import BindSettings

ROOT_PATH = "/team/reports"


@pytest.fixture(scope="module")
def server_url(new_store_with_keys: Callable[[], StoreWithKeys]) -> Iterator[str]:
    with running_server(new_store_with_keys().path, "--root-path", ROOT_PATH) as server:
        yield server.url


@pytest.fixture
def client(server_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server_url, trust_env=False) as client:
        yield client


def sign_in(client: httpx.Client) -> httpx.Response:
    return client.post(f"{ROOT_PATH}/ui/sign-in", data={"key": KEY, "next": "/ui/metrics"})


def test_links_of_pages_have_the_prefix(client: httpx.Client):
    sign_in(client)
    page = client.get(f"{ROOT_PATH}/ui/history")
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
    assert links
    assert [link for link in links if not link.startswith(f"{ROOT_PATH}/ui/")] == []


def test_static_files_are_served_below_the_prefix(client: httpx.Client):
    page = client.get(f"{ROOT_PATH}/ui/sign-in").text
    for link in re.findall(r'(?:href|src)="([^"]*/static/[^"]*)"', page):
        assert client.get(link).status_code == 200


def test_sign_in_leads_to_the_requested_page_below_the_prefix(client: httpx.Client):
    first = client.get(f"{ROOT_PATH}/ui/metrics?last=7d")
    assert first.headers["location"] == f"{ROOT_PATH}/ui/sign-in?next=%2Fui%2Fmetrics%3Flast%3D7d"
    response = sign_in(client)
    assert (response.status_code, response.headers["location"]) == (303, f"{ROOT_PATH}/ui/metrics")


def test_cookie_is_sent_only_below_the_prefix(client: httpx.Client):
    assert f"Path={ROOT_PATH}/ui;" in sign_in(client).headers["set-cookie"]


def test_root_redirects_to_the_history_below_the_prefix(client: httpx.Client):
    for path in (ROOT_PATH, f"{ROOT_PATH}/", "/"):
        assert client.get(path).headers["location"] == f"{ROOT_PATH}/ui/history"


def test_requests_are_answered_with_and_without_the_prefix(client: httpx.Client):
    for path in ("/health", f"{ROOT_PATH}/health"):
        assert client.get(path).status_code == 200


def test_path_that_only_begins_like_the_prefix_is_not_shortened(client: httpx.Client):
    assert client.get(f"{ROOT_PATH}-x/ui/sign-in").status_code == 404


def test_backend_below_the_prefix_takes_reports(server_url: str):
    backend = Backend(Configuration(base_url=server_url + ROOT_PATH, api_key=KEY))
    task = backend.report_external_task(agent_id="agent", id="run/1", result="done")
    assert task.id == "run/1"


@pytest.mark.parametrize("root_path", ["reports", "/reports/", "/", "/a b", "//x", "/x?y"])
def test_invalid_root_path_is_refused(root_path: str):
    with pytest.raises(ValueError, match=r"root_path must be a path without a slash at its end, such as /reports"):
        BindSettings(root_path=root_path).validate()
