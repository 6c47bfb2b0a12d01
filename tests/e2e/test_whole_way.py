"""The whole way in a real browser against a real `chimein up`: a page, an event, a rule, a pop-up, a reply, a mail."""

import email
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.sdk_fixtures import loaded, sdk_browser, sdk_bundles
from tests.stack import Shop, Stack, request, stack, wait_for

__all__ = ["sdk_browser", "sdk_bundles"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SOON = 60_000
"""Milliseconds for what takes one or two on a machine that does nothing else."""


def says(title: str, channel: str = "popup", **content: Any) -> dict[str, Any]:
    return {"channels": [channel], "variants": [{"name": "A", "content": {"title": title, "body": "…", **content}}]}


SECOND_LOOK = {
    "name": "Second look",
    "trigger": {"event": "Product Viewed"},
    "audience": {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}, "within": "1d"},
    "message": says("You looked at {{ product.name }}"),
}
CART_LEFT = {
    "name": "Cart left",
    "trigger": {"event": "Product Added"},
    "audience": {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
    "delay": "2s",
    "cancel": [{"event": "Order Completed"}],
    "message": says("Still yours", body="The {{ product.name }} waits."),
}
CHECKOUT_LEFT = {
    "name": "Checkout left",
    "trigger": {"event": "Checkout Started"},
    "audience": {"field": "profile.stage", "op": "eq", "value": "checkout"},
    "delay": "8s",
    "cancel": [{"event": "Order Completed"}],
    "message": says(
        "Did something get in the way, {{ first_name | default: 'friend' }}?",
        channel="email",
        subject="Your basket, {{ first_name | default: 'friend' }}",
        body="We have kept {% for item in cart.items %}{{ item.quantity }} × {{ item.name }}{% endfor %}.",
        button={"text": "Finish the order", "url": "{{ event.properties.url }}"},
    ),
}


@pytest.fixture(scope="module")
def chimein(sdk_bundles: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("whole_way") / "var") as running:
        yield running
        assert running.set_aside() == 0


@pytest.fixture
def shop(chimein: Stack) -> Iterator[Shop]:
    """The demo shop without rules; those of the test are gone at its end."""
    demo = chimein.demo()
    before = [rule["id"] for rule in demo.api("GET", "/rules?status=active").json["items"]]
    for rule_id in before:
        demo.api("POST", f"/rules/{rule_id}/pause")
    yield demo
    for rule in demo.api("GET", "/rules?status=active").json["items"]:
        demo.api("POST", f"/rules/{rule['id']}/archive")
    for rule_id in before:
        demo.api("POST", f"/rules/{rule_id}/activate")


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, context: BrowserContext, chimein: Stack) -> None:
        self.context = context
        self.base = f"{chimein.url}/demo"
        self.complaints: list[str] = []

    def tab(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(SOON)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        return page

    def go(self, page: Page, path: str) -> Page:
        page.goto(self.base + path)
        loaded(page)
        return page

    @property
    def anonymous_id(self) -> str:
        """Who the page says that this browser is."""
        [found] = [each["value"] for each in self.context.cookies() if each["name"] == "chimein_id"]
        return str(found)


@pytest.fixture
def person(sdk_browser: Browser, chimein: Stack) -> Iterator[Person]:
    context = sdk_browser.new_context()
    made = Person(context, chimein)
    yield made
    context.close()
    assert made.complaints == []


def popup(page: Page, title: str | re.Pattern[str]) -> Any:
    return page.get_by_role("dialog", name=title)


def shown(shop: Shop, anonymous_id: str) -> list[Any]:
    """The visitor's messages that a page has shown."""
    return [each for each in shop.of(anonymous_id, "messages") if each["shown_at"]]


def mails_to(chimein: Stack, address: str) -> list[EmailMessage]:
    found = [email.message_from_bytes(path.read_bytes(), policy=default) for path in outbox(chimein)]
    return [each for each in found if isinstance(each, EmailMessage) and address in str(each["To"])]


def outbox(chimein: Stack) -> list[Path]:
    return sorted((chimein.data_dir / "outbox").glob("*.eml"))


def buy(person: Person, page: Page, slug: str) -> None:
    person.go(page, f"/product/{slug}")
    page.get_by_role("button", name="Add to basket").click()
    expect(page.locator("#added")).to_contain_text("added", timeout=SOON)


def fill_in_details(page: Page, address: str) -> None:
    for label, value in {
        "First name": "Zoë",
        "Last name": "Ng",
        "E-mail": address,
        "Street and number": "1 Long Lane",
        "Postcode": "12345",
        "Town": "Anywhere",
    }.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Continue to payment").click()


def test_a_newcomer_sees_a_popup_of_the_ready_rules_and_reads_the_visitors_card(chimein: Stack, person: Person) -> None:
    page = person.tab()
    person.go(page, "/")
    person.go(page, "/product/moon-gaiwan")
    person.go(page, "/product/dune-cups")
    expect(popup(page, "Hello there")).to_be_visible(timeout=SOON)
    demo = chimein.demo()
    card = wait_for(lambda: demo.visitor(person.anonymous_id))
    assert card["stage"] == "interested"
    assert card["counts"]["Product Viewed"] == 2
    assert card["counts"]["Page Viewed"] == 3
    assert "Chrom" in card["device"]["browser"]


def test_from_a_second_look_over_a_reply_and_a_left_cart_to_a_mail_and_its_unsubscribing(
    chimein: Stack, shop: Shop, person: Person
) -> None:
    for document in (SECOND_LOOK, CART_LEFT, CHECKOUT_LEFT):
        shop.rule(document)
    page = person.tab()

    person.go(page, "/product/moon-gaiwan")
    wait_for(lambda: shop.visitor(person.anonymous_id)["stage"] == "interested")
    person.go(page, "/product/dune-cups")
    dialog = popup(page, "You looked at Dune cups, a pair")
    expect(dialog).to_be_visible(timeout=SOON)
    dialog.get_by_role("button", name="Reply").click()
    dialog.get_by_role("textbox").fill("Do they break easily? <b>")
    dialog.get_by_role("textbox").press("Enter")
    [message] = wait_for(lambda: [each for each in shown(shop, person.anonymous_id) if each["replied_at"]])
    assert (message["channel"], message["reply"]) == ("popup", "Do they break easily? <b>")
    visitor = shop.visitor(person.anonymous_id)
    assert visitor["counts"]["Message Shown"] == visitor["counts"]["Message Replied"] == 1
    dialog.get_by_role("button", name="Close").click()

    buy(person, page, "dune-cups")
    expect(popup(page, "Still yours")).to_be_visible(timeout=SOON)
    expect(popup(page, "Still yours")).to_contain_text("The Dune cups, a pair waits.")
    card = shop.visitor(person.anonymous_id)
    assert (card["stage"], [item["name"] for item in card["cart"]["items"]]) == ("cart", ["Dune cups, a pair"])
    page.keyboard.press("Escape")

    address = "zoe@example.org"
    person.go(page, "/checkout")
    fill_in_details(page, address)
    page.wait_for_url("**/checkout/payment")
    card = wait_for(lambda: (found := shop.visitor(person.anonymous_id)) and found["traits"].get("email") and found)
    assert (card["stage"], card["traits"]["first_name"], card["traits"]["email"]) == ("checkout", "Zoë", address)
    assert card["user_id"] is None, "an address is no proof of who somebody is"
    [mail] = wait_for(lambda: mails_to(chimein, address))
    assert mail["Subject"] == "Your basket, Zoë"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "1 × Dune cups, a pair" in plain.get_content()
    assert f"{person.base}/checkout" in plain.get_content()
    assert "1 × Dune cups, a pair" in html.get_content()

    [link] = re.findall(r"<(http[^>]+)>", mail["List-Unsubscribe"])
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for _ in range(3):  # mail scanners look at every link
        assert request("GET", link).status == 200
    assert shop.visitor(person.anonymous_id)["unsubscribed"] == []
    clicked = request(
        "POST", link, b"List-Unsubscribe=One-Click", {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert clicked.status == 200
    wait_for(lambda: address in shop.visitor(person.anonymous_id)["unsubscribed"])
    again = shop.rule({**CHECKOUT_LEFT, "name": "Again", "trigger": {"event": "Again"}, "delay": "0s"})
    page.evaluate("chimein.track('Again', {url: location.href})")
    wait_for(lambda: ("skipped", "unsubscribed") in shop.outcomes(person.anonymous_id))
    assert again
    assert len(mails_to(chimein, address)) == 1

    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Place the order").click()
    page.wait_for_url("**/thank-you")
    card = wait_for(lambda: (found := shop.visitor(person.anonymous_id))["stage"] == "customer" and found)
    assert (card["orders"]["count"], card["cart"]["items"]) == (1, [])
    stored = shop.of(person.anonymous_id, "events")
    assert not re.search(r"4242.?4242", str(stored)), "the card stays in the page"


def test_an_order_in_time_keeps_the_cart_rule_quiet(shop: Shop, person: Person) -> None:
    shop.rule({**CART_LEFT, "delay": "20s"})
    page = person.tab()
    buy(person, page, "pebble-teapot")
    person.go(page, "/checkout")
    fill_in_details(page, "ivo@example.org")
    page.get_by_role("button", name="Place the order").click()
    page.wait_for_url("**/thank-you")
    wait_for(lambda: shop.outcomes(person.anonymous_id) == [("skipped", "cancelled")])


def test_a_message_is_shown_once_over_reloads_tabs_and_visits(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "message": says("Only once")})
    first, second = person.tab(), person.tab()
    person.go(second, "/contact")
    person.go(first, "/product/moon-gaiwan")
    first.bring_to_front()
    wait_for(lambda: popup(first, "Only once").count() + popup(second, "Only once").count() == 1)
    wait_for(lambda: shown(shop, person.anonymous_id))
    for page in (first, second):
        page.reload()
        loaded(page)
    third = person.tab()
    person.go(third, "/")
    third.wait_for_timeout(1_500)
    assert [popup(page, "Only once").count() for page in (first, second, third)] == [0, 0, 0]
    assert shop.visitor(person.anonymous_id)["counts"]["Message Shown"] == 1


def test_a_message_that_came_while_nobody_looked_is_there_at_the_next_visit(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "delay": "2s", "message": says("Welcome back")})
    page = person.tab()
    person.go(page, "/product/moon-gaiwan")
    wait_for(lambda: shop.visitor(person.anonymous_id)["counts"].get("Product Viewed"))
    page.close()
    wait_for(lambda: shop.of(person.anonymous_id, "messages"))
    expect(popup(person.go(person.tab(), "/"), "Welcome back")).to_be_visible(timeout=SOON)


def test_a_chat_message_is_answered_in_the_corner(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "message": says("A question?", channel="chat", body="Just ask.")})
    page = person.tab()
    person.go(page, "/product/moon-gaiwan")
    page.get_by_role("button", name="A question? Just ask.").click()
    box = page.get_by_role("dialog").get_by_role("textbox")
    box.fill("שלום 🦊")
    box.press("Enter")
    [message] = wait_for(lambda: [each for each in shop.of(person.anonymous_id, "messages") if each["replied_at"]])
    assert (message["channel"], message["reply"]) == ("chat", "שלום 🦊")


