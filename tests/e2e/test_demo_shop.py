"""The demo shop in a real browser, with a recorder in the place of the SDK; nothing else of chimein runs here."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import make_server

from backend.web.demo import blueprint, ready_rules
from backend.web.demo.catalogue import catalogue
from backend.web.snippet import stub_hash

pytestmark = pytest.mark.browser

PAGES = [
    "/",
    "/category/teas",
    "/product/robin-enamel-kettle",
    "/search",
    "/search?q=green",
    "/search?q=anvil",
    "/cart",
]
PAGES += ["/checkout", "/checkout/payment", "/thank-you", "/contact", "/contact?sent=1", "/product/nothing"]

RECORDER = """
window.chimein = window.chimein || [];
for (const method of 'track identify page group alias reset consent on off open close'.split(' ')) {
  window.chimein[method] = (...args) => window.record(method, JSON.stringify(args));
}
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    app = Flask("demo shop alone")
    app.register_blueprint(blueprint)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/demo"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome") or playwright.chromium.executable_path
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


class Visitor:
    """One visitor's page, with what the shop told chimein and what went wrong in the console."""

    def __init__(self, context: BrowserContext, shop: str) -> None:
        self.shop = shop
        self.calls: list[tuple[str, list[Any]]] = []
        self.complaints: list[str] = []
        context.expose_function("record", lambda method, args: self.calls.append((method, json.loads(args))))
        context.add_init_script(RECORDER)
        context.route("**/chimein.js", lambda route: route.fulfill(content_type="text/javascript", body=""))
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> Page:
        self.page.goto(self.shop + path)
        return self.page

    def tracked(self, event: str) -> list[dict[str, Any]]:
        return [args[1] for method, args in self.calls if method == "track" and args[0] == event]

    def buy(self, slug: str, quantity: int = 1) -> None:
        page = self.open(f"/product/{slug}")
        page.get_by_label("Quantity").fill(str(quantity))
        page.get_by_role("button", name="Add to basket").click()
        expect(page.locator("#added")).to_contain_text("added")

    def fill_in_details(self) -> None:
        for label, value in {
            "First name": "Zoë",
            "Last name": "Ng",
            "E-mail": " zoe@example.org",
            "Street and number": "1 Long Lane",
            "Postcode": "12345",
            "Town": "Anywhere",
        }.items():
            self.page.get_by_label(label).fill(value)
        self.page.get_by_role("button", name="Continue to payment").click()


@pytest.fixture
def visitor(browser: Browser, shop: str) -> Iterator[Visitor]:
    context = browser.new_context()
    visitor = Visitor(context, shop)
    yield visitor
    context.close()
    assert visitor.complaints == []


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/product/nothing"])
def test_every_page_opens_without_a_complaint_in_the_console(visitor: Visitor, path: str) -> None:
    page = visitor.open(path)
    assert page.locator("h1:visible").count() == 1
    assert page.title().endswith("· Slow Kettle")
    page.wait_for_function(
        "[...document.images].every((image) => !image.src || (image.complete && image.naturalWidth))"
    )


def test_a_missing_product_is_told_in_the_shops_own_page(visitor: Visitor) -> None:
    answer = visitor.page.goto(visitor.shop + "/product/nothing")
    assert answer is not None
    assert answer.status == 404
    assert visitor.page.get_by_role("heading", name="Not on our shelves").is_visible()
    assert [complaint for complaint in visitor.complaints if "404" not in complaint] == []
    visitor.complaints.clear()


def test_the_address_without_its_slash_leads_to_the_shop(visitor: Visitor) -> None:
    visitor.page.goto(visitor.shop)
    assert visitor.page.get_by_role("heading", name="Water, leaves, a cup.").is_visible()


def test_a_list_reports_what_it_shows_with_prices_as_numbers(visitor: Visitor) -> None:
    visitor.open("/category/teas")
    [listed] = visitor.tracked("Product List Viewed")
    assert (listed["list_id"], listed["category"]) == ("teas", "Teas")
    assert [product["position"] for product in listed["products"]] == [1, 2, 3, 4]
    assert listed["products"][0] | {"url": "", "image_url": ""} == {
        "product_id": "T-201",
        "sku": "T-201",
        "name": "Spring sencha",
        "category": "Teas",
        "brand": "Leafwise",
        "price": 14.5,
        "currency": "USD",
        "position": 1,
        "url": "",
        "image_url": "",
    }


