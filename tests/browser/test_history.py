"""The history: a first run, runs that come, filters, paging, keys."""

import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect


def rows(page):
    return page.locator("table.runs tbody tr")


def ids(page):
    return rows(page).evaluate_all("rows => rows.map(row => row.dataset.id)")


@pytest.fixture
def stays(visitor):
    """Fails where the page was loaded anew."""
    visitor.page.evaluate("window.isTheSame = true")
    yield
    assert visitor.page.evaluate("window.isTheSame") is True


def test_an_empty_history_explains_the_first_run_which_appears_by_itself(visitor, stays):
    snippet = visitor.page.locator("#first-python").inner_text()
    assert visitor.url in snippet
    program = snippet.replace("YOUR-API-KEY", visitor.api_key)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("XPANDER_")}
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60, env=settings)
    expect(rows(visitor.page)).to_have_count(1)
    expect(visitor.page.get_by_role("link", name="Summarize Q4 earnings")).to_be_visible()
    expect(visitor.page.locator("#live-state")).to_have_text("The first run is here")


def test_the_first_run_is_explained_to_a_shell_too(visitor):
    command = visitor.page.locator("#first-curl").inner_text().replace("YOUR-API-KEY", visitor.api_key)
    done = subprocess.run(["bash", "-c", command + " --silent --fail"], capture_output=True, timeout=60, check=False)
    if done.returncode == 127:
        pytest.skip("there is no curl here")
    assert done.returncode == 0
    expect(rows(visitor.page)).to_have_count(1)


def test_runs_appear_and_change_without_a_reload(new_visitor):
    visitor = new_visitor()
    visitor.report(id="first", input="the first", is_success=True)
    visitor.sign_in()
    visitor.page.evaluate("window.isTheSame = true")
    visitor.report(id="second", input="the second", is_success=None)
    expect(rows(visitor.page).first).to_contain_text("executing")
    visitor.report(id="second", result="done", is_success=True)
    expect(rows(visitor.page).first).to_contain_text("completed")
    expect(rows(visitor.page).first).to_contain_text("done")
    assert ids(visitor.page) == ["second", "first"]
    assert visitor.page.evaluate("window.isTheSame") is True


def test_a_paused_page_stays_as_it_is(visitor):
    page = visitor.page
    page.get_by_role("button", name="Live").click()
    visitor.report(id="meanwhile")
    expect(page.locator("#live-state")).to_have_text("Paused")
    page.get_by_role("button", name="Live").click()
    expect(rows(page)).to_have_count(1)


def test_filters_make_a_link_that_shows_the_same_again(new_visitor):
    visitor = new_visitor()
    visitor.report(id="wanted", agent_id="agent-2", input="find ME", is_success=False, used_tools=["search"],
                   llm_response={"model": "gpt-4o"})  # fmt: skip
    visitor.report(id="other-agent", input="find me", is_success=False, used_tools=["search"])
    visitor.report(id="other-text", agent_id="agent-2", input="lose me", is_success=False)
    visitor.report(id="completed", agent_id="agent-2", input="find me")
    visitor.sign_in()
    page = visitor.page
    page.get_by_label("Text").fill("find me")
    page.get_by_label("Agent", exact=True).fill("agent-2")
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Time").select_option("24h")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Tool").fill("search")
    page.get_by_label("Model").fill("gpt-4o")
    page.get_by_role("button", name="Show").click()
    expect(rows(page)).to_have_count(1)
    assert ids(page) == ["wanted"]
    assert page.url.endswith("/ui/history?q=find+me&agent_id=agent-2&status=failed&last=24h&tool=search&model=gpt-4o")
    page.goto(page.url)
    assert ids(page) == ["wanted"]
    expect(page.get_by_label("Tool")).to_have_value("search")
    visitor.report(id="later", agent_id="agent-2", input="find me", is_success=False, used_tools=["search"],
                   llm_response={"model": "gpt-4o"})  # fmt: skip
    expect(rows(page)).to_have_count(2)


def test_pages_follow_each_other_while_runs_come(new_visitor):
    visitor = new_visitor()
    expected = [visitor.report(id=f"run-{number}") for number in range(110)][::-1]
    visitor.sign_in()
    seen = ids(visitor.page)
    visitor.report(id="meanwhile")
    for _ in range(2):
        visitor.page.get_by_role("link", name="Older").click()
        seen += ids(visitor.page)
    assert [task_id for task_id in seen if task_id != "meanwhile"] == expected
    assert visitor.page.get_by_role("link", name="Older").count() == 0
    visitor.page.get_by_role("link", name="Newest").click()
    assert ids(visitor.page)[0] == "meanwhile"


def test_keys_go_through_the_runs_and_open_one(new_visitor):
    visitor = new_visitor()
    for number in range(3):
        visitor.report(id=f"run-{number}", input=f"input {number}")
    visitor.sign_in()
    page = visitor.page
    for key in "jjjk":
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="input 1")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Text")).to_be_focused()
    page.keyboard.type("jk?")
    expect(page.get_by_label("Text")).to_have_value("jk?")
    page.get_by_role("link", name="input 1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("run-1")
    page.keyboard.press("m")
    page.wait_for_url("**/ui/metrics")


def test_focus_stays_on_its_run_when_runs_come(new_visitor):
    visitor = new_visitor()
    visitor.report(id="run-1", input="input 1")
    visitor.sign_in()
    visitor.page.keyboard.press("j")
    visitor.report(id="run-2", input="input 2")
    expect(rows(visitor.page)).to_have_count(2)
    expect(visitor.page.get_by_role("link", name="input 1")).to_be_focused()


def test_everything_can_be_read_without_javascript(new_visitor):
    visitor = new_visitor(java_script_enabled=False)
    visitor.report(
        id="run-1", input="input 1", llm_response={"a": {"b": [1, {"c": "deep"}]}}, tokens={"prompt_tokens": 5}
    )
    visitor.sign_in()
    visitor.page.get_by_role("link", name="input 1").click()
    expect(visitor.page.locator("#tree")).to_contain_text("deep")
    visitor.page.get_by_role("link", name="Metrics").click()
    visitor.page.locator("#runs summary").click()
    expect(visitor.page.locator("#runs tbody tr").last).to_contain_text("1")
    visitor.page.get_by_role("link", name="30 days").click()
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_label("API key")).to_be_visible()
