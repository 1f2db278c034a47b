"""Screenshots of the pages for docs/, with the runs of the corpus: `make screenshots`."""

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
DESKTOP, PHONE = {"width": 1360, "height": 900}, {"width": 360, "height": 740}
MAX_FILE_SIZE = 250_000
"""Bytes."""


def main() -> None:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        raise SystemExit(f"No browser is installed: install one of {', '.join(BROWSERS)}.")
    if not CORPUS.exists():
        raise SystemExit(f"The corpus does not exist: {CORPUS}.")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder, "store.db")) as server,
        sync_playwright() as playwright,
    ):
        configuration = Configuration(base_url=server.url, api_key=KEY, organization_id=ORGANIZATION)
        task_id = import_corpus(Path(folder), configuration)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            take_screenshots(browser, server.url, task_id, scheme)
        browser.close()


def import_corpus(folder: Path, configuration: Configuration) -> str:
    """Import the corpus, spread over `DAYS` days, and return the id of the run for the task page."""
    file = folder / "runs.jsonl"
    reports = [json.loads(line) for line in report_lines(DAYS)]
    # The corpus is sorted by source. Shuffle the reports, but keep the order of the times.
    times = [{name: report.pop(name) for name in ("created_at", "finished_at")} for report in reports]
    random.Random(7).shuffle(reports)
    shuffled = [report | report_times for report, report_times in zip(reports, times, strict=True)]
    file.write_text("".join(f"{json.dumps(report)}\n" for report in shuffled), "utf-8")
    environment = {"XPANDER_BASE_URL": configuration.base_url, "XPANDER_API_KEY": KEY, "PATH": ""}
    command = [sys.executable, "-m", "xpander_sdk.cli", "import", str(file)]
    subprocess.run(command, check=True, env=environment, cwd=folder)
    # Show a run with many tools and a short response.
    run = max(
        (run for run in load_runs() if len(run["steps"]) > 1 and run["steps"][0]["provider"] == "openai"),
        key=lambda run: len(report_for_run(run)["used_tools"]) * 5 - len(str(run)) / 4_000,
    )
    report = {"agent_id": f"{run['steps'][0]['provider']}-agent", **report_for_run(run)}
    backend = Backend(configuration)
    backend.report_external_task(**report, result="Intermediate result before the tool calls.")
    backend.report_external_task(**report, result="Final result after the tool calls.")
    return str(run["run"])


def take_screenshots(browser: Browser, url: str, task_id: str, scheme: str) -> None:
    page = browser.new_page(viewport=DESKTOP, color_scheme=scheme)
    page.goto(url)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.locator("table.runs").wait_for()
    save_screenshot(page, f"pages-history-{scheme}", height=760)
    page.goto(f"{url}/ui/task?id={task_id}")
    save_screenshot(page, f"pages-task-{scheme}", height=1_100)
    page.goto(f"{url}/ui/metrics?last=30d")
    save_screenshot(page, f"pages-metrics-{scheme}", height=1_000)
    page.goto(f"{url}/ui/errors?last=90d")
    save_screenshot(page, f"pages-errors-{scheme}", height=700)
    page.goto(f"{url}/ui/agents?last=90d")
    page.locator("#agent-list tbody a").first.click()
    page.locator("#recent-runs").wait_for()
    save_screenshot(page, f"pages-agent-{scheme}", height=1_000)
    if scheme == "dark":
        page.goto(f"{url}/ui/metrics?last=30d")
        page.set_viewport_size(PHONE)
        save_screenshot(page, "pages-metrics-phone")
    page.close()


def save_screenshot(page: Page, name: str, height: int | None = None) -> None:
    if height is not None:
        page.set_viewport_size({**DESKTOP, "height": height})
    path = DOCS / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    if path.stat().st_size > MAX_FILE_SIZE:
        raise SystemExit(f"{path.name} must have at most {MAX_FILE_SIZE:,} bytes, got {path.stat().st_size:,}")
    print(path.name, f"{path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
