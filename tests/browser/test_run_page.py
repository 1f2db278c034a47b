"""Page of a run: relatives, neighbors, focus, forms of long texts and nested JSON."""

import json

import pytest
from playwright.sync_api import expect


@pytest.fixture
def user_with_family(new_user):
    user = new_user()
    user.report(id="nightly", input="Nightly report")
    user.report(id="brief", input="Weekly brief", parent_task_id="nightly")
    tokens = {"prompt_tokens": 1_000, "completion_tokens": 5}
    for number in range(3):
        user.report(
            id=f"source-{number}",
            parent_task_id="brief",
            input=f"Source {number}",
            is_success=number != 1,
            error="timeout after 30 s" if number == 1 else None,
            tokens=tokens,
            duration=2.0 + number,
            calls=[{"model": "o", "cost": 0.5}],
        )
    user.report(id="page", parent_task_id="source-0", input="Page of source 0")
    return user


def test_children_are_a_tree_with_totals_and_time_bars(user_with_family):
    user = user_with_family
    user.sign_in("/ui/task?id=brief")
    card = user.page.locator("#children")
    expect(card).to_contain_text("Together: 4 runs, 1 failed, 3,015 tokens, $1.50")
    rows = card.locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(1).locator("th")).to_have_class("level-2")
    expect(rows.nth(2)).to_contain_text("timeout after 30 s")
    bars = card.locator("rect").evaluate_all(
        "bars => bars.map(bar => [+bar.getAttribute('x'), +bar.getAttribute('width')])"
    )
    assert all(start >= 0 and width > 0 and start + width <= 100.01 for start, width in bars)
    rows.nth(2).get_by_role("link").click()
    expect(user.page.get_by_role("note")).to_contain_text("timeout after 30 s")


def test_parents_are_the_breadcrumb(user_with_family):
    user = user_with_family
    user.sign_in("/ui/task?id=source-1")
    breadcrumb = user.page.get_by_role("navigation", name="Position")
    expect(breadcrumb.locator("p").first).to_have_text("History / Nightly report / Weekly brief / this run")
    breadcrumb.get_by_role("link", name="Weekly brief").click()
    expect(user.page.locator("#run-id")).to_have_text("brief")


def test_keys_lead_through_the_runs_of_the_list_and_back_to_the_row(user_with_family):
    user = user_with_family
    user.sign_in("/ui/history?parent_task_id=brief")
    page = user.page
    page.get_by_role("link", name="Source 2").click()
    page.wait_for_url("**/ui/task?id=source-2&view=**")
    page.keyboard.press("j")
    page.wait_for_url("**/ui/task?id=source-1&**")
    page.keyboard.press("j")
    page.wait_for_url("**/ui/task?id=source-0&**")
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.keyboard.press("k")
    page.wait_for_url("**/ui/task?id=source-1&**")
    page.keyboard.press("u")
    page.wait_for_url("**/ui/history?parent_task_id=brief")
    expect(page.locator('tr[data-id="source-1"] a.open')).to_be_focused()


def test_backspace_leads_back_to_the_list_but_not_out_of_a_field(user_with_family):
    user = user_with_family
    user.sign_in("/ui/history?parent_task_id=brief")
    page = user.page
    page.get_by_role("link", name="Source 2").click()
    page.wait_for_url("**/ui/task?id=source-2&view=**")
    page.keyboard.press("/")
    page.keyboard.type("ab")
    page.keyboard.press("Backspace")
    expect(page.get_by_label("Search runs")).to_have_value("a")
    page.keyboard.press("Escape")
    page.keyboard.press("Backspace")
    page.wait_for_url("**/ui/history?parent_task_id=brief")
    expect(page.locator('tr[data-id="source-2"] a.open')).to_be_focused()