def test_a_product_page_reports_the_product_with_addresses_that_open(visitor: Visitor) -> None:
    page = visitor.open("/product/moon-gaiwan")
    [viewed] = visitor.tracked("Product Viewed")
    assert (viewed["product_id"], viewed["price"], viewed["value"]) == ("C-304", 41, 41)
    assert viewed["url"] == page.url
    assert page.request.get(viewed["image_url"]).headers["content-type"].startswith("image/svg+xml")


def test_search_finds_by_every_word_and_leaves_the_reporting_to_the_sdk(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_label("Search the shop").fill("copper kettle")
    page.get_by_label("Search the shop").press("Enter")
    page.wait_for_url("**/search?q=copper+kettle")
    assert page.locator(".card .name").all_inner_texts() == ["Ember copper kettle"]
    assert visitor.tracked("Products Searched") == []


def test_a_search_for_markup_is_shown_as_text(visitor: Visitor) -> None:
    page = visitor.open("/search?q=<script>alert(1)</script>'\"")
    expect(page.locator("h1")).to_have_text("“<script>alert(1)</script>'\"”")


def test_the_basket_adds_up_to_the_cent_and_reports_only_differences(visitor: Visitor) -> None:
    visitor.buy("meadow-chamomile", 3)
    visitor.buy("fireside-lapsang")
    page = visitor.open("/cart")
    sums = page.locator(".totals dd")
    expect(sums).to_have_text(["$41.80", "$4.90", "$46.70"])
    quantity = page.get_by_label("Quantity of Meadow chamomile")
    quantity.fill("5")
    quantity.press("Enter")
    expect(sums).to_have_text(["$61.40", "free", "$61.40"])
    expect(quantity).to_be_focused()
    quantity.fill("2")
    quantity.press("Enter")
    expect(sums).to_have_text(["$32.00", "$4.90", "$36.90"])
    page.get_by_role("button", name="Remove Fireside lapsang").click()
    expect(sums).to_have_text(["$19.60", "$4.90", "$24.50"])
    expect(page.locator("[data-count]")).to_have_text("2")
    added, removed = visitor.tracked("Product Added"), visitor.tracked("Product Removed")
    assert [(item["product_id"], item["quantity"]) for item in added] == [("T-203", 3), ("T-204", 1), ("T-203", 2)]
    assert [(item["product_id"], item["quantity"]) for item in removed] == [("T-203", 3), ("T-204", 1)]
    assert {type(item["price"]) for item in added} == {float}
    assert all(item[name] for item in added + removed for name in ("name", "currency", "url", "image_url", "cart_id"))
    assert len({item["cart_id"] for item in added + removed}) == 1


@pytest.mark.parametrize("typed", ["", "0", "-3", "21", "2.5"])
def test_a_quantity_that_cannot_be_leaves_the_basket_as_it_was(visitor: Visitor, typed: str) -> None:
    visitor.buy("dune-cups", 2)
    page = visitor.open("/cart")
    page.get_by_label("Quantity of Dune cups, a pair").fill(typed)
    page.get_by_label("Quantity of Dune cups, a pair").press("Tab")
    expect(page.get_by_label("Quantity of Dune cups, a pair")).to_have_value("2")
    assert len(visitor.tracked("Product Added") + visitor.tracked("Product Removed")) == 1


def test_the_last_piece_taken_out_leaves_an_empty_basket_and_a_new_cart_id_follows(visitor: Visitor) -> None:
    visitor.buy("pebble-teapot")
    page = visitor.open("/cart")
    page.get_by_role("button", name="Remove Pebble teapot").click()
    expect(page.get_by_text("Nothing in it yet.")).to_be_visible()
    visitor.buy("pebble-teapot")
    first, second = visitor.tracked("Product Added")
    assert first["cart_id"] != second["cart_id"]


def test_the_basket_is_the_same_in_another_tab(visitor: Visitor) -> None:
    other = visitor.page.context.new_page()
    other.goto(visitor.shop + "/cart")
    visitor.buy("clear-glass-mug", 2)
    expect(other.get_by_label("Quantity of Clear glass mug")).to_have_value("2")
    expect(other.locator("[data-count]")).to_have_text("2")


@pytest.mark.parametrize("kept", ["{", "null", "[]", '{"lines": 3}', '{"lines": [null, {"quantity": 2}]}'])
def test_a_damaged_basket_counts_as_empty(visitor: Visitor, kept: str) -> None:
    visitor.open("/")
    visitor.page.evaluate("(kept) => localStorage.setItem('slow-kettle.cart', kept)", kept)
    page = visitor.open("/cart")
    expect(page.get_by_text("Nothing in it yet.")).to_be_visible()
    assert visitor.tracked("Cart Viewed") == [{"cart_id": None, "products": []}]


def test_the_way_to_an_order_tells_each_step_once(visitor: Visitor) -> None:
    visitor.buy("heron-gooseneck-kettle")
    page = visitor.open("/cart")
    page.get_by_role("link", name="To the checkout").click()
    page.reload()
    visitor.fill_in_details()
    page.wait_for_url("**/checkout/payment")
    expect(page.locator("#deliver-to")).to_have_text("To Zoë Ng, 1 Long Lane, 12345 Anywhere")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Place the order").click()
    page.wait_for_url("**/thank-you")
    expect(page.get_by_role("heading", name="Thank you, Zoë")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Thank you, Zoë")).to_be_visible()
    expect(page.locator("[data-count]")).to_have_text("0")

    [added], [viewed] = visitor.tracked("Product Added"), visitor.tracked("Cart Viewed")
    [started], [completed] = visitor.tracked("Checkout Started"), visitor.tracked("Order Completed")
    assert viewed["products"] == started["products"] == completed["products"]
    assert completed["products"] == [
        {name: added[name] for name in added if name != "cart_id"} | {"quantity": 1, "position": 1}
    ]
    assert {told["cart_id"] for told in (added, viewed, started, completed)} == {added["cart_id"]}
    assert (started["value"], started["currency"]) == (89, "USD")
    assert started["url"].endswith("/demo/checkout")
    sums = [completed[name] for name in ("subtotal", "shipping", "total", "revenue", "currency")]
    assert sums == [89, 0, 89, 89, "USD"]
    assert re.fullmatch(r"SK-[0-9A-Z]+", completed["order_id"])


def test_the_checkout_introduces_the_visitor_by_traits_and_never_by_an_id(visitor: Visitor) -> None:
    visitor.buy("dune-cups")
    visitor.open("/checkout")
    visitor.fill_in_details()
    visitor.page.wait_for_url("**/checkout/payment")
    said = [args for method, args in visitor.calls if method == "identify"]
    assert said == [[{"email": "zoe@example.org", "first_name": "Zoë", "last_name": "Ng"}]]


def test_the_contact_form_introduces_the_visitor_and_says_thanks(visitor: Visitor) -> None:
    page = visitor.open("/contact")
    page.get_by_label("First name").fill("Ivo")
    page.get_by_label("E-mail").fill("ivo@example.org")
    page.get_by_label("Message").fill("Does the copper one whistle?")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Thank you, we have your message.")).to_be_visible()
    assert [args for method, args in visitor.calls if method == "identify"] == [
        [{"email": "ivo@example.org", "first_name": "Ivo"}]
    ]


def test_the_card_number_reaches_neither_an_event_nor_the_network(visitor: Visitor) -> None:
    visitor.buy("dune-cups")
    visitor.open("/checkout")
    visitor.fill_in_details()
    sent: list[str] = []
    visitor.page.on("request", lambda request: sent.append(f"{request.url} {request.post_data}"))
    visitor.page.get_by_label("Card number").fill("4242 4242 4242 4242")
    visitor.page.get_by_label("Security code").fill("737")
    visitor.page.get_by_role("button", name="Place the order").click()
    visitor.page.wait_for_url("**/thank-you")
    kept = visitor.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    for told in (json.dumps(visitor.calls), kept, *sent):
        assert "4242" not in told
        assert "737" not in told


@pytest.mark.parametrize("path", ["/checkout", "/checkout/payment"])
def test_an_empty_basket_cannot_be_checked_out(visitor: Visitor, path: str) -> None:
    page = visitor.open(path)
    expect(page.get_by_text("Your basket is empty.")).to_be_visible()
    expect(page.locator("main form")).to_be_hidden()
    assert visitor.tracked("Checkout Started") == []


def test_the_shop_works_where_the_sdk_is_blocked(browser: Browser, shop: str) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'chimein', {value: undefined})")
    context.route("**/chimein.js", lambda route: route.abort())
    page = context.new_page()
    page.goto(f"{shop}/product/dune-cups")
    page.get_by_role("button", name="Add to basket").click()
    expect(page.locator("[data-count]")).to_have_text("1")
    context.close()


def test_the_panel_names_the_visitor_the_command_and_the_three_rules(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.evaluate("document.cookie = 'chimein_id=0123456789abcdef0123;path=/'")
    page.get_by_text("What is happening?").click()
    expect(page.locator("#anonymous-id")).to_have_text("0123456789abcdef0123")
    origin = visitor.shop.removesuffix("/demo")
    expect(page.locator("#card-curl")).to_have_text(
        'curl -H "Authorization: Bearer $TOKEN" '
        f"'{origin}/api/v1/sites/demo/visitors?anonymous_id=0123456789abcdef0123'"
    )
    assert [rule["name"] + "." for rule in ready_rules()] == page.locator(".panel li strong").all_inner_texts()


def test_starting_over_forgets_the_visitor_and_the_basket(visitor: Visitor) -> None:
    visitor.buy("dune-cups")
    visitor.page.get_by_text("What is happening?").click()
    visitor.page.get_by_role("button", name="Start over as a new visitor").click()
    visitor.page.wait_for_url(visitor.shop + "/")
    expect(visitor.page.locator("[data-count]")).to_have_text("0")
    assert [method for method, _ in visitor.calls if method == "reset"] == ["reset"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_carries_no_inline_handler_style_or_script_but_the_stub(shop: str, path: str) -> None:
    app = Flask("demo shop alone")
    app.register_blueprint(blueprint)
    answer = app.test_client().get("/demo" + path)
    html = answer.text
    assert not re.search(r"<[^>]*\son\w+\s*=", html)
    assert not re.search(r"<style|\sstyle=|javascript:", html)
    inline = [body for tag, body in re.findall(r"<script([^>]*)>(.*?)</script>", html, re.S) if "src=" not in tag]
    assert len(inline) == (1 if stub_hash() else 0)
    policy = answer.headers["Content-Security-Policy"]
    assert re.search(rf"script-src 'self' {re.escape(stub_hash())};", policy)
    assert '<script async src="/chimein.js" data-key="demo"></script>' in html


@pytest.mark.parametrize("path", [path for path in PAGES if path != "/product/nothing"])
def test_axe_finds_nothing_serious_and_nothing_hangs_over_the_edge_of_a_phone(visitor: Visitor, path: str) -> None:
    visitor.page.set_viewport_size({"width": 360, "height": 800})
    visitor.buy("heron-gooseneck-kettle")
    page = visitor.open(path)
    page.get_by_text("What is happening?").click()
    found = Axe().run(page).response["violations"]
    assert [(item["id"], item["nodes"][0]["html"]) for item in found if item["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_every_product_has_its_picture_and_its_neighbours() -> None:
    shop = catalogue()
    pictures = Path(str(blueprint.static_folder)) / "products"
    for product in shop.products:
        assert (pictures / product.image).is_file()
        assert shop.category(product.category)
        assert len(set(product.goes_with)) == len(shop.beside(product)) == 4
        assert product not in shop.beside(product)
    assert len({product.id for product in shop.products}) == len({product.slug for product in shop.products}) == 12