def test_markup_in_a_name_is_shown_as_text(shop: Shop, person: Person) -> None:
    shop.rule(
        {
            **SECOND_LOOK,
            "audience": {"field": "profile.traits.first_name", "op": "is_set"},
            "message": says("Hi {{ first_name }}"),
        }
    )
    page = person.tab()
    person.go(page, "/")
    name = "<img src=x onerror=alert(1)>"
    page.evaluate("(name) => chimein.identify({first_name: name})", name)
    wait_for(lambda: shop.visitor(person.anonymous_id)["traits"].get("first_name") == name)
    person.go(page, "/product/moon-gaiwan")
    expect(popup(page, f"Hi {name}")).to_be_visible(timeout=SOON)


WHY = {
    "trait": "why_not_bought",
    "options": ["Too dear", {"text": "Shipping to {{ first_name | default: 'you' }}", "value": "shipping"}],
}


def test_an_answer_becomes_a_trait_that_starts_the_next_rule(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "message": {**says("Why not?", answers=WHY), "display": "teaser"}})
    shop.rule(
        {
            "name": "Free shipping",
            "trigger": {"trait": "why_not_bought", "to": "shipping"},
            "message": {**says("It is on us"), "display": "at_once"},
        }
    )
    page = person.tab()
    person.go(page, "/product/moon-gaiwan")
    page.get_by_role("button", name="Why not?").click()
    popup(page, "Why not?").get_by_role("button", name="Shipping to you").click()
    expect(popup(page, "Why not?")).to_contain_text("Thank you for your answer.", timeout=SOON)
    wait_for(lambda: shop.visitor(person.anonymous_id)["traits"].get("why_not_bought") == "shipping")
    popup(page, "Why not?").get_by_role("button", name="Close").click()
    expect(popup(page, "It is on us")).to_be_visible(timeout=SOON)
    [asked] = [each for each in shop.of(person.anonymous_id, "messages") if each["content"]["title"] == "Why not?"]
    assert (asked["status"], asked["reply"]) == ("replied", "Shipping to you")


