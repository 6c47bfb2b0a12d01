"""Never in the way: the moments at which no pop-up comes into sight, the bubble before the window, and "not again"."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from backend.domain.site import Attention
from tests.e2e.sdk_fixtures import Visitor, loaded, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until
from tests.e2e.test_sdk_widget import BODY, CHAT, POPUP, REPORT, focused, no_violations

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

NEVER = "Don’t show such messages again"
LINKS = "<a id=next href=/b>Next</a>"


def heeding(site: Site, **parts: Any) -> None:
    """The site's pages mind this from now on: nothing but what is named."""
    nothing = {"settle": 0, "after_error": 0, "checkout": [], "teaser_first": False}
    site.config["attention"] = {**nothing, **parts}


def opened(site: Site, visitor: Visitor, path: str = "/a", body: str = BODY) -> Page:
    page = visitor.open(site.page(path, body))
    wait_until(lambda: site.streams)
    return page


def none_comes(page: Page, milliseconds: int = 1500) -> None:
    page.wait_for_timeout(milliseconds)
    assert page.locator("chimein-widget dialog, chimein-widget .teaser").count() == 0


def dialog(page: Page) -> Any:
    return page.get_by_role("dialog", name="Still yours, Ann")


def test_none_in_the_first_moments_of_a_page_nor_of_the_next_one_in_a_single_page_application(
    site: Site, visitor: Visitor
) -> None:
    heeding(site, settle=3)
    page = opened(site, visitor)
    site.send(POPUP)
    none_comes(page, 1200)
    expect(dialog(page)).to_be_visible()
    assert page.evaluate("performance.now()") > 3000
    page.keyboard.press("Escape")
    page.wait_for_timeout(3200)  # no two in a row, either
    page.evaluate("history.pushState(null, '', '/next')")
    site.send({**POPUP, "id": "p2", "title": "Again"})
    none_comes(page, 1800)
    expect(page.get_by_role("dialog", name="Again")).to_be_visible()


@pytest.mark.parametrize("path", ["/checkout", "/shop/checkout/payment"])
def test_none_in_checkout_by_its_address_and_then_on_the_next_page(site: Site, visitor: Visitor, path: str) -> None:
    heeding(site, checkout=list(Attention().checkout))
    site.page("/b", BODY)
    page = opened(site, visitor, path, BODY + LINKS)
    site.send(POPUP)
    none_comes(page)
    page.click("#next")
    expect(dialog(page)).to_be_visible()
    assert len(site.tracked("Message Shown")) <= 1


def test_none_once_checkout_has_started_until_the_order_or_a_look_at_products(site: Site, visitor: Visitor) -> None:
    heeding(site)
    page = opened(site, visitor)
    page.evaluate("chimein.track('Checkout Started')")
    site.send(POPUP)
    none_comes(page)
    page.goto(site.page("/payment", BODY))
    loaded(page)
    none_comes(page)
    page.evaluate("chimein.track('Order Completed', {order_id: '1'})")
    expect(dialog(page)).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("chimein.track('Checkout Started')")
    site.send({**POPUP, "id": "p2", "title": "Again"})
    none_comes(page, 3500)
    page.evaluate("chimein.track('Product Viewed', {product_id: '1'})")
    expect(page.get_by_role("dialog", name="Again")).to_be_visible()


def test_a_checkout_of_long_ago_is_over(site: Site, visitor: Visitor) -> None:
    heeding(site)
    page = opened(site, visitor)
    page.evaluate("chimein.track('Checkout Started')")
    page.evaluate("localStorage['chimein:key:checkout'] = Date.now() - 31 * 60000")
    site.send(POPUP)
    expect(dialog(page)).to_be_visible()


ERRORS = {
    "a form is refused": "document.querySelector('form').requestSubmit()",
    "a script fails": "setTimeout(() => { throw new Error('the shop is broken') })",
    "an event tells of one": "chimein.track('Payment Failed')",
}


@pytest.mark.parametrize("what", ERRORS)
def test_none_right_after_an_error(site: Site, visitor: Visitor, what: str) -> None:
    heeding(site, after_error=3)
    page = opened(site, visitor, body=BODY + "<form><input required id=needed type=checkbox></form>")
    page.evaluate(ERRORS[what])
    site.send(POPUP)
    none_comes(page, 1500)
    page.evaluate("document.activeElement.blur()")
    expect(dialog(page)).to_be_visible()
    visitor.errors = [each for each in visitor.errors if "the shop is broken" not in each]


