"""Pictures of the pages, with the corpus of real runs in them, for docs/: `make screenshots`."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from browser.conftest import BROWSERS
from support.corpus import CORPUS, load_runs, report_for_run, report_lines
from support.server import KEY, ORGANIZATION, running_server
from xpander_sdk import Backend, Configuration

DOCS = Path(__file__).parents[2] / "docs"
DAYS = 30
DESK, PHONE = {"width": 1360, "height": 900}, {"width": 360, "height": 740}
LARGEST = 250_000  # bytes


def main() -> None:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise SystemExit(f"There is no browser here: none of {', '.join(BROWSERS)}.")
    if not CORPUS.exists():
        raise SystemExit(f"The corpus of real runs is not beside this checkout: {CORPUS.name}.")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder, "store.db")) as server,
        sync_playwright() as playwright,
    ):
        configuration = Configuration(base_url=server.url, api_key=KEY, organization_id=ORGANIZATION)
        task_id = fill(Path(folder), configuration)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            take(browser, server.url, task_id, scheme)
        browser.close()


def fill(folder: Path, configuration: Configuration) -> str:
    """Import the corpus, spread over days; the id of the run to show."""
    file = folder / "runs.jsonl"
    found = [json.loads(line) for line in report_lines(DAYS)]
    # The corpus is in the order of its sources; people's runs are not.
    times = [{name: run.pop(name) for name in ("created_at", "finished_at")} for run in found]
    random.Random(7).shuffle(found)
    mixed = [run | at for run, at in zip(found, times, strict=True)]
    file.write_text("".join(f"{json.dumps(run)}\n" for run in mixed), "utf-8")
    settings = {"XPANDER_BASE_URL": configuration.base_url, "XPANDER_API_KEY": KEY, "PATH": ""}
    command = [sys.executable, "-m", "xpander_sdk.cli", "import", str(file)]
    subprocess.run(command, check=True, env=settings, cwd=folder)
    # Many tools, and a response that is not too long.
    run = max(
        (run for run in load_runs() if len(run["steps"]) > 1 and run["steps"][0]["provider"] == "openai"),
        key=lambda run: len(report_for_run(run)["used_tools"]) * 5 - len(str(run)) / 4_000,
    )
    report = {"agent_id": f"{run['steps'][0]['provider']}-agent", **report_for_run(run)}
    backend = Backend(configuration)
    backend.report_external_task(**report, result="A first answer, before the tools were asked.")
    backend.report_external_task(**report, result="The answer, with what the tools have found.")
    return str(run["run"])


def take(browser: Browser, url: str, task_id: str, scheme: str) -> None:
    page = browser.new_page(viewport=DESK, color_scheme=scheme)
    page.goto(url)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.locator("table.runs").wait_for()
    shoot(page, f"pages-history-{scheme}")
    page.goto(f"{url}/ui/task?id={task_id}")
    shoot(page, f"pages-task-{scheme}", height=1_100)
    page.goto(f"{url}/ui/metrics?last=30d")
    shoot(page, f"pages-metrics-{scheme}", height=1_000)
    if scheme == "dark":
        page.set_viewport_size(PHONE)
        shoot(page, "pages-metrics-phone")
    page.close()


def shoot(page: Page, name: str, height: int | None = None) -> None:
    if height is not None:
        page.set_viewport_size({**DESK, "height": height})
    path = DOCS / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path.name} has {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
