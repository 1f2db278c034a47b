"""A server, a browser, visitors with organisations of their own. What a page says on the console fails its test."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import define, field, frozen
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.server import Server, running_server
from xpander_sdk import Backend, Configuration
from xpander_server.admin import open_keys

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if not any(map(shutil.which, BROWSERS)) and not os.environ.get("CI"):
        for item in here:
            item.add_marker(pytest.mark.skip(reason=f"no browser on this machine: none of {', '.join(BROWSERS)}"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Of a module: what drives it is an event loop in this thread, which tests of other modules must not find running.
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert executable, "CI needs a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield launched
        launched.close()


@frozen
class Shop:
    """A running server, and who keeps its keys."""

    server: Server
    store: Path
    log: Path

    def key(self, organization_id: str, *scopes: str, name: str = "visitor") -> str:
        with open_keys(f"sqlite:///{self.store}") as keys:
            return keys.create(name, organization_id, scopes=scopes or ("report", "read"))

    def revoke(self, organization_id: str, name: str = "visitor") -> None:
        with open_keys(f"sqlite:///{self.store}") as keys:
            keys.revoke(name, organization_id)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    log = folder / "log"
    with running_server(folder / "store.db", "--log-level", "info", log=log) as server:
        yield Shop(server, folder / "store.db", log)


@define
class Visitor:
    """Somebody with a key and a browser window."""

    shop: Shop
    page: Page
    organization_id: str
    api_key: str
    expected: list[str] = field(factory=list)
    """Parts of what the console may say in this test."""

    @property
    def url(self) -> str:
        return self.shop.server.url

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


@pytest.fixture
def new_visitor(shop: Shop, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    contexts: list[BrowserContext] = []
    complaints: list[tuple[Visitor, str]] = []

    def new(**options: object) -> Visitor:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        organization_id = f"org-{uuid.uuid4()}"
        visitor = Visitor(shop, context.new_page(), organization_id, shop.key(organization_id))

        def complain(said: str) -> None:
            if not any(part in said for part in visitor.expected):
                complaints.append((visitor, said))

        context.on("console", lambda message: message.type in ("error", "warning") and complain(message.text))
        context.on("weberror", lambda error: complain(str(error.error)))
        context.on("dialog", lambda dialog: (complain(f"a dialog: {dialog.message}"), dialog.dismiss()))
        context.on("request", lambda request: request.url.startswith(shop.server.url) or complain(request.url))
        return visitor

    yield new
    for context in contexts:
        context.close()
    assert [said for _, said in complaints] == []


@pytest.fixture
def visitor(new_visitor: Callable[..., Visitor]) -> Visitor:
    """Somebody who is signed in."""
    made = new_visitor()
    made.sign_in()
    return made