def test_a_page_that_always_fails_is_not_silent_for_ever_and_a_missing_picture_is_no_error(
    site: Site, visitor: Visitor
) -> None:
    heeding(site, after_error=600)
    page = opened(site, visitor, body=BODY + "<img src=/nothing.png>")
    page.wait_for_timeout(300)
    site.send(POPUP)
    expect(dialog(page)).to_be_visible()
    page.keyboard.press("Escape")
    page.clock.install()
    page.evaluate("chimein.track('Payment Failed')")
    site.send({**POPUP, "id": "p2", "title": "Again"})
    page.wait_for_timeout(300)
    page.clock.run_for(20_000)
    assert page.locator("chimein-widget dialog").count() == 0
    page.clock.run_for(20_000)
    expect(page.get_by_role("dialog", name="Again")).to_be_visible()


def test_none_while_a_field_has_the_focus_or_the_chat_is_open_teasers_included(site: Site, visitor: Visitor) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    page.focus("#field")
    site.send(POPUP)
    none_comes(page)
    page.evaluate("chimein.open()")
    page.evaluate("document.activeElement.blur()")
    none_comes(page)
    page.evaluate("chimein.close()")
    expect(page.locator(".teaser")).to_be_visible()


def test_what_answers_a_click_comes_at_once_and_still_never_over_typing(site: Site, visitor: Visitor) -> None:
    heeding(site, settle=600, after_error=600, checkout=["*"], teaser_first=True)
    page = opened(site, visitor)
    page.evaluate("chimein.track('Payment Failed')")
    page.focus("#field")
    site.send({**POPUP, "display": "at_once"})
    none_comes(page)
    page.focus("#before")
    expect(dialog(page)).to_be_visible()


def test_one_that_found_no_moment_before_it_expired_is_not_shown(site: Site, visitor: Visitor) -> None:
    heeding(site)
    page = opened(site, visitor)
    page.focus("#field")
    site.send({**POPUP, "expires_at": (datetime.now(UTC) + timedelta(seconds=2)).isoformat()})
    page.wait_for_timeout(2600)
    page.focus("#before")
    none_comes(page)


def test_a_field_that_goes_away_with_the_focus_in_it_holds_nothing_up(site: Site, visitor: Visitor) -> None:
    """Some browsers tell of no `focusout` then."""
    heeding(site)
    page = opened(site, visitor)
    page.focus("#field")
    site.send(POPUP)
    none_comes(page)
    page.evaluate("addEventListener('focusout', (e) => e.stopImmediatePropagation(), true)")
    page.evaluate("document.querySelector('#field').remove()")
    expect(dialog(page)).to_be_visible()


@pytest.mark.parametrize(("first", "display"), [(True, None), (False, "teaser")])
def test_a_bubble_comes_before_the_window(site: Site, visitor: Visitor, first: bool, display: str | None) -> None:
    heeding(site, teaser_first=first)
    page = opened(site, visitor)
    page.focus("#before")
    message = {**POPUP, "image": "/kettle.svg", **({"display": display} if display else {})}
    site.send(message)
    teaser = page.get_by_role("button", name="Still yours, Ann")
    expect(teaser).to_be_visible()
    expect(page.locator(".teaser")).to_contain_text("The kettle is in your cart.")
    expect(page.locator(".teaser img")).to_be_visible()
    assert focused(page) == "before", "it takes no focus"
    assert page.locator("dialog").count() == 0
    no_violations(page)
    wait_until(lambda: site.tracked("Message Shown"))
    teaser.focus()
    page.keyboard.press("Enter")
    expect(dialog(page)).to_be_focused()
    expect(page.locator(".teaser")).to_have_count(0)
    no_violations(page)
    page.keyboard.press("Escape")
    wait_until(lambda: site.tracked("Message Dismissed"))
    assert site.tracked("Message Shown") == [REPORT]
    assert site.tracked("Message Clicked") == [{**REPORT, "target": "teaser"}]
    page.reload()
    loaded(page)
    none_comes(page)


def test_a_rule_that_says_window_gets_one_where_bubbles_come_first(site: Site, visitor: Visitor) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    site.send({**POPUP, "display": "window"})
    expect(dialog(page)).to_be_visible()


@pytest.mark.parametrize("way", ["cross", "escape"])
def test_a_bubble_that_is_waved_away_does_not_come_again(site: Site, visitor: Visitor, way: str) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    site.send(POPUP)
    page.locator(".teaser").wait_for()
    if way == "cross":
        page.get_by_role("button", name="Close").click()
    else:
        page.locator(".teaser .open").focus()
        page.keyboard.press("Escape")
    expect(page.locator(".teaser")).to_have_count(0)
    wait_until(lambda: site.tracked("Message Dismissed"))
    assert site.tracked("Message Dismissed") == [REPORT]
    page.reload()
    loaded(page)
    none_comes(page)