def test_children_with_long_texts_have_rows_of_one_line(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    user.report(id="parent")
    user.report(id="short", input="Short", parent_task_id="parent")
    user.report(
        id="long", input="https://example.com/" * 20, agent_id="agent-" * 20, parent_task_id="parent",
        is_success=False, error="No " * 90,
    )  # fmt: skip
    user.sign_in("/ui/task?id=parent")
    heights = user.page.locator("#children tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert max(heights) - min(heights) <= 1
    expect(user.page.locator("#children .reason")).to_be_visible()


def test_text_of_a_child_has_the_whole_width_of_a_phone(new_user):
    user = new_user(viewport={"width": 360, "height": 740})
    user.report(id="parent")
    user.report(id="child", input="A long question " * 20, parent_task_id="parent", duration=2.0)
    user.sign_in("/ui/task?id=parent")
    widths = user.page.locator("#children tbody").evaluate(
        "body => [body.querySelector('th').offsetWidth, body.offsetWidth]"
    )
    assert widths[0] == widths[1]


def test_long_fact_has_a_row_of_its_own(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    user.report(id="run", user_id="user-" * 40)
    user.sign_in("/ui/task?id=run")
    widths = user.page.locator(".facts").evaluate("""facts => [
        facts.querySelector(".long").offsetWidth, facts.firstElementChild.offsetWidth
    ]""")
    assert widths[0] > 3 * widths[1]


def test_failed_run_without_tokens_has_no_tokens_of_zero(new_user):
    user = new_user()
    user.report(id="run", is_success=False, tokens={"prompt_tokens": 0, "completion_tokens": 0})
    user.sign_in("/ui/task?id=run")
    expect(user.page.locator(".facts")).to_contain_text("Agent")
    expect(user.page.locator(".facts")).not_to_contain_text("Tokens")


def test_focus_returns_to_the_row_after_back(user_with_family):
    user = user_with_family
    user.sign_in()
    user.page.get_by_role("link", name="Source 1").click()
    user.page.wait_for_url("**/ui/task?id=source-1")
    user.page.go_back()
    expect(user.page.locator('tr[data-id="source-1"] a.open')).to_be_focused()


def test_sorted_list_determines_the_next_run(user_with_family):
    user = user_with_family
    user.sign_in("/ui/task?id=source-2&view=sort%3Dduration")
    expect(user.page.get_by_role("link", name="Previous")).to_have_count(0)
    user.page.get_by_role("link", name="Next").click()
    expect(user.page.locator("#run-id")).to_have_text("source-1")


def test_long_text_is_shown_as_text_or_markdown_and_as_a_whole(new_user):
    user = new_user(java_script_enabled=False)
    text = "# Title\n\n- **bold** <script>alert(1)</script> [bad](javascript:alert(1)) ![image](https://example.com/a.png)\n"
    user.report(id="run", result=text + "\nWord. " * 10_000 + "The end.")
    user.sign_in("/ui/task?id=run")
    page = user.page
    assert "The end." not in page.locator("#result").text_content()
    page.get_by_role("link", name="Show all 70,").click()
    assert page.locator("#result").text_content().endswith("The end.")
    page.get_by_role("link", name="Show less").click()
    page.get_by_role("link", name="Markdown").last.click()
    shown = page.locator("#result")
    expect(shown.get_by_role("heading", name="Title")).to_be_visible()
    expect(shown.locator("strong")).to_have_text("bold")
    expect(shown).to_contain_text("<script>alert(1)</script>")
    assert shown.locator("script, img").count() == 0
    assert shown.locator("a").evaluate_all("links => links.map(link => link.href)") == ["https://example.com/a.png"]
    page.get_by_role("link", name="Text", exact=True).last.click()
    expect(page.locator("pre#result")).to_be_visible()


def test_strings_that_contain_json_are_part_of_the_tree(new_user):
    user = new_user()
    arguments = json.dumps({"query": "weekly", "nested": json.dumps({"deep": 1})})
    user.report(id="run", llm_response={"tool": {"arguments": arguments}, "text": "[not json"})
    user.sign_in("/ui/task?id=run")
    tree = user.page.locator("#tree")
    expect(tree.locator("summary", has_text="arguments")).to_contain_text("JSON text {2 fields}")
    expect(tree).to_contain_text('{"deep": 1}')
    expect(tree).to_contain_text("[not json")


def test_id_and_link_can_be_copied(new_user):
    user = new_user(permissions=["clipboard-read", "clipboard-write"])
    user.report(id="run/1?x=é")
    user.sign_in("/ui/task?id=run%2F1%3Fx%3D%C3%A9&view=status%3Dcompleted")
    page = user.page
    page.get_by_role("button", name="Copy id").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "run/1?x=é"
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(2)
    assert page.evaluate("navigator.clipboard.readText()") == f"{user.url}/ui/task?id=run%2F1%3Fx%3D%C3%A9"


def test_page_has_no_card_without_content(new_user):
    user = new_user()
    user.report(id="run", input="Only an input")
    user.sign_in("/ui/task?id=run")
    assert user.page.locator(".card h2").all_inner_texts() == ["Input"]
    expect(user.page.get_by_text("Not reported")).to_have_count(0)


def test_broken_view_shows_the_run(new_user):
    user = new_user()
    user.report(id="run")
    user.sign_in("/ui/task?id=run&view=status%3Dodd%26cursor%3D!")
    expect(user.page.locator("#run-id")).to_have_text("run")
