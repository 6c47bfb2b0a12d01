"""How messages reach the visitor: by one stream a browser, shown once, resumed or polled for, never to another."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.sdk_fixtures import Visitor, loaded, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "channel": "popup",
        "rule_id": "r1",
        "variant": "A",
        "title": f"Title {number}",
        "body": "Body",
        "button": None,
        "image": None,
        **fields,
    }


def dialogs(*pages: Page) -> int:
    return sum(page.locator("chimein-widget dialog").count() for page in pages)


def test_a_message_of_the_stream_is_shown_and_reported(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    stream = wait_until(lambda: site.streams)[0]
    view = wait_until(lambda: site.of("page"))[0]
    assert stream.body == {"writeKey": "key", "anonymousId": view["anonymousId"]}
    assert site.paths["/chimein-widget.js"] == 0, "nothing to show, nothing to load"
    site.send(message(1))
    expect(page.get_by_role("dialog", name="Title 1")).to_be_visible()
    wait_until(lambda: site.tracked("Message Shown"))
    assert site.tracked("Message Shown") == [{"message_id": "m1", "channel": "popup", "rule_id": "r1", "variant": "A"}]


def test_a_message_is_shown_once_whatever_is_reloaded_or_sent_again(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.streams)
    site.send(message(1))
    page.get_by_role("dialog").wait_for()
    wait_until(lambda: site.tracked("Message Shown"))
    site.waiting["m1"] = message(1)  # the server has not heard of it yet
    site.put("message", message(1))
    page.reload()
    loaded(page)
    wait_until(lambda: len(site.live_calls) == 2)
    page.wait_for_timeout(500)
    assert dialogs(page) == 0
    assert len(site.tracked("Message Shown")) == 1


def test_a_message_that_could_not_be_shown_comes_again_with_the_next_page(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", "<input id=field>"))
    wait_until(lambda: site.streams)
    page.focus("#field")
    site.send(message(1))
    wait_until(lambda: site.paths["/chimein-widget.js"])
    page.wait_for_timeout(800)
    assert dialogs(page) == 0
    page.goto(site.page("/b"))
    expect(page.get_by_role("dialog")).to_be_visible()


def test_eight_tabs_hold_one_stream_and_load_at_once(site: Site, visitor: Visitor) -> None:
    """F30: over HTTP/1.1 a browser has six connections for a host; a stream in each tab would take them all."""
    address = site.page("/a")
    begun = time.monotonic()
    pages = [visitor.open(address) for _ in range(7)]
    before = time.monotonic()
    pages.append(visitor.open(address))
    assert time.monotonic() - before < 2
    assert time.monotonic() - begun < 16
    wait_until(lambda: site.streams)
    pages[0].wait_for_timeout(500)
    assert len(site.streams) == 1
    assert len(site.live_calls) == 1
    site.send(message(1))
    wait_until(lambda: dialogs(*pages) == 1)
    pages[0].wait_for_timeout(1000)
    assert dialogs(*pages) == 1
    assert len(site.tracked("Message Shown")) == 1


def test_another_tab_takes_over_when_the_leader_goes(site: Site, visitor: Visitor) -> None:
    address = site.page("/a")
    first, second = visitor.open(address), visitor.open(address)
    wait_until(lambda: site.streams)
    first.close()
    wait_until(lambda: len(site.live_calls) == 2)
    site.send(message(1))
    second.get_by_role("dialog").wait_for()


def test_a_browser_out_of_sight_holds_no_stream(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.streams)
    page.evaluate(HIDE, True)
    wait_until(lambda: not site.streams)
    site.send(message(1))
    page.wait_for_timeout(300)
    assert site.paths["/chimein-widget.js"] == 0
    page.evaluate(HIDE, False)
    page.get_by_role("dialog").wait_for()


def test_of_two_windows_one_shows_a_message_and_a_hidden_tab_never(site: Site, visitor: Visitor) -> None:
    address = site.page("/a")
    shown, hidden = visitor.open(address), visitor.open(address)
    hidden.evaluate(HIDE, True)
    wait_until(lambda: site.streams)
    site.send(message(1))
    shown.get_by_role("dialog").wait_for()
    shown.keyboard.press("Escape")
    hidden.evaluate(HIDE, False)
    hidden.wait_for_timeout(800)
    assert dialogs(shown, hidden) == 0


def test_a_cut_stream_is_resumed_where_it_ended(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.streams)
    site.put("message", message(1, channel="chat"))
    page.get_by_text("Title 1").first.wait_for()
    site.cut()
    wait_until(lambda: not site.streams)
    cut = time.monotonic()
    site.waiting["m2"] = message(2)
    wait_until(lambda: len(site.live_calls) == 2)
    assert 0.9 < time.monotonic() - cut < 4
    assert site.live_calls[1]["lastEventId"]
    page.get_by_role("dialog", name="Title 2").wait_for()


def test_where_no_stream_passes_the_page_polls(site: Site, visitor: Visitor) -> None:
    site.live_status = 502
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.inbox_calls, 20)
    assert len(site.live_calls) == 2
    site.send(message(1))
    page.get_by_role("dialog").wait_for()
    wait_until(lambda: len(site.inbox_calls) >= 3)
    assert site.inbox_calls[0] == site.live_calls[0]


def test_a_refused_key_is_not_tried_again(site: Site, visitor: Visitor) -> None:
    site.live_status = 401
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.live_calls)
    page.wait_for_timeout(3500)
    assert len(site.live_calls) == 1


def test_a_wrong_user_hash_leaves_the_browsers_own_messages(site: Site, visitor: Visitor) -> None:
    site.live_answers = [403]
    head = """<script>
      chimein.on('error', (error) => window.code = error.code); chimein.identify('u1', {}, {userHash: 'wrong'});
    </script>"""
    page = visitor.open(site.page("/a", head=head))
    wait_until(lambda: len(site.live_calls) == 2)
    first, second = site.live_calls
    assert (first["userId"], first["userHash"]) == ("u1", "wrong")
    assert "userId" not in second
    assert "userHash" not in second
    assert second["anonymousId"] == first["anonymousId"]
    assert page.evaluate("window.code") == "identity_refused"


def test_a_revoked_message_disappears_and_is_not_shown_later(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", "<input id=field>"))
    wait_until(lambda: site.streams)
    site.send(message(1))
    page.get_by_role("dialog").wait_for()
    site.put("revoke", {"id": "m1"})
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.focus("#field")
    site.send(message(2))
    page.wait_for_timeout(300)
    site.put("revoke", {"id": "m2"})
    page.wait_for_timeout(200)
    page.locator("#field").blur()
    page.wait_for_timeout(4500)
    assert dialogs(page) == 0
    assert [properties["message_id"] for properties in site.tracked("Message Shown")] == ["m1"]
    assert site.tracked("Message Dismissed") == []


def test_an_expired_message_is_not_shown(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    wait_until(lambda: site.streams)
    site.put("message", message(1, expires_at="2020-01-01T00:00:00Z"))
    site.put("message", message(2, expires_at="2099-01-01T00:00:00Z"))
    page.get_by_role("dialog", name="Title 2").wait_for()


def test_a_second_person_on_the_device_is_another_visitor_and_sees_nothing_of_the_first(
    site: Site, visitor: Visitor
) -> None:
    page = visitor.open(site.page("/a"))
    other = visitor.open(site.page("/a"))
    page.evaluate("chimein.identify('ann', {plan: 'gold'}, {userHash: 'h1'})")
    wait_until(lambda: any(call.get("userId") == "ann" for call in site.live_calls))
    site.put("message", message(1, channel="chat", title="For Ann"))
    wait_until(lambda: page.get_by_text("For Ann").count() + other.get_by_text("For Ann").count())
    teased = page if page.get_by_text("For Ann").count() else other
    teased.get_by_role("button", name="For Ann").click()
    teased.get_by_placeholder("Write a message…").fill("Ann speaking")
    teased.keyboard.press("Enter")
    wait_until(lambda: site.tracked("Message Replied"))
    teased.evaluate("sessionStorage.clear()")

    page.evaluate("chimein.identify('ann', {again: 1})")
    page.evaluate("chimein.identify('bob', {plan: 'free'})")
    for tab in (page, other):
        expect(tab.get_by_text("Ann speaking")).to_have_count(0)
    page.evaluate("chimein.track('After')")
    wait_until(lambda: site.tracked("After") and len(site.of("identify")) == 3)
    ann, again, bob = site.of("identify")
    assert ann["context"]["userHash"] == "h1"
    assert again["anonymousId"] == ann["anonymousId"]
    assert bob["anonymousId"] != ann["anonymousId"]
    assert bob["userId"] == "bob"
    assert "userHash" not in bob["context"]
    after = next(event for event in site.events if event.get("event") == "After")
    assert (after["userId"], after["anonymousId"]) == ("bob", bob["anonymousId"])
    assert page.evaluate("document.cookie") == f"chimein_id={bob['anonymousId']}"
    call = wait_until(lambda: [call for call in site.live_calls if call["anonymousId"] == bob["anonymousId"]])[-1]
    assert call["userId"] == "bob"
    assert "userHash" not in call
    assert not [value for value in page.evaluate("Object.values(localStorage)") if "Ann" in value]
    wait_until(lambda: len(site.streams) == 1)


def test_reset_makes_a_new_visitor(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    page.evaluate("chimein.identify('ann'); chimein.reset(); chimein.track('After')")
    wait_until(lambda: site.tracked("After"))
    identify, after = (event for event in site.events if event["type"] != "page")
    assert after["anonymousId"] != identify["anonymousId"]
    assert "userId" not in after


def test_traits_without_an_id_are_welcome(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a"))
    page.evaluate("chimein.identify({email: 'ann@example.org'})")
    wait_until(lambda: site.of("identify"))
    (identify,) = site.of("identify")
    assert identify["traits"] == {"email": "ann@example.org"}
    assert "userId" not in identify


def test_the_visitor_is_the_same_on_the_next_page_and_for_the_backend(site: Site, visitor: Visitor) -> None:
    known = "0123456789abcdef0123456789abcdef"
    visitor.context.add_cookies([{"name": "chimein_id", "value": known, "url": site.origin}])
    page = visitor.open(site.page("/a"))
    page.goto(site.page("/b"))
    loaded(page)
    wait_until(lambda: len(site.of("page")) == 2)  # what is not sent yet lies in the storage, too
    page.evaluate("localStorage.clear()")
    page.goto(site.page("/c"))
    wait_until(lambda: len(site.of("page")) == 3)
    assert {event["anonymousId"] for event in site.events} == {known}


def test_without_web_locks_one_tab_leads_all_the_same(site: Site, visitor: Visitor) -> None:
    visitor.context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', {value: undefined})")
    address = site.page("/a")
    first = visitor.open(address)
    wait_until(lambda: site.streams)
    others = [visitor.open(address) for _ in range(2)]
    first.wait_for_timeout(1500)
    assert len(site.live_calls) == 1
    site.send(message(1))
    wait_until(lambda: dialogs(first, *others) == 1)
    first.close()
    wait_until(lambda: len(site.live_calls) == 2, 10)
    others[0].wait_for_timeout(1500)
    assert len(site.streams) == 1
