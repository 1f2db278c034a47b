"""Both themes, wide and narrow: nothing is cut off, and axe-core finds nothing serious."""

import pytest
from axe_playwright_python.sync_playwright import Axe

SIZES = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1600, "height": 1000}}


def problems(page):
    """What keeps people from using the page, as axe-core sees it."""
    # Its script is put in by the test, past the page's policy, which holds for the page itself.
    found = Axe().run(page).response["violations"]
    return [
        (violation["id"], node["html"][:200])
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_readable(new_visitor, scheme, size):
    visitor = new_visitor(color_scheme=scheme, viewport=SIZES[size])
    page = visitor.page
    visitor.open("/")
    assert problems(page) == []
    visitor.sign_in()
    assert problems(page) == []
    for number in range(4):
        visitor.report(
            id=f"run-{number}",
            agent_id="an-agent-with-quite-a-long-name-" * 3,
            input="A long question, " * 40,
            result="W" * 400,
            llm_response={"model": "gpt-4o", "text": "x" * 500, "items": [{"a": [1, 2.5, None, True]}]},
            tokens={"prompt_tokens": 10_000_000, "completion_tokens": 20},
            duration=100_000.5 * number,
            is_success=[True, False, None, True][number],
            used_tools=[f"tool_{number}_{index}" for index in range(6)],
        )
    visitor.report(id="run-1", agent_id="an-agent-with-quite-a-long-name-" * 3, result="again")
    for path in ("/ui/history", "/ui/history?q=nothing-like-this", "/ui/task?id=run-1", "/ui/metrics"):
        visitor.open(path)
        page.locator("summary").evaluate_all("parts => parts.forEach(part => part.parentNode.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= SIZES[size]["width"], path
        assert problems(page) == [], path
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(247, 248, 250)"
    assert light == (scheme == "light")


def test_the_focus_can_be_seen(visitor):
    visitor.page.keyboard.press("Tab")
    outline = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
