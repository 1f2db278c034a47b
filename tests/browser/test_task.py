"""Task page: reported values, model response and updates, all as text."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

RESPONSE = {
    "id": "chatcmpl-1",
    "model": "gpt-4o",
    "choices": [{"message": {"content": "Hello", "parts": [{"deep": {"deeper": {"deepest": "found"}}}]}}],
    "usage": {"total": 12345678901234567890, "share": 0.1},
}
ATTACK = (
    "<script>document.title='broken'</script><img src=x onerror=alert(1)>'\"--></pre></textarea>{{7*7}}\u202egnp.exe"
)


def test_page_shows_reported_values(user):
    task_id = user.report(
        id="run/1?x=é",
        input="Question\nin two lines",
        result="Answer",
        llm_response=RESPONSE,
        tokens={"prompt_tokens": 2_140, "completion_tokens": 380, "cache_read_tokens": 7, "cache_write_tokens": 8},
        duration=64.7,
        used_tools=["search", "fetch", "search"],
    )
    page = user.page
    page.get_by_role("link", name="Question").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Question in two lines")
    expect(page.locator("#run-id")).to_have_text(task_id)
    assert page.locator("#input").inner_text() == "Question\nin two lines"
    assert page.locator("#result").inner_text() == "Answer"
    main = page.get_by_role("main")
    for text in ("completed", "1 min 5 s", "2,520", "2,140", "380", "gpt-4o", "$0.0091"):
        expect(main).to_contain_text(text)
    expect(main).to_contain_text("search ×2, fetch")


def test_response_can_be_expanded_copied_and_downloaded(new_user, tmp_path):
    user = new_user(permissions=["clipboard-read", "clipboard-write"])
    user.report(id="run-1", llm_response=RESPONSE)
    user.sign_in("/ui/task?id=run-1")
    page = user.page
    deepest = page.get_by_text("found")
    expect(page.get_by_text("12345678901234567890")).to_be_visible()
    expect(deepest).to_be_hidden()
    page.get_by_role("button", name="Expand all").click()
    expect(deepest).to_be_visible()
    page.get_by_role("button", name="Collapse all").click()
    expect(deepest).to_be_hidden()
    page.get_by_role("button", name="Copy").last.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == RESPONSE
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "run-1.response.json"
    assert json.loads(Path(download.value.path()).read_text("utf-8")) == RESPONSE


def test_updates_show_changed_values(new_user):
    user = new_user()
    user.report(id="run-1", input="Go", is_success=None)
    user.report(id="run-1", result="half", is_success=None)
    user.report(id="run-1", result="all of it", duration=2.0, llm_response=RESPONSE)
    user.sign_in("/ui/task?id=run-1")
    updates = user.page.locator(".updates li")
    expect(updates).to_have_count(3)
    latest = updates.nth(0).locator("dl")
    expect(latest).to_contain_text("half → all of it")
    expect(latest).to_contain_text(f"none → {len(json.dumps(RESPONSE, separators=(',', ':')))} characters")
    expect(latest).to_contain_text("none → true")
    expect(updates.nth(1).locator("dl")).to_contain_text("none → half")
    expect(updates.nth(2)).to_contain_text("First reported")


@pytest.mark.parametrize("path", ["history", "task", "metrics"])
def test_hostile_content_is_shown_as_text(new_user, path):
    user = new_user()
    hostile_id = "a/b\"c'd<i>&é/😀/\u202e%2F?#"
    user.report(
        id=hostile_id,
        agent_id=hostile_id,
        input=ATTACK,
        result=ATTACK,
        llm_response={"model": "<b>model</b>", ATTACK: [ATTACK, {"__proto__": ATTACK}]},
        used_tools=[ATTACK, "<svg onload=alert(1)>"],
        duration=1.0,
    )
    user.sign_in()
    page = user.page
    if path == "task":
        page.locator("a.open").click()
        expect(page.locator("#run-id")).to_have_text(hostile_id)
        assert page.locator("#input").text_content() == ATTACK
        assert page.locator("#result").text_content() == ATTACK
        expect(page.locator("#tree .key", has_text="script")).to_have_text(ATTACK)
        page.get_by_role("link", name=hostile_id).click()
        expect(page.locator("table.runs tr[data-id]")).to_have_count(1)
        expect(page.get_by_label("Agent", exact=True)).to_have_value(hostile_id)
    elif path == "metrics":
        page.get_by_role("link", name="Metrics").click()
        expect(page.locator("#tools")).to_contain_text("<svg onload=alert(1)>")
        page.locator("#agents").get_by_role("link", name=hostile_id).click()
        expect(page.locator("#total-runs")).to_have_text("1")
    else:
        expect(page.locator("a.open")).to_contain_text("<script>document.title='broken'</script>")
    assert "broken" not in page.title()
    assert page.locator("script:not([src]), main img, main svg[onload]").count() == 0
