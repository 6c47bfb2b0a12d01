"""How the browser SDK's events reach the collector, whatever happens to page, network and collector (F42)."""

import itertools
import json
import time

import pytest
from playwright.sync_api import Browser

from tests.e2e.sdk_fixtures import Visitor, loaded, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = pytest.mark.browser

QUEUED = "Object.keys(localStorage).filter((key) => key.includes(':q:')).length"


def quiet(site: Site) -> None:
    """Leaves page views out, so that a test counts its own events only."""
    site.config["capture"]["page_views"] = False


def test_events_of_one_moment_travel_together_and_twenty_travel_at_once(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate("for (let i = 0; i < 5; i++) chimein.track('E' + i)")
    wait_until(lambda: len(site.events) == 5)
    assert [len(batch["batch"]) for batch in site.batches] == [5]
    assert [event["event"] for event in site.events] == ["E0", "E1", "E2", "E3", "E4"]
    wait_until(lambda: page.evaluate(QUEUED) == 0)

    page.evaluate("for (let i = 0; i < 250; i++) chimein.track('F', {i})")
    wait_until(lambda: len(site.events) == 255)
    assert [properties["i"] for properties in site.tracked("F")] == list(range(250)), "in the order of the calls"
    assert max(size for _, size in site.arrivals) < 60_000
    assert len({event["messageId"] for event in site.events}) == 255


def test_offline_events_wait_through_reloads_and_arrive_once(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    wait_until(lambda: page.evaluate("!!Object.keys(localStorage).find((key) => key.endsWith(':config'))"))
    visitor.context.set_offline(True)
    page.evaluate("for (let i = 0; i < 30; i++) chimein.track('Offline', {i})")
    page.wait_for_timeout(500)
    assert site.events == []
    visitor.context.set_offline(False)
    wait_until(lambda: len(site.tracked("Offline")) == 30)

    site.judge = lambda batch: (503, {}, {})
    page.evaluate("chimein.track('Down')")
    page.wait_for_timeout(400)
    page.reload()
    loaded(page)
    site.judge = lambda batch: None
    wait_until(lambda: site.tracked("Down"))
    wait_until(lambda: page.evaluate(QUEUED) == 0)
    assert len(site.tracked("Offline")) == 30


def test_retry_after_is_honoured_over_reloads_and_by_all_tabs(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    other = visitor.open(site.page("/b"))
    site.answers = [(429, {"Retry-After": "3"}, {})]
    page.evaluate("chimein.track('One')")
    wait_until(lambda: len(site.arrivals) == 1)
    page.wait_for_timeout(100)
    other.evaluate("chimein.track('Two')")
    page.evaluate("chimein.track('Three')")
    page.reload()
    loaded(page)
    wait_until(lambda: len(site.events) == 3)
    assert site.arrivals[1][0] - site.arrivals[0][0] > 2.8


@pytest.mark.parametrize("status", [500, 502, 408, 429])
def test_a_collector_in_trouble_is_asked_again_with_growing_pauses(site: Site, visitor: Visitor, status: int) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    site.answers = [(status, {}, {})] * 3
    page.evaluate("chimein.track('One')")
    wait_until(lambda: site.events, 15)
    times = [at for at, _ in site.arrivals]
    assert len(times) == 4
    # To a 408 Chromium itself replies at once by sending again, before it lets us know.
    assert status == 408 or all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_final(site: Site, visitor: Visitor, status: int) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate("window.errors = []; chimein.on('error', (error) => errors.push(error.code))")
    site.answers = [(status, {}, {})]
    page.evaluate("chimein.track('Refused')")
    wait_until(lambda: page.evaluate("errors.length"))
    page.evaluate("chimein.track('Next')")
    wait_until(lambda: site.tracked("Next"))
    assert page.evaluate("errors") == [f"http_{status}"]
    assert site.tracked("Refused") == []


@pytest.mark.parametrize("status", [400, 413])
def test_one_bad_event_does_not_cost_its_neighbours(site: Site, visitor: Visitor, status: int) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate("window.errors = []; chimein.on('error', (error) => errors.push(error.code))")
    site.judge = lambda batch: (status, {}, {}) if any(event["event"] == "Bad" for event in batch) else None
    page.evaluate("for (let i = 0; i < 15; i++) chimein.track(i === 7 ? 'Bad' : 'Good')")
    wait_until(lambda: len(site.tracked("Good")) == 14)
    wait_until(lambda: page.evaluate(QUEUED) == 0)
    assert page.evaluate("errors") == [f"http_{status}"]


def test_rejected_events_are_told_to_the_page_and_not_sent_again(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate("window.errors = []; chimein.on('error', (error) => errors.push(error))")
    page.evaluate("chimein.on('error', () => { throw 1 })")
    rejection = {"index": 0, "messageId": "m", "code": "invalid", "message": "event: too long"}
    site.answers = [(200, {}, {"success": True, "accepted": 0, "rejected": [rejection]})]
    page.evaluate("chimein.track('Odd')")
    wait_until(lambda: page.evaluate("errors.length"))
    assert page.evaluate("errors") == [rejection]
    wait_until(lambda: page.evaluate(QUEUED) == 0)
    assert len(site.arrivals) == 1


def test_an_event_too_large_for_the_collector_is_not_sent(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate("window.errors = []; chimein.on('error', (error) => errors.push(error.code))")
    page.evaluate("chimein.track('Huge', {text: 'ж'.repeat(17000)}); chimein.track('Small')")
    wait_until(lambda: site.tracked("Small"))
    assert page.evaluate("errors") == ["too_large"]
    assert site.tracked("Huge") == []


def test_at_most_five_hundred_events_wait(site: Site, visitor: Visitor) -> None:
    quiet(site)
    site.judge = lambda batch: (503, {"Retry-After": "2"}, {})
    page = visitor.open(site.page("/a"))
    page.evaluate("window.errors = []; chimein.on('error', (error) => errors.push(error.code))")
    page.evaluate("chimein.track('E', {i: 0})")
    wait_until(lambda: site.arrivals)
    page.wait_for_timeout(200)
    page.evaluate("for (let i = 1; i < 510; i++) chimein.track('E', {i})")
    assert page.evaluate(QUEUED) == 500
    assert page.evaluate("errors") == ["queue_full"] * 10
    site.judge = lambda batch: None
    wait_until(lambda: len(site.events) == 500)
    assert site.tracked("E")[0] == {"i": 10}, "the oldest went"


def test_what_happens_in_the_last_moment_still_arrives(site: Site, visitor: Visitor) -> None:
    quiet(site)
    site.page("/next")
    page = visitor.open(site.page("/a", "<a href=/next data-chimein-event=Left>go</a>"))
    page.evaluate("addEventListener('pagehide', () => chimein.track('In pagehide'))")
    page.click("a")
    page.wait_for_url("**/next")
    wait_until(lambda: site.tracked("Left"))
    page.evaluate("setTimeout(() => chimein.track('Closing')); setTimeout(() => location.href = 'about:blank', 5)")
    page.wait_for_url("about:blank")
    wait_until(lambda: site.tracked("Closing"))
    wait_until(lambda: site.tracked("Left"))
    assert len({event["messageId"] for event in site.events}) == len(site.events)


def test_a_hidden_page_hands_over_with_a_beacon_and_keeps_what_was_not_answered(site: Site, visitor: Visitor) -> None:
    quiet(site)
    page = visitor.open(site.page("/a"))
    page.evaluate(
        """() => { window.beacons = []; navigator.sendBeacon = (url, body) => beacons.push(body) > 0;
             chimein.track('Last'); Object.defineProperty(document, 'hidden', {value: true});
             document.dispatchEvent(new Event('visibilitychange')); dispatchEvent(new Event('pagehide')); }"""
    )
    (beacon,) = page.evaluate("beacons")
    assert [event["event"] for event in json.loads(beacon)["batch"]] == ["Last"]
    assert page.evaluate(QUEUED) == 1, "a beacon has no answer"
    assert page.context.new_page().goto(site.origin + "/a")
    wait_until(lambda: site.tracked("Last"))


def test_events_of_many_tabs_are_neither_lost_nor_counted_twice(site: Site, visitor: Visitor) -> None:
    quiet(site)
    address = site.page("/a")
    pages = [visitor.open(address) for _ in range(3)]
    for page in pages:
        page.evaluate("window.n = 0; setInterval(() => n++ < 40 && chimein.track('E'), 10) && 0")
    wait_until(lambda: all(page.evaluate("n >= 40") for page in pages))
    wait_until(lambda: len(site.tracked("E")) == 120)
    wait_until(lambda: pages[0].evaluate(QUEUED) == 0)
    # A tab may see a little late that another one has sent something; more than a few would mean that locks fail.
    assert sum(len(batch["batch"]) for batch in site.batches) < 132


STORAGE = {
    "forbidden": "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})",
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }",
    "without locks": "Object.defineProperty(Navigator.prototype, 'locks', {value: undefined})",
    "without randomUUID": "delete Crypto.prototype.randomUUID",
}


@pytest.mark.parametrize("fault", STORAGE)
def test_it_works_where_the_browser_refuses(site: Site, visitor: Visitor, fault: str) -> None:
    visitor.context.add_init_script(STORAGE[fault])
    page = visitor.open(site.page("/a"))
    page.evaluate("chimein.identify('u1'); for (let i = 0; i < 3; i++) chimein.track('E', {i})")
    wait_until(lambda: len(site.tracked("E")) == 3 and site.of("page"))
    assert len({event["anonymousId"] for event in site.events}) == 1
    wait_until(lambda: site.streams)
    page.wait_for_timeout(300)
    assert sum(len(batch["batch"]) for batch in site.batches) == 5


def test_it_works_under_a_strict_content_security_policy(site: Site, visitor: Visitor) -> None:
    policy = f"default-src 'none'; script-src 'nonce-n1' {site.sdk}; connect-src {site.sdk}"
    site.headers = {"Content-Security-Policy": policy}
    address = site.page("/csp")
    site.pages["/csp"] = site.pages["/csp"].replace("<script", "<script nonce=n1")
    page = visitor.context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(address)
    loaded(page)
    wait_until(lambda: site.of("page"))
    wait_until(lambda: site.streams)
    site.send({"id": "m1", "channel": "popup", "title": "Hello", "body": "There"})
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.evaluate("(dialog) => getComputedStyle(dialog).borderRadius") == "16px", (
        "styled without inline styles"
    )
    assert [line for line in said if "favicon" not in line] == []


def test_a_policy_that_forbids_the_collector_harms_nobody(site: Site, visitor: Visitor) -> None:
    site.headers = {"Content-Security-Policy": "connect-src 'none'"}
    page = visitor.open(site.page("/csp"))
    page.evaluate("chimein.track('E'); chimein.open()")
    page.wait_for_timeout(500)
    assert site.events == []


def test_a_slow_or_missing_sdk_does_not_hold_the_page_up(sdk_browser: Browser, site: Site) -> None:
    context = sdk_browser.new_context()
    page = context.new_page()
    site.delays["/chimein.js"] = 2
    begun = time.monotonic()
    page.goto(site.page("/a", "<h1>Shop</h1>"), wait_until="domcontentloaded")
    page.evaluate("chimein.track('E')")
    assert time.monotonic() - begun < 2
    context.close()
