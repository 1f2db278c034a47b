"""Layout and accessibility, in both themes, on a phone and on a desktop."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1600, "height": 1000}}


def accessibility_problems(page):
    """Return the serious problems that axe-core finds on a page."""
    # The Content-Security-Policy of the page does not apply to axe-core, which playwright injects.
    violations = Axe().run(page).response["violations"]
    return [
        (violation["id"], node["html"][:200])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_screen_and_are_accessible(new_user, scheme, size):
    user = new_user(color_scheme=scheme, viewport=SIZES[size])
    page = user.page
    user.open("/")
    assert accessibility_problems(page) == []
    user.sign_in()
    assert accessibility_problems(page) == []
    for number in range(4):
        user.report(
            id=f"run-{number}",
            agent_id="an-agent-with-quite-a-long-name-" * 3,
            input="A long question, " * 40,
            result="W" * 400,
            llm_response={"model": "gpt-4o", "text": "x" * 500, "items": [{"a": [1, 2.5, None, True]}]},
            tokens={"prompt_tokens": 10_000_000, "completion_tokens": 20},
            duration=100_000.5 * number,
            is_success=[True, False, None, True][number],
            used_tools=[f"tool_{number}_{index}" for index in range(6)],
            parent_task_id="run-1" if number > 1 else None,
            error="E" * 300,
            calls=[{"model": "a-model-" * 9, "provider": "openai", "error": "F" * 200, "duration": 9.5, "cost": 0.1}],
            user_id="user-" * 30,
            conversation_id="conversation-" * 12,
            metadata={"a-name-that-is-long": "value-" * 40},
        )
    user.report(id="run-1", agent_id="an-agent-with-quite-a-long-name-" * 3, result="again")
    for path in (
        "/ui/history",
        "/ui/history?q=nothing-like-this&tz=Mars%2FOlympus",
        "/ui/history?rows=roomy&sort=cost&order=asc&user_id=" + "user-" * 30,
        "/ui/task?id=run-1",
        "/ui/task?id=run-1&markdown=1&whole=1",
        "/ui/metrics",
    ):
        user.open(path)
        page.locator("summary").evaluate_all(
            "summaries => summaries.forEach(summary => summary.parentNode.open = true)"
        )
        assert page.evaluate("document.scrollingElement.scrollWidth") <= SIZES[size]["width"], path
        assert accessibility_problems(page) == [], path
    is_light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(247, 248, 250)"
    assert is_light == (scheme == "light")


def test_focus_is_visible(user):
    user.page.keyboard.press("Tab")
    outline = user.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_header_has_the_same_height_on_each_page(user):
    heights = set()
    for path in ("/ui/history", "/ui/metrics", "/ui/errors", "/ui/agents"):
        user.open(path)
        heights.add(user.page.locator(".page-header").bounding_box()["height"])
    assert len(heights) == 1


def test_copy_button_covers_no_code_on_a_phone(new_user):
    user = new_user(viewport=SIZES["phone"])
    user.sign_in()
    button = user.page.locator(".copyable button").first.bounding_box()
    code = user.page.locator("#first-python").bounding_box()
    assert button["y"] + button["height"] <= code["y"]


def test_time_of_a_run_is_beside_its_status_on_a_phone(new_user):
    user = new_user(viewport=SIZES["phone"])
    user.report(id="run", duration=100_000.5, tokens={"prompt_tokens": 10_000_000}, calls=[{"model": "o", "cost": 9.5}])
    user.sign_in()
    row = user.page.locator('tr[data-id="run"]')
    status, time = row.locator(".status").bounding_box(), row.locator(".time").bounding_box()
    assert abs(status["y"] - time["y"]) < status["height"] / 2
    assert time["x"] + time["width"] > 300


def test_filters_of_a_phone_are_behind_one_button_with_their_number(new_user):
    user = new_user(viewport=SIZES["phone"], java_script_enabled=False)
    user.report(id="run", agent_id="agent-1")
    user.sign_in("/ui/history?agent_id=agent-1&status=completed")
    page = user.page
    button, status = page.locator("summary", has_text="Filters (2)"), page.get_by_label("Status", exact=True)
    expect(button).to_be_visible()
    expect(status).to_be_hidden()
    expect(page.get_by_label("Search")).to_be_visible()
    expect(page.get_by_role("list", name="Filters in force")).to_contain_text("Agent: agent-1")
    button.click()
    expect(status).to_be_visible()
    status.select_option("failed")
    page.get_by_role("button", name="Apply").first.click()
    expect(page.get_by_text("No runs match these filters")).to_be_visible()
    page.set_viewport_size(SIZES["desktop"])
    expect(button).to_be_hidden()
    expect(status).to_be_visible()
