"""The pop-up and the chat in the page: by mouse, keyboard and screen reader, in any page, and never in the way."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.sdk_fixtures import Visitor, loaded, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

BODY = "<main><h1>Shop</h1><button id=before>Buy</button><input id=field aria-label=Field></main>"
POPUP = {
    "id": "p1",
    "channel": "popup",
    "rule_id": "r1",
    "variant": "A",
    "title": "Still yours, Ann",
    "body": "The kettle is in your cart.",
    "button": {"text": "Finish the order", "url": "/cart"},
    "image": None,
}
CHAT = {**POPUP, "id": "c1", "channel": "chat", "title": "Questions?", "body": "We are here."}
REPORT = {"message_id": "p1", "channel": "popup", "rule_id": "r1", "variant": "A"}


def show(site: Site, visitor: Visitor, message: dict[str, Any], **page: Any) -> Page:
    tab = visitor.open(site.page("/a", page.pop("body", BODY), **page))
    wait_until(lambda: site.streams)
    site.send(message)
    return tab


def focused(page: Page) -> str:
    found: str = page.evaluate(
        """() => { let e = document.activeElement; while (e.shadowRoot) e = e.shadowRoot.activeElement || {};
                   return e.id || e.getAttribute?.('aria-label') || e.textContent || e.tagName || '' }"""
    )
    return found


def no_violations(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_a_popup_is_a_labelled_modal_dialog_that_keeps_the_focus_and_returns_it(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", BODY))
    wait_until(lambda: site.streams)
    page.focus("#before")
    site.send(POPUP)
    dialog = page.get_by_role("dialog", name="Still yours, Ann")
    dialog.wait_for()
    assert dialog.get_attribute("aria-modal") == "true"
    expect(dialog).to_have_accessible_description("The kettle is in your cart.")
    expect(dialog).to_be_focused()
    stops = []
    for _ in range(5):
        page.keyboard.press("Tab")
        stops.append(focused(page))
    assert stops == ["Finish the order", "Reply", "Don’t show such messages again", "Close", "Finish the order"]
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Close"
    no_violations(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert focused(page) == "before"
    wait_until(lambda: site.tracked("Message Dismissed"))
    assert site.tracked("Message Dismissed") == [REPORT]


def box(page: Page, name: str) -> tuple[float, float]:
    """Top and bottom of a button or link of the widget, in the window."""
    found = page.get_by_role("link" if name == "Finish the order" else "button", name=name).bounding_box()
    assert found is not None
    return found["y"], found["y"] + found["height"]


def test_a_long_popup_begins_at_its_beginning_with_the_cross_always_in_sight(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, {**POPUP, "body": "\n\n".join(f"Paragraph {number}." for number in range(40))})
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.wait_for_timeout(300)  # the animation
    assert dialog.evaluate("element => element.scrollTop") == 0
    assert dialog.evaluate("element => element.scrollHeight > element.clientHeight")
    at_first = box(page, "Close")
    page.keyboard.press("Tab")
    top, bottom = box(page, "Finish the order")
    frame = dialog.bounding_box()
    assert frame is not None
    assert frame["y"] <= top < bottom <= frame["y"] + frame["height"], "what has the focus is in sight"
    assert box(page, "Close") == at_first, "the cross does not go with the text"
    assert frame["y"] <= at_first[0] < at_first[1] <= frame["y"] + frame["height"]
    page.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def test_the_text_of_a_popup_without_a_title_keeps_clear_of_the_cross(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, {**POPUP, "title": None, "body": "word " * 60})
    page.get_by_role("dialog").wait_for()
    overlap = page.evaluate(
        """() => {
          const root = [...document.querySelectorAll('*')].find((each) => each.shadowRoot).shadowRoot;
          const cross = root.querySelector('.icon').getBoundingClientRect();
          const range = document.createRange();
          range.selectNodeContents(root.querySelector('.body'));
          return [...range.getClientRects()].some((line) => line.right > cross.left && line.top < cross.bottom);
        }"""
    )
    assert not overlap


@pytest.mark.parametrize("way", ["cross", "beside", "api"])
def test_a_popup_can_be_closed_in_every_usual_way(site: Site, visitor: Visitor, way: str) -> None:
    page = show(site, visitor, POPUP)
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    if way == "cross":
        page.get_by_role("button", name="Close").click()
    elif way == "beside":
        page.mouse.click(5, 5)
    else:
        page.evaluate("chimein.close()")
    expect(dialog).to_have_count(0)
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert len(site.tracked("Message Dismissed")) == (0 if way == "api" else 1)


def test_a_click_on_the_button_is_reported_before_the_page_goes(site: Site, visitor: Visitor) -> None:
    site.page("/cart")
    page = show(site, visitor, POPUP)
    page.get_by_role("link", name="Finish the order").click()
    page.wait_for_url("**/cart")
    wait_until(lambda: site.tracked("Message Clicked"), 2)
    assert site.tracked("Message Clicked") == [{**REPORT, "target": "button", "url": "/cart"}]
    assert site.tracked("Message Dismissed") == []


def test_a_popup_waits_until_the_visitor_has_finished_typing(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", BODY + "<iframe srcdoc='<input>'></iframe><p contenteditable>x</p>"))
    wait_until(lambda: site.streams)
    page.focus("#field")
    site.send(POPUP)
    page.keyboard.type("kettle", delay=60)
    page.wait_for_timeout(600)
    assert page.get_by_role("dialog").count() == 0
    assert page.input_value("#field") == "kettle"
    page.focus("[contenteditable]")
    page.wait_for_timeout(900)
    assert page.get_by_role("dialog").count() == 0
    page.frame_locator("iframe").locator("input").focus()
    page.wait_for_timeout(900)
    assert page.get_by_role("dialog").count() == 0
    page.focus("#before")
    page.get_by_role("dialog").wait_for()


def test_a_reply_can_be_written_in_the_popup_and_goes_on_in_the_chat(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, POPUP)
    page.get_by_role("button", name="Reply").click()
    expect(page.get_by_placeholder("Write a message…")).to_be_focused()
    no_violations(page)
    page.keyboard.type("Is it <b>blue</b>?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Thank you, your message is on its way.")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_have_count(0)
    wait_until(lambda: site.tracked("Message Replied"))
    assert site.tracked("Message Replied") == [{**REPORT, "text": "Is it <b>blue</b>?"}]
    page.get_by_role("button", name="Chat").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("Still yours, Ann")
    expect(log).to_contain_text("Is it <b>blue</b>?")


def test_markup_in_a_message_is_text(site: Site, visitor: Visitor) -> None:
    evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    message = {**POPUP, "title": evil, "body": evil, "button": {"text": evil, "url": "/x"}}
    page = show(site, visitor, message)
    expect(page.locator("dialog h2")).to_have_text(evil)
    expect(page.locator("dialog p")).to_have_text(evil)
    expect(page.locator("dialog a")).to_have_text(evil)
    page.keyboard.press("Escape")
    site.send({**message, "id": "c9", "channel": "chat"})
    page.locator(".teaser .open").click()
    expect(page.get_by_role("log")).to_contain_text(evil)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://shop.example/x", True),
        ("//shop.example/x", True),
        ("cart?x=1", True),
        ("mailto:ann@example.org", True),
        ("tel:+4930", True),
        ("javascript:window.hacked=1", False),
        (" java\tscript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://", False),
        ("", False),
    ],
)
def test_a_button_leads_only_where_links_may_lead(site: Site, visitor: Visitor, url: str, kept: bool) -> None:
    page = show(site, visitor, {**POPUP, "button": {"text": "Go", "url": url}, "image": url})
    page.get_by_role("dialog").wait_for()
    assert page.locator("dialog a").count() == int(kept)


def test_a_picture_that_cannot_be_loaded_leaves_no_gap(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, {**POPUP, "image": "/nothing.png"})
    page.get_by_role("dialog").wait_for()
    expect(page.locator("dialog img")).to_have_count(0)


def test_the_teaser_takes_no_focus_and_opens_the_chat(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", BODY))
    wait_until(lambda: site.streams)
    page.focus("#field")
    site.send(CHAT)
    teaser = page.get_by_role("button", name="Questions?")
    teaser.wait_for()
    assert focused(page) == "field"
    expect(page.locator("chimein-widget [role=status]")).to_have_text("Questions?. We are here.")
    no_violations(page)
    teaser.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Chat")
    expect(panel).to_be_visible()
    expect(page.get_by_placeholder("Write a message…")).to_be_focused()
    assert page.get_by_role("log").get_attribute("aria-live") == "polite"
    no_violations(page)
    page.keyboard.type("Hello")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("there")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_contain_text("Hello\nthere")
    wait_until(lambda: site.tracked("Message Replied"))
    reported = {**REPORT, "message_id": "c1", "channel": "chat"}
    assert site.tracked("Message Shown") == [reported]
    assert site.tracked("Message Clicked") == [{**reported, "target": "teaser"}]
    assert site.tracked("Message Replied") == [{**reported, "text": "Hello\nthere"}]
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert focused(page) == "Chat"


def test_a_teaser_can_be_dismissed_and_leaves_nothing(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, CHAT)
    page.get_by_role("button", name="Close").click()
    wait_until(lambda: site.tracked("Message Dismissed"))
    expect(page.locator("chimein-widget button:visible")).to_have_count(0)
    page.reload()
    loaded(page)
    page.wait_for_timeout(300)
    expect(page.locator("chimein-widget button:visible")).to_have_count(0)


def test_an_open_chat_goes_on_with_the_next_page_and_takes_further_messages(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, CHAT)
    page.get_by_role("button", name="Questions?").click()
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")
    page.goto(site.page("/b", BODY))
    log = page.get_by_role("log")
    expect(log).to_contain_text("We are here.")
    expect(log).to_contain_text("Hello")
    assert focused(page) not in ("Write a message…",), "only the visitor moves the focus"
    wait_until(lambda: site.streams)
    site.send({**CHAT, "id": "c2", "body": "One more thing"})
    expect(log).to_contain_text("One more thing")
    wait_until(lambda: len(site.tracked("Message Shown")) == 2)
    site.send(POPUP)
    page.wait_for_timeout(500)
    assert page.locator("dialog").count() == 0, "no pop-up over a conversation"
    page.get_by_role("button", name="Close").click()
    page.locator("dialog").wait_for()


def test_what_was_said_on_other_devices_stands_where_it_belongs_in_time(site: Site, visitor: Visitor) -> None:
    def said(number: int, **more: Any) -> dict[str, Any]:
        made = f"2026-03-0{number}T10:00:00.000Z"
        return {**CHAT, "id": f"c{number}", "title": None, "body": f"Message {number}", "created_at": made, **more}

    page = show(site, visitor, said(2))
    page.get_by_role("button", name="Message 2").click()
    page.keyboard.type("Reply 2")
    page.keyboard.press("Enter")
    site.send(said(4))
    texts = page.get_by_role("log").locator("p")
    expect(texts).to_have_text(["Message 2", "Reply 2", "Message 4"])
    site.said = [said(1, reply="Reply 1"), said(2, reply="Reply 2"), said(3), said(4, reply="Reply 4"), said(5)]
    page.goto(site.page("/b", BODY))
    wanted = ["Message 1", "Reply 1", "Message 2", "Reply 2", "Message 3", "Message 4", "Reply 4", "Message 5"]
    for _ in range(2):
        expect(texts).to_have_text(wanted)
        wait_until(lambda: site.paths["/v1/conversation"])
        page.wait_for_timeout(300)
        expect(texts).to_have_text(wanted)
        page.reload()
        loaded(page)


NOTE = {"id": "conversation", "user_id": "u", "unread": ["c1", "c2"]}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "poll"])
def test_a_conversation_elsewhere_shows_the_launcher_with_what_is_unread(
    site: Site, visitor: Visitor, stream: bool
) -> None:
    site.note = NOTE
    site.live_status = 200 if stream else 500
    site.said = [{**CHAT, "id": f"c{number}", "created_at": f"2026-03-0{number}T10:00:00.000Z"} for number in (1, 2)]
    page = visitor.open(site.page("/a", BODY))
    page.evaluate("chimein.identify('u', {}, {userHash: 'proof'})")
    way = page.locator(".launcher")
    expect(way).to_have_accessible_name("Chat (2)", timeout=20_000)
    expect(way.locator(".badge")).to_have_text("2")
    no_violations(page)
    assert site.tracked("Message Shown") == []
    way.click()
    expect(page.locator(".said")).to_have_count(2)
    wait_until(lambda: site.tracked("Message Clicked"))
    page.keyboard.press("Escape")
    site.put("conversation", NOTE)  # as it stood before the server knew
    page.wait_for_timeout(1_500)
    expect(way).to_have_accessible_name("Chat")
    expect(way.locator(".badge")).to_be_hidden()
    [clicked] = site.tracked("Message Clicked")
    assert clicked == {**REPORT, "message_id": "c2", "channel": "chat", "target": "chat"}


def test_the_word_of_a_conversation_is_for_its_own_user_only_and_goes_with_them(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", BODY))
    page.evaluate("chimein.identify('v', {}, {userHash: 'proof'})")
    wait_until(lambda: [each for each in site.live_calls if each.get("userId") == "v"] and site.streams)
    site.put("conversation", NOTE)
    way = page.locator(".launcher")
    way.wait_for(state="attached")
    page.wait_for_timeout(300)
    expect(way).to_be_hidden()
    site.put("conversation", {**NOTE, "user_id": "v"})
    expect(way).to_be_visible()
    page.evaluate("chimein.reset()")
    expect(way).to_be_hidden()
    site.put("conversation", {**NOTE, "user_id": "v"})
    page.wait_for_timeout(300)
    expect(way).to_be_hidden()
    assert "v" not in page.evaluate("Object.keys(localStorage).filter((key) => /opened|thread/.test(key))")


def test_what_was_read_in_the_open_chat_is_not_unread_and_what_is_new_elsewhere_is_fetched(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.open(site.page("/a", BODY))
    page.evaluate("chimein.identify('u', {}, {userHash: 'proof'})")
    wait_until(lambda: [each for each in site.live_calls if each.get("userId") == "u"] and site.streams)
    page.evaluate("chimein.open()")
    site.send(CHAT)
    expect(page.locator(".said")).to_have_count(1)
    page.keyboard.press("Escape")
    site.put("conversation", {**NOTE, "unread": ["c1"]})
    page.wait_for_timeout(300)
    expect(page.locator(".launcher")).to_have_accessible_name("Chat")
    site.said = [{**CHAT, "id": "c2", "body": "From elsewhere", "created_at": "2036-03-01T10:00:00.000Z"}]
    site.put("conversation", {**NOTE, "unread": ["c1", "c2"]})
    expect(page.locator(".launcher")).to_have_accessible_name("Chat (1)")
    page.locator(".launcher").click()
    expect(page.get_by_role("log")).to_contain_text("From elsewhere")
    page.keyboard.press("Escape")
    expect(page.locator(".launcher")).to_have_accessible_name("Chat")


def test_open_and_close_work_without_any_message(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", BODY, head="<script>chimein.open()</script>"))
    panel = page.get_by_role("dialog", name="Chat")
    panel.wait_for()
    page.keyboard.type("Anybody there?")
    page.keyboard.press("Enter")
    wait_until(lambda: site.tracked("Live Chat Message Sent"))
    assert site.tracked("Live Chat Message Sent") == [{"message_body": "Anybody there?"}]
    page.evaluate("chimein.close()")
    expect(panel).to_have_count(0)


HOSTILE = """<style>
  * { color: lime !important; font: 40px cursive !important; display: block !important; position: static !important }
  div, section, dialog, button { display: none !important; transform: rotate(9deg) !important }
