"""Erasure of a run on its page, with an admin key."""

from playwright.sync_api import expect

from browser.test_layout import accessibility_problems


def test_admin_erases_run_after_a_question(new_user):
    user = new_user()
    user.report(id="run", input="A secret")
    user.api_key = user.server.create_key(user.organization_id, "read", "admin", name="boss")
    user.sign_in("/ui/task?id=run")
    page = user.page
    page.get_by_role("link", name="Erase this run…").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="A secret")).to_be_visible()
    page.get_by_role("link", name="Erase this run…").click()
    assert accessibility_problems(page) == []
    page.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The contents of the run run were erased.")
    page.get_by_role("link", name="Show history").click()
    expect(page.get_by_text("A secret")).to_have_count(0)
