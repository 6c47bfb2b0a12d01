"""In a real browser: who comes to the site appears and is spoken to; a rule is written, and its mistakes are shown."""

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from tests.core_fixtures import Shop, call, identify, popup_rule, redis_url, shop, sqlite_template, sqlite_url
from tests.e2e.sdk_fixtures import sdk_browser
from tests.integration.test_console_pages import COOKIE, sit_down

__all__ = ["redis_url", "sdk_browser", "shop", "sqlite_template", "sqlite_url"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SOON = 20_000


@pytest.fixture
def served(shop: Shop) -> Iterator[str]:
    """The address of the site's console."""
    server = make_server("127.0.0.1", 0, shop.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/console/{shop.site.id}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(served: str, shop: Shop, sdk_browser: Browser) -> Iterator[Page]:
    """A browser in which a marketer is logged in."""
    context = sdk_browser.new_context(base_url=served)
    context.add_cookies([{"name": COOKIE, "value": sit_down(shop, "marketer").text, "url": served}])
    yield context.new_page()
    context.close()


def test_somebody_who_comes_appears_by_themselves_and_is_spoken_to(page: Page, served: str, shop: Shop) -> None:
    page.goto(f"{served}/live")
    expect(page.get_by_text("Nobody is here")).to_be_visible()
    shop.send(identify("u-1", {"name": "<img src=x onerror=alert(1)>"}), call("Product Added", {"product_id": "p"}))
    expect(page.get_by_role("link", name="<img src=x onerror=alert(1)>")).to_be_visible(timeout=SOON)
    page.get_by_text("Chat", exact=True).click()
    page.get_by_placeholder("May I help you?").fill("Shall I keep it for you?")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name="Open the conversation").click(timeout=SOON)
    expect(page.get_by_text("Shall I keep it for you?").first).to_be_visible(timeout=SOON)


def test_a_rule_is_written_in_the_form_and_in_json_and_kept_when_it_works(page: Page, served: str, shop: Shop) -> None:
    shop.send(identify("u-1", {"first_name": "Ann"}))
    page.goto(f"{served}/rules/new")
    expect(page.locator("#preview")).to_contain_text("Still yours, Ann", timeout=SOON)
    page.get_by_label("Name").first.fill("Cart left")
    page.get_by_label("Event").fill("")
    expect(page.locator(".condition .wrong")).to_be_visible(timeout=SOON)
    page.get_by_label("Event").fill("Order Completed")
    written = page.get_by_label("The rule as JSON")
    expect(written).to_have_value(re.compile('"name": "Cart left"'))
    written.fill(written.input_value().replace("Shall we keep it for you?", "It waits for you."))
    expect(page.locator("#preview")).to_contain_text("It waits for you.", timeout=SOON)
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_role("heading", name="Cart left")).to_be_visible(timeout=SOON)


def test_a_segment_is_counted_before_it_is_kept_and_a_rule_is_tried_out(page: Page, served: str, shop: Shop) -> None:
    shop.send(identify("u-1", {"first_name": "Ann"}), call("Product Added", {"product_id": "p", "name": "Lamp"}))
    rule_id = shop.rule(popup_rule("Product Added", name="Cart left"), status="draft")
    page.goto(f"{served}/segments/new")
    counted = page.locator("#counted")
    expect(counted).to_contain_text("1 of 1 visitors", timeout=SOON)
    page.get_by_label("Name").fill("Carts")
    page.get_by_label("Event").first.fill("")
    expect(page.locator(".condition .wrong")).to_be_visible(timeout=SOON)
    page.get_by_label("Event").first.fill("Product Viewed")
    expect(counted).to_contain_text("0 of 1 visitors", timeout=SOON)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="Carts")).to_be_visible(timeout=SOON)

    page.goto(f"{served}/rules/{rule_id}")
    page.get_by_role("link", name="Simulate").click()
    day = shop.clock().date().isoformat()
    page.get_by_label("From").fill(day)
    page.get_by_label("To").fill(day)
    shop.clock.forward(hours=1)
    page.get_by_role("button", name="Simulate").click()
    expect(page.locator("#simulated")).to_contain_text("Would have been sent", timeout=SOON)
    expect(page.get_by_role("link", name="Ann")).to_be_visible()
