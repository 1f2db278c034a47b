"""Signing in and out."""

from urllib.parse import urlsplit

from playwright.sync_api import expect


def test_a_key_that_may_read_opens_the_page_that_was_wanted(new_visitor):
    visitor = new_visitor()
    asked = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.sign_in("/ui/metrics?last=30d")
    assert visitor.page.url == visitor.url + "/ui/metrics?last=30d"
    assert [url for url in asked if visitor.api_key in url] == []
    assert visitor.api_key not in visitor.shop.log.read_text()
    (cookie,) = visitor.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/ui")
    assert visitor.api_key not in cookie["value"]


def test_a_wrong_key_is_told_and_opens_nothing(new_visitor):
    visitor = new_visitor()
    visitor.expected.append("401")
    visitor.open("/ui/history")
    visitor.page.get_by_label("API key").fill("xpr_wrong")
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_have_text("This key is not known here, or has ended.")
    assert visitor.page.context.cookies() == []


def test_a_key_that_may_only_report_is_told(new_visitor):
    visitor = new_visitor()
    visitor.expected.append("403")
    visitor.open("/")
    visitor.page.get_by_label("API key").fill(visitor.shop.key(visitor.organization_id, "report", name="worker"))
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("has no scope 'read'")


def test_signing_out_ends_the_session_for_whoever_has_kept_the_cookie(visitor):
    kept = visitor.page.context.cookies()
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_label("API key")).to_be_visible()
    visitor.page.context.add_cookies(kept)
    visitor.open("/ui/history")
    assert urlsplit(visitor.page.url).path == "/ui/sign-in"


def test_a_live_page_asks_to_sign_in_again_when_its_key_is_revoked(visitor):
    visitor.expected.append("401")
    visitor.shop.revoke(visitor.organization_id)
    visitor.page.wait_for_url("**/ui/sign-in?*")