def test_a_bubble_goes_along_from_page_to_page_but_not_into_checkout_and_is_told_once(
    site: Site, visitor: Visitor
) -> None:
    heeding(site, teaser_first=True, checkout=["*/checkout*"])
    page = opened(site, visitor)
    site.send(POPUP)
    page.locator(".teaser").wait_for()
    wait_until(lambda: site.tracked("Message Shown"))
    page.goto(site.page("/b", BODY))
    expect(page.locator(".teaser")).to_be_visible()
    page.evaluate("history.pushState(null, '', '/checkout')")
    expect(page.locator(".teaser")).to_have_count(0)
    page.goto(site.page("/checkout", BODY))
    loaded(page)
    none_comes(page)
    page.goto(site.page("/c", BODY))
    expect(page.locator(".teaser")).to_be_visible()
    other = visitor.open(site.page("/d", BODY))
    expect(other.locator(".teaser")).to_be_visible()
    other.get_by_role("button", name="Close").click()
    expect(page.locator(".teaser")).to_have_count(0)
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert site.tracked("Message Shown") == [REPORT]
    assert site.tracked("Message Dismissed") == [REPORT]


def test_a_bubble_that_expired_on_the_way_is_forgotten(site: Site, visitor: Visitor) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    site.send({**POPUP, "expires_at": (datetime.now(UTC) + timedelta(seconds=4)).isoformat()})
    page.locator(".teaser").wait_for()
    page.wait_for_timeout(4000)
    page.goto(site.page("/b", BODY))
    loaded(page)
    none_comes(page)
    assert page.evaluate("localStorage['chimein:key:teaser']") is None, "no page loads the widget for it any more"


@pytest.mark.parametrize("what", ["revoke", "reset", "identify", "close"])
def test_a_bubble_of_a_message_that_was_taken_back_or_was_meant_for_another_goes(
    site: Site, visitor: Visitor, what: str
) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    page.evaluate("chimein.identify('ann')")
    wait_until(lambda: site.streams and site.live_calls[-1].get("userId") == "ann")
    site.send(POPUP)
    page.locator(".teaser").wait_for()
    site.waiting.clear()
    if what == "revoke":
        site.put("revoke", {"id": "p1"})
    elif what in ("reset", "close"):
        page.evaluate(f"chimein.{what}()")
    else:
        page.evaluate("chimein.identify('bob')")
    expect(page.locator(".teaser")).to_have_count(0)
    none_comes(page)
    page.reload()
    loaded(page)
    none_comes(page)
    assert "Still yours" not in page.evaluate("JSON.stringify(localStorage)")


def test_a_message_of_the_chat_takes_the_place_of_a_bubble_which_comes_again(site: Site, visitor: Visitor) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    site.send(POPUP)
    page.get_by_role("button", name="Still yours, Ann").wait_for()
    site.send(CHAT)
    page.get_by_role("button", name="Questions?").wait_for()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Questions?").click()
    expect(page.get_by_role("log")).to_contain_text("We are here.")
    page.wait_for_timeout(1500)
    assert page.locator(".teaser").count() == 0
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Still yours, Ann")).to_be_visible()
    page.locator(".teaser").get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Chat")).to_be_visible()
    assert len(site.tracked("Message Shown")) == 2


def test_not_again_takes_away_a_bubble_too(site: Site, visitor: Visitor) -> None:
    heeding(site)
    page = opened(site, visitor)
    site.send({**POPUP, "display": "teaser"})
    page.locator(".teaser").wait_for()
    page.clock.install()
    site.send({**POPUP, "id": "p2", "title": "Another", "display": "window"})
    page.wait_for_timeout(300)
    page.clock.run_for(32_000)  # a bubble that nobody looks at gives way
    page.get_by_role("dialog", name="Another").get_by_role("button", name=NEVER).click()
    expect(page.locator("chimein-widget dialog, chimein-widget .teaser")).to_have_count(0)
    page.reload()
    loaded(page)
    none_comes(page)


