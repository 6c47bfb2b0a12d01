"""What a page notices without a click: time in sight, how far down it was seen, and the turn to leave."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.sdk_fixtures import Visitor, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until
from tests.e2e.test_sdk_messages import HIDE

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

LONG = "<div style='height: 4000px'>long</div><a id=next href=/b>Next</a>"


def noticing(site: Site, visitor: Visitor, query: str, body: str = LONG) -> Page:
    site.config["signals"] = f"/chimein-signals.js?{query}"
    page = visitor.open(site.page("/a", body))
    page.wait_for_function("document.querySelector('script[src*=signals]')")
    page.evaluate("""() => new Promise((done) => {
      const script = document.querySelector('script[src*=signals]');
      script.addEventListener('load', done);
      setTimeout(done, 1000); // it was there before us
    })""")
    return page


def told(site: Site, page: Page, name: str) -> list[Any]:
    """The reports so far: what came after them has arrived, too."""
    mark = f"Mark {len(site.events)}"
    page.evaluate("(mark) => chimein.track(mark)", mark)
    wait_until(lambda: site.tracked(mark))
    return site.tracked(name)


def test_nothing_is_loaded_or_told_where_nobody_asks(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/a", LONG))
    page.mouse.wheel(0, 5000)
    page.wait_for_timeout(700)
    assert site.paths["/chimein-signals.js"] == 0
    assert told(site, page, "Scrolled") == []


def test_time_in_sight_is_told_at_its_marks_and_again_on_the_next_page(site: Site, visitor: Visitor) -> None:
    page = noticing(site, visitor, "time_on_page=1,3")
    wait_until(lambda: site.tracked("Time On Page"))
    assert site.tracked("Time On Page") == [{"seconds": 1}]
    page.evaluate(HIDE, True)
    page.wait_for_timeout(3000)
    page.evaluate(HIDE, False)
    assert told(site, page, "Time On Page") == [{"seconds": 1}], "nobody looked"
    wait_until(lambda: len(site.tracked("Time On Page")) == 2)
    page.wait_for_timeout(1200)
    page.evaluate("history.pushState(null, '', '/b')")
    wait_until(lambda: len(site.tracked("Time On Page")) == 3)
    assert site.tracked("Time On Page") == [{"seconds": 1}, {"seconds": 3}, {"seconds": 1}]
    [*_, last] = [event for event in site.events if event.get("event") == "Time On Page"]
    assert last["context"]["page"]["path"] == "/b"


def test_each_depth_is_told_once_a_page(site: Site, visitor: Visitor) -> None:
    page = noticing(site, visitor, "scroll_depth=25,50,75,100")
    page.wait_for_timeout(300)
    assert told(site, page, "Scrolled") == [], "what is in sight at once was not scrolled to"
    page.mouse.wheel(0, 1400)
    wait_until(lambda: len(site.tracked("Scrolled")) == 2)
    page.mouse.wheel(0, -1400)
    page.mouse.wheel(0, 9000)
    wait_until(lambda: len(site.tracked("Scrolled")) == 4)
    page.mouse.wheel(0, -9000)
    page.mouse.wheel(0, 9000)
    page.wait_for_timeout(500)
    assert told(site, page, "Scrolled") == [{"depth": 25}, {"depth": 50}, {"depth": 75}, {"depth": 100}]


def leave(page: Page, y: int, into: str = "null") -> None:
    how = f"{{clientY: {y}, relatedTarget: {into}, bubbles: true}}"
    page.evaluate(f"document.body.dispatchEvent(new MouseEvent('mouseout', {how}))")


def test_a_pointer_that_leaves_by_the_top_is_told_once_a_page(site: Site, visitor: Visitor) -> None:
    page = noticing(site, visitor, "exit_intent=1")
    leave(page, 300)
    leave(page, -1, "document.querySelector('#next')")
    assert told(site, page, "Exit Intent") == []
    leave(page, -1)
    leave(page, -1)
    assert told(site, page, "Exit Intent") == [{"kind": "pointer"}]
    page.evaluate("history.pushState(null, '', '/b')")
    page.wait_for_timeout(700)
    leave(page, -1)
    assert told(site, page, "Exit Intent") == [{"kind": "pointer"}] * 2


@pytest.mark.parametrize(
    "visitor_options", [{"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 700}}]
)
def test_a_finger_that_hurries_back_up_is_told_and_one_that_reads_is_not(site: Site, visitor: Visitor) -> None:
    page = noticing(site, visitor, "exit_intent=1")
    page.evaluate("scrollTo(0, 2500)")
    page.wait_for_timeout(700)
    for y in range(2400, 1500, -100):
        page.evaluate(f"scrollTo(0, {y})")
        page.wait_for_timeout(150)
    assert told(site, page, "Exit Intent") == []
    page.wait_for_timeout(700)
    page.evaluate("""async () => {
      for (const y of [1400, 1100, 800, 500]) { scrollTo(0, y); await new Promise(requestAnimationFrame); }
    }""")
    wait_until(lambda: site.tracked("Exit Intent"))
    assert site.tracked("Exit Intent") == [{"kind": "scroll"}]


def test_without_consent_nothing_is_told(site: Site, visitor: Visitor) -> None:
    page = noticing(site, visitor, "time_on_page=5&scroll_depth=25&exit_intent=1")
    page.evaluate("chimein.consent(false)")
    page.mouse.wheel(0, 5000)
    leave(page, -1)
    page.wait_for_timeout(5500)
    assert not [event for event in site.events if event.get("event") in ("Time On Page", "Scrolled", "Exit Intent")]
