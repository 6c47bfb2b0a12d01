"""In a real browser: one person on two devices has one conversation, two on one device see nothing of each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.domain.signature import user_hash
from tests.e2e.sdk_fixtures import sdk_browser, sdk_bundles
from tests.e2e.test_whole_way import SOON, Person, says
from tests.stack import Shop, Stack, stack, wait_for

__all__ = ["sdk_browser", "sdk_bundles"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ASK = {
    "name": "Ask",
    "trigger": {"event": "Ask"},
    "reentry": {"policy": "every"},
    "message": says("Questions?", channel="chat"),
}


@pytest.fixture(scope="module")
def chimein(sdk_bundles: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("who") / "var") as running:
        yield running


@pytest.fixture
def shop(chimein: Stack) -> Iterator[Shop]:
    demo = chimein.demo()
    for rule in demo.api("GET", "/rules?status=active").json["items"]:
        demo.api("POST", f"/rules/{rule['id']}/pause")
    made = demo.rule(ASK)
    yield demo
    demo.api("POST", f"/rules/{made}/archive")


@pytest.fixture
def people(sdk_browser: Browser, chimein: Stack) -> Iterator[list[Person]]:
    contexts = [sdk_browser.new_context() for _ in range(2)]
    made = [Person(context, chimein) for context in contexts]
    yield made
    for context in contexts:
        context.close()
    assert [each.complaints for each in made] == [[], []]


def sign_in(page: Page, shop: Shop, user_id: str, *, signed: bool = True) -> None:
    proof = {"userHash": user_hash(shop.secret, user_id)} if signed else {}
    page.evaluate("([user, proof]) => chimein.identify(user, {}, proof)", [user_id, proof])


def talk(page: Page, text: str) -> None:
    """Takes what is asked in the chat, and answers it."""
    page.get_by_role("button", name="Questions?").click(timeout=SOON)
    field = page.get_by_placeholder("Write a message…")
    field.fill(text)
    field.press("Enter")
    expect(page.get_by_role("log")).to_contain_text(text)


def test_one_person_on_two_devices_and_two_on_one(chimein: Stack, shop: Shop, people: list[Person]) -> None:
    phone, laptop = people
    page = phone.go(phone.tab(), "/")
    sign_in(page, shop, "first")
    page.evaluate("chimein.track('Ask')")
    talk(page, "My secret question")
    first_id = phone.anonymous_id
    wait_for(lambda: [each for each in shop.of(first_id, "messages") if each["reply"] == "My secret question"])

    other = laptop.go(laptop.tab(), "/")
    sign_in(other, shop, "first", signed=False)
    other.evaluate("chimein.open()")
    expect(other.get_by_role("dialog", name="Chat")).to_be_visible(timeout=SOON)
    other.wait_for_timeout(1_500)
    expect(other.get_by_role("log")).not_to_contain_text("My secret question")
    other.evaluate("chimein.close()")
    sign_in(other, shop, "first")
    other.evaluate("chimein.open()")
    expect(other.get_by_role("log")).to_contain_text("My secret question", timeout=SOON)
    expect(other.get_by_role("log")).to_contain_text("Questions?")
    phone.go(page, "/")
    page.evaluate("chimein.open()")
    expect(page.get_by_role("log").get_by_text("My secret question")).to_have_count(1)

    sign_in(page, shop, "second")
    expect(page.get_by_role("dialog", name="Chat")).to_have_count(0)
    assert phone.anonymous_id != first_id
    for _ in range(2):
        page.evaluate("chimein.open()")
        expect(page.get_by_role("dialog", name="Chat")).to_be_visible()
        page.wait_for_timeout(1_500)
        expect(page.get_by_role("log")).not_to_contain_text("My secret question")
        stored = page.evaluate("JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})")
        assert "My secret question" not in stored
        assert first_id not in stored
        phone.go(page, "/")
    second = wait_for(lambda: shop.visitor(phone.anonymous_id))
    first = shop.visitor(first_id)
    assert (first["user_id"], second["user_id"]) == ("first", "second")
    assert first_id not in second["anonymous_ids"]
    assert second["sessions"] == 1
    assert shop.of(phone.anonymous_id, "messages") == []

    page.evaluate("chimein.reset()")
    third = phone.anonymous_id
    assert third not in (first_id, second["anonymous_ids"][0])
    page.evaluate("chimein.track('Ask')")
    talk(page, "Somebody else's")
    wait_for(lambda: [each for each in shop.of(third, "messages") if each["reply"] == "Somebody else's"])
    assert shop.visitor(third)["user_id"] is None


def test_on_another_device_the_way_to_the_conversation_stands_there_by_itself(
    shop: Shop, people: list[Person], tmp_path: Path
) -> None:
    phone, laptop = people
    page = phone.go(phone.tab(), "/")
    sign_in(page, shop, "reader")
    page.evaluate("chimein.track('Ask')")
    page.get_by_role("button", name="Questions?").wait_for(timeout=SOON)
    wait_for(lambda: [each for each in shop.of(phone.anonymous_id, "messages") if each["shown_at"]])

    other = laptop.go(laptop.tab(), "/")
    way = other.get_by_role("button", name="Chat")
    sign_in(other, shop, "reader", signed=False)
    other.wait_for_timeout(2_000)
    expect(other.locator("chimein-widget")).to_have_count(0)  # a claim sees nothing of it
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    sign_in(other, shop, "reader")
    unread = other.get_by_role("button", name="Chat (1)")
    expect(unread).to_be_visible(timeout=SOON)
    expect(other.get_by_role("button", name="Questions?")).to_have_count(0)
    assert not [each for each in asked if each.endswith("/v1/conversation")], "the stream said it"
    other.screenshot(path=tmp_path / "unread.png")
    laptop.go(other, "/search")
    expect(unread).to_be_visible(timeout=SOON)

    unread.click()
    expect(other.get_by_role("log")).to_contain_text("Questions?", timeout=SOON)
    other.screenshot(path=tmp_path / "opened.png")
    wait_for(lambda: [each for each in shop.of(phone.anonymous_id, "messages") if each["clicked_at"]])
    other.keyboard.press("Escape")
    expect(way).to_have_accessible_name("Chat")
    phone.go(page, "/")
    expect(page.get_by_role("button", name="Chat")).to_have_accessible_name("Chat", timeout=SOON)

    other.evaluate("chimein.reset()")
    expect(way).to_have_count(0)
    laptop.go(other, "/")
    other.wait_for_timeout(2_000)
    expect(way).to_have_count(0)
