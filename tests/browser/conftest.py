"""Fixtures for the browser tests: a server, a browser, and users with an organization each.

A test fails if a page writes a warning or an error to the console, opens a dialog, or sends a request to another host.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from attrs import define, field, frozen
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from support.server import Server, running_server
from xpander_sdk import Backend, Configuration
from xpander_server.admin import open_keys

TIMEOUT = 15_000  # milliseconds; the machine may be busy
expect.set_options(timeout=TIMEOUT)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    browser_tests = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if not any(map(shutil.which, BROWSERS)) and not os.environ.get("CI"):
        for item in browser_tests:
            item.add_marker(pytest.mark.skip(reason=f"no browser is installed: none of {', '.join(BROWSERS)}"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # The fixture has the scope of a module because playwright runs an event loop in this thread, and tests of other
    # modules must not find a running loop.
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert executable, "CI needs a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@frozen
class RunningServer:
    """A running server, with the files of its store and its log."""

    process: Server
    store: Path
    log: Path

    @property
    def url(self) -> str:
        return self.process.url

    def create_key(self, organization_id: str, *scopes: str, name: str = "reader") -> str:
        with open_keys(f"sqlite:///{self.store}") as keys:
            return keys.create(name, organization_id, scopes=scopes or ("report", "read"))

    def revoke_key(self, organization_id: str, name: str = "reader") -> None:
        with open_keys(f"sqlite:///{self.store}") as keys:
            keys.revoke(name, organization_id)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    with running_server(folder / "store.db", "--log-level", "info", log=log, pages_are_whole=True) as process:
        yield RunningServer(process, folder / "store.db", log)


@define
class User:
    """A user of the pages, with an organization, a key and a browser window."""

    server: RunningServer
    page: Page
    organization_id: str
    api_key: str
    expected_messages: list[str] = field(factory=list)
    """Parts of the console messages that the test expects."""

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def backend(self) -> Backend:
        return Backend(Configuration(base_url=self.url, api_key=self.api_key, organization_id=self.organization_id))

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, path: str = "/") -> None:
        self.open(path)
        self.page.get_by_label("API key").fill(self.api_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def report(self, **arguments: object) -> str:
        return self.backend.report_external_task(**{"agent_id": "agent-1", **arguments}).id

    def report_at(self, created_at: datetime, agent_id: str = "agent-1", **fields: object) -> str:
        """Report a run of another time, which the SDK only does for imported runs."""
        response = httpx.post(
            f"{self.url}/agent-execution/{agent_id}/report_task",
            headers={"x-api-key": self.api_key},
            json={"created_at": created_at.isoformat(), "is_success": True, **fields},
            trust_env=False,
        )
        return str(response.raise_for_status().json()["id"])


@pytest.fixture
def new_user(server: RunningServer, browser: Browser) -> Iterator[Callable[..., User]]:
    contexts: list[BrowserContext] = []
    unexpected_messages: list[str] = []

    def create(**options: object) -> User:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        organization_id = f"org-{uuid.uuid4()}"
        user = User(server, context.new_page(), organization_id, server.create_key(organization_id))

        def check(message: str) -> None:
            if not any(part in message for part in user.expected_messages):
                unexpected_messages.append(message)

        context.on("console", lambda message: message.type in ("error", "warning") and check(message.text))
        context.on("weberror", lambda error: check(str(error.error)))
        context.on("dialog", lambda dialog: (check(f"dialog: {dialog.message}"), dialog.dismiss()))
        context.on("request", lambda request: request.url.startswith(user.url) or check(request.url))
        return user

    yield create
    for context in contexts:
        context.close()
    assert unexpected_messages == []


@pytest.fixture
def user(new_user: Callable[..., User]) -> User:
    """Return a signed-in user."""
    user = new_user()
    user.sign_in()
    return user