@pytest.mark.parametrize("place", ["window", "teaser", "chat"])
def test_not_again_is_reported_and_nothing_that_waits_comes_any_more(site: Site, visitor: Visitor, place: str) -> None:
    heeding(site)
    page = opened(site, visitor)
    now = datetime.now(UTC)
    kind = {"channel": "chat"} if place == "chat" else {"display": place}
    message = {**POPUP, **kind, "created_at": now.isoformat()}
    site.send(message)
    page.get_by_role("button", name=NEVER).wait_for()
    # One that waits for the first to be done with.
    site.send({**POPUP, "id": "p2", "title": "Another", "display": "teaser", "created_at": now.isoformat()})
    page.get_by_role("button", name=NEVER).click()
    wait_until(lambda: site.tracked("Message Dismissed"))
    assert site.tracked("Message Dismissed") == [{**REPORT, "channel": message["channel"], "never": True}]
    site.send({**CHAT, "created_at": now.isoformat()})
    none_comes(page, 4000)
    page.reload()
    loaded(page)
    none_comes(page)
    assert len(site.tracked("Message Shown")) == 1
    # What the server decided on when it knew is what they must be told.
    needed = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    site.send({**POPUP, "id": "p3", "title": "Your order", "created_at": needed})
    expect(page.get_by_role("dialog", name="Your order")).to_be_visible()


ASKING = {
    **POPUP,
    "title": "Why did you not buy?",
    "button": None,
    "answers": {
        "trait": "why_not_bought",
        "options": [
            {"text": "Too dear", "value": "Too dear"},
            {"text": "Shipping <b>costs</b>", "value": "shipping"},
            {"text": "I only look", "value": 3},
        ],
    },
}
ANSWERED = {**REPORT, "answer": "Shipping <b>costs</b>", "value": "shipping", "trait": "why_not_bought"}


def test_an_answer_is_pressed_in_the_window_by_keyboard_and_thanked_for(site: Site, visitor: Visitor) -> None:
    page = opened(site, visitor)
    site.send(ASKING)
    group = page.get_by_role("group", name="Why did you not buy?")
    expect(group.get_by_role("button")).to_have_text(["Too dear", "Shipping <b>costs</b>", "I only look"])
    no_violations(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Thank you for your answer.")).to_be_visible()
    expect(group).to_have_count(0)
    assert focused(page) == "Reply", "there may be more to say"
    no_violations(page)
    page.keyboard.press("Enter")
    page.keyboard.type("And the colour")
    page.keyboard.press("Enter")
    wait_until(lambda: site.tracked("Message Replied"))
    page.keyboard.press("Escape")
    page.evaluate("chimein.track('End')")
    wait_until(lambda: site.tracked("End"))
    assert site.tracked("Message Answered") == [ANSWERED]
    assert site.tracked("Message Dismissed") == []


def test_an_answer_is_pressed_in_the_chat_and_stays_said(site: Site, visitor: Visitor) -> None:
    page = opened(site, visitor)
    site.send({**ASKING, "channel": "chat"})
    page.locator(".teaser .open").click()
    log = page.get_by_role("log")
    no_violations(page)
    log.get_by_role("button", name="Shipping <b>costs</b>").click()
    expect(log).to_contain_text("Thank you for your answer.")
    expect(page.get_by_placeholder("Write a message…")).to_be_focused()
    wait_until(lambda: site.tracked("Message Answered"))
    assert site.tracked("Message Answered") == [{**ANSWERED, "channel": "chat"}]
    page.reload()
    expect(page.get_by_role("log")).to_contain_text("Shipping <b>costs</b>")
    expect(page.get_by_role("log").get_by_role("button")).to_have_count(0)
    no_violations(page)


def test_answers_come_with_the_bubble_s_window(site: Site, visitor: Visitor) -> None:
    heeding(site, teaser_first=True)
    page = opened(site, visitor)
    site.send(ASKING)
    page.locator(".teaser .open").click()
    page.get_by_role("button", name="Too dear").click()
    wait_until(lambda: site.tracked("Message Answered"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_bubble_and_answers_are_accessible_on_a_phone_and_a_screen_in_light_and_dark(
    site: Site, visitor: Visitor, scheme: Any, width: int
) -> None:
    page = opened(site, visitor)
    page.set_viewport_size({"width": width, "height": 640})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    options = [{"text": "Donaudampfschifffahrtsgesellschaft" * 4, "value": each} for each in range(6)]
    site.send(
        {
            **ASKING,
            "display": "teaser",
            "body": "long " * 90,
            "image": "/kettle.svg",
            "answers": {"trait": "x", "options": options},
        }
    )
    page.locator(".teaser").wait_for()
    no_violations(page)
    box = page.locator(".teaser").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["height"] < 220, "a bubble is small"
    page.locator(".teaser .open").click()
    page.locator("dialog").wait_for()
    no_violations(page)
    assert page.locator("dialog").evaluate("(d) => d.scrollWidth <= d.clientWidth"), "nothing sticks out"
