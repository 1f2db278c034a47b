"""History page: first run, live updates, filters, paging and keyboard shortcuts."""

import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect


def rows(page):
    return page.locator("table.runs tr[data-id]")


def ids(page):
    return rows(page).evaluate_all("rows => rows.map(row => row.dataset.id)")


@pytest.fixture
def assert_no_reload(user):
    """Fail the test if the page was loaded again."""
    user.page.evaluate("window.isSameDocument = true")
    yield
    assert user.page.evaluate("window.isSameDocument") is True


def test_empty_history_explains_first_run_and_shows_it_live(user, assert_no_reload):
    snippet = user.page.locator("#first-python").inner_text()
    assert user.url in snippet
    program = snippet.replace("YOUR-API-KEY", user.api_key)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("XPANDER_")}
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60, env=settings)
    expect(rows(user.page)).to_have_count(1)
    expect(user.page.get_by_role("link", name="Summarize Q4 earnings")).to_be_visible()
    expect(user.page.locator("#live-state")).to_have_text("First run received")


def test_empty_history_explains_first_run_with_curl(user):
    command = user.page.locator("#first-curl").inner_text().replace("YOUR-API-KEY", user.api_key)
    result = subprocess.run(["bash", "-c", command + " --silent --fail"], capture_output=True, timeout=60, check=False)
    if result.returncode == 127:
        pytest.skip("curl is not installed")
    assert result.returncode == 0
    expect(rows(user.page)).to_have_count(1)


def test_runs_appear_and_change_without_reload(new_user):
    user = new_user()
    user.report(id="first", input="the first", is_success=True)
    user.sign_in()
    user.page.evaluate("window.isSameDocument = true")
    user.report(id="second", input="the second", is_success=None)
    expect(rows(user.page).first).to_contain_text("executing")
    user.report(id="second", result="done", is_success=True)
    expect(rows(user.page).first).to_contain_text("completed")
    expect(rows(user.page).first).to_contain_text("done")
    assert ids(user.page) == ["second", "first"]
    assert user.page.evaluate("window.isSameDocument") is True


def test_paused_page_does_not_change(user):
    page = user.page
    page.get_by_role("button", name="Live").click()
    user.report(id="meanwhile")
    expect(page.locator("#live-state")).to_have_text("Paused")
    page.get_by_role("button", name="Live").click()
    expect(rows(page)).to_have_count(1)


def test_filters_are_part_of_url(new_user):
    user = new_user()
    user.report(id="wanted", agent_id="agent-2", input="find ME", is_success=False, used_tools=["search"],
                   llm_response={"model": "gpt-4o"})  # fmt: skip
    user.report(id="other-agent", input="find me", is_success=False, used_tools=["search"])
    user.report(id="other-text", agent_id="agent-2", input="lose me", is_success=False)
    user.report(id="completed", agent_id="agent-2", input="find me")
    user.sign_in()
    page = user.page
    page.get_by_label("Search").fill("find me")
    page.get_by_label("Agent", exact=True).fill("agent-2")
    page.get_by_label("Status", exact=True).select_option("failed")
    page.wait_for_url("**status=failed**")
    page.get_by_label("Time", exact=True).select_option("24h")
    page.wait_for_url("**last=24h**")
    page.get_by_text("More filters").click()
    page.get_by_label("Tool", exact=True).fill("search")
    page.get_by_label("Model", exact=True).fill("gpt-4o")
    page.get_by_role("button", name="Apply").click()
    expect(rows(page)).to_have_count(1)
    assert ids(page) == ["wanted"]
    assert page.url.endswith("/ui/history?q=find+me&agent_id=agent-2&status=failed&last=24h&tool=search&model=gpt-4o")
    page.goto(page.url)
    assert ids(page) == ["wanted"]
    expect(page.get_by_label("Tool", exact=True)).to_have_value("search")
    user.report(id="later", agent_id="agent-2", input="find me", is_success=False, used_tools=["search"],
                   llm_response={"model": "gpt-4o"})  # fmt: skip
    expect(rows(page)).to_have_count(2)


def test_paging_is_stable_while_new_runs_arrive(new_user):
    user = new_user()
    expected = [user.report(id=f"run-{number}") for number in range(110)][::-1]
    user.sign_in()
    displayed = ids(user.page)
    user.report(id="meanwhile")
    for _ in range(2):
        user.page.get_by_role("link", name="Older").click()
        displayed += ids(user.page)
    assert [task_id for task_id in displayed if task_id != "meanwhile"] == expected
    assert user.page.get_by_role("link", name="Older").count() == 0
    user.page.get_by_role("link", name="Newest").click()
    assert ids(user.page)[0] == "meanwhile"


def test_keyboard_shortcuts_select_and_open_run(new_user):
    user = new_user()
    for number in range(3):
        user.report(id=f"run-{number}", input=f"input {number}")
    user.sign_in()
    page = user.page
    for key in "jjjk":
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="input 1")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("jk?")
    expect(page.get_by_label("Search")).to_have_value("jk?")
    page.get_by_role("link", name="input 1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("input 1")
    page.keyboard.press("m")
    page.wait_for_url("**/ui/metrics")


def test_focus_stays_on_run_when_new_runs_arrive(new_user):
    user = new_user()
    user.report(id="run-1", input="input 1")
    user.sign_in()
    user.page.keyboard.press("j")
    user.report(id="run-2", input="input 2")
    expect(rows(user.page)).to_have_count(2)
    expect(user.page.get_by_role("link", name="input 1")).to_be_focused()


def test_pages_work_without_javascript(new_user):
    user = new_user(java_script_enabled=False)
    user.report(id="run-1", input="input 1", llm_response={"a": {"b": [1, {"c": "deep"}]}}, tokens={"prompt_tokens": 5})
    user.sign_in()
    user.page.get_by_role("link", name="input 1").click()
    expect(user.page.locator("#tree")).to_contain_text("deep")
    user.page.get_by_role("link", name="Metrics").click()
    user.page.get_by_role("link", name="Show numbers").click()
    expect(user.page.locator("#runs tbody tr").last).to_contain_text("1")
    user.page.get_by_role("link", name="30 days").click()
    user.page.get_by_role("button", name="Sign out").click()
    expect(user.page.get_by_label("API key")).to_be_visible()