</style><script>
  addEventListener('keydown', (event) => { window.keys = (window.keys || '') + event.key }); Array.prototype.extra = 1;
  document.addEventListener('DOMContentLoaded', () => { window.before = Object.keys(window).length });
</script>"""


def test_a_hostile_page_changes_nothing_in_the_widget_and_hears_no_typing(site: Site, visitor: Visitor) -> None:
    page = show(site, visitor, POPUP, head=HOSTILE)
    dialog = page.locator("dialog")
    dialog.wait_for()
    style = dialog.evaluate(
        "(d) => { const s = getComputedStyle(d.querySelector('h2')); return [s.color, s.fontSize] }"
    )
    assert style == ["rgb(26, 29, 36)", "21px"]
    page.get_by_role("button", name="Reply").click()
    page.keyboard.type("secret")
    assert page.evaluate("window.keys") is None


@pytest.mark.parametrize("attributes", ["dir=rtl", "dir=ltr"])
def test_right_to_left_pages_are_mirrored(site: Site, visitor: Visitor, attributes: str) -> None:
    page = show(site, visitor, CHAT, attributes=attributes, lang="he" if "rtl" in attributes else "en")
    box = page.locator(".teaser").bounding_box()
    assert box
    assert (box["x"] < 100) is ("rtl" in attributes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_all_of_it_is_accessible_on_a_phone_and_a_screen_in_light_and_dark(
    site: Site, visitor: Visitor, scheme: Any, width: int
) -> None:
    page = visitor.open(site.page("/a", BODY))
    page.set_viewport_size({"width": width, "height": 640})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    wait_until(lambda: site.streams)
    site.send({**POPUP, "body": "A long word: " + "Donaudampfschifffahrtsgesellschaft" * 4, "image": "/kettle.svg"})
    page.locator("dialog").wait_for()
    no_violations(page)
    assert page.locator("dialog").evaluate("(d) => getComputedStyle(d).animationName") == "none"
    page.keyboard.press("Escape")
    site.send({**CHAT, "body": "long " * 200})
    page.locator(".teaser").wait_for()
    no_violations(page)
    page.locator(".teaser .open").click()
    no_violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    box = page.locator(".panel").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] >= 0