def test_whoever_wants_no_more_of_it_is_left_alone_by_every_rule(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "message": {**says("Look at this"), "display": "teaser"}})
    shop.rule({**SECOND_LOOK, "name": "Other", "trigger": {"event": "Other"}, "message": says("And this")})
    page = person.tab()
    person.go(page, "/product/moon-gaiwan")
    page.get_by_role("button", name="Don’t show such messages again").click()
    wait_for(lambda: [each for each in shop.of(person.anonymous_id, "messages") if each["dismissed_at"]])
    page.evaluate("chimein.track('Other')")
    person.go(page, "/product/dune-cups")
    page.evaluate("chimein.track('Other')")
    wait_for(lambda: ("skipped", "no_consent") in shop.outcomes(person.anonymous_id))
    page.wait_for_timeout(2_500)
    assert popup(page, "And this").count() == 0


def test_a_rule_about_exit_intent_makes_the_pages_watch_for_it_and_answers_it(shop: Shop, person: Person) -> None:
    page = person.tab()
    person.go(page, "/")
    assert page.evaluate("document.querySelector('script[src*=signals]')") is None
    shop.rule({"name": "Leaving", "trigger": {"event": "Exit Intent"}, "message": says("Before you go")})

    def watching() -> bool:
        person.go(page, "/product/moon-gaiwan")
        page.wait_for_timeout(1_000)
        return bool(page.evaluate("!!document.querySelector('script[src*=signals]')"))

    wait_for(watching)
    page.mouse.move(300, 300)
    page.evaluate("document.body.dispatchEvent(new MouseEvent('mouseout', {clientY: -1, bubbles: true}))")
    expect(popup(page, "Before you go")).to_be_visible(timeout=SOON)


def test_in_the_checkout_a_pop_up_waits_for_the_way_back(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "trigger": {"event": "Checkout Started"}, "audience": None, "message": says("Later")})
    page = person.tab()
    buy(person, page, "dune-cups")
    person.go(page, "/checkout")
    wait_for(lambda: shop.of(person.anonymous_id, "messages"))
    page.wait_for_timeout(4_000)
    assert popup(page, "Later").count() == 0
    person.go(page, "/product/moon-gaiwan")
    expect(popup(page, "Later")).to_be_visible(timeout=SOON)


def test_another_user_on_the_same_device_sees_nothing_of_the_first(shop: Shop, person: Person) -> None:
    shop.rule({**SECOND_LOOK, "audience": None, "delay": "4s", "message": says("For the first")})
    page = person.tab()
    person.go(page, "/")
    page.evaluate("chimein.identify('first-user', {email: 'first@example.org'})")
    person.go(page, "/product/moon-gaiwan")
    first_id = person.anonymous_id
    wait_for(lambda: shop.of(first_id, "enrolments"))
    page.evaluate("chimein.identify('second-user')")
    wait_for(lambda: person.anonymous_id != first_id)
    wait_for(lambda: shop.visitors(user_id="second-user"))
    person.go(page, "/contact")
    wait_for(lambda: shop.of(first_id, "messages"))
    page.wait_for_timeout(2_000)
    assert popup(page, "For the first").count() == 0
    [first], [second] = shop.visitors(user_id="first-user"), shop.visitors(user_id="second-user")
    assert first["id"] != second["id"]
    assert (first["anonymous_ids"], second["anonymous_ids"]) == ([first_id], [person.anonymous_id])
    assert "Product Viewed" not in second["counts"]
    assert second["traits"].get("email") is None
    assert not [each for each in shop.of(first_id, "messages") if each["shown_at"]]


def test_the_card_tells_what_was_searched_typed_and_where_from(shop: Shop, person: Person) -> None:
    page = person.tab()
    page.goto(f"{person.base}/?utm_source=letter&utm_campaign=spring", referer="https://search.example/")
    loaded(page)
    page.get_by_label("Search the shop").fill("copper kettle")
    page.get_by_label("Search the shop").press("Enter")
    page.wait_for_url("**/search?q=*")
    person.go(page, "/contact")
    page.get_by_label("First name").fill("Ivo")
    page.get_by_label("E-mail").fill("ivo@example.org")
    page.get_by_label("Message").fill("Does it whistle?")
    page.get_by_label("Message").press("Tab")
    card = wait_for(lambda: (found := shop.visitor(person.anonymous_id))["forms"] and found["searches"] and found)
    assert [each["query"] for each in card["searches"]] == ["copper kettle"]
    assert card["source"]["first"]["campaign"] == {"source": "letter", "name": "spring"}
    wait_for(lambda: {"email", "message"} <= {each["field"] for each in shop.visitor(person.anonymous_id)["forms"]})
    card = shop.visitor(person.anonymous_id)
    assert "ivo@example.org" in [each["value"] for each in card["identifiers"]]
    assert card["id"] in [each["id"] for each in shop.visitors(email=quote("ivo@example.org"))]
    moments = [datetime.fromisoformat(card[name]) for name in ("first_seen", "last_seen")]
    assert moments[0] < moments[1] < datetime.now(UTC)
    assert (card["stage"], card["sessions"]) == ("browsing", 1)
