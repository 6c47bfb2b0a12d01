"""In a real browser against a real `chimein up`: a visitor and an operator talk, with files, marks, and an end."""

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.sdk_fixtures import Visitor, sdk_browser, sdk_bundles, site, visitor, visitor_options
from tests.e2e.sdk_site import Site, wait_until
from tests.e2e.test_whole_way import SOON, Person
from tests.stack import Shop, Stack, stack, wait_for

__all__ = ["sdk_browser", "sdk_bundles", "site", "visitor", "visitor_options"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def chimein(sdk_bundles: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("talk") / "var") as running:
        yield running


@pytest.fixture
def shop(chimein: Stack) -> Shop:
    demo = chimein.demo()
    for rule in demo.api("GET", "/rules?status=active").json["items"]:
        demo.api("POST", f"/rules/{rule['id']}/pause")
    chimein.api(
        "PATCH", "/sites/demo", {"attention": {"launcher": True}, "policy": {"texts": {"*": {"chat": "Ask us"}}}}
    )
    return demo


def no_violations(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_visitor_and_an_operator_talk_until_it_is_over(chimein: Stack, shop: Shop, sdk_browser: Browser) -> None:
    context = sdk_browser.new_context()
    person = Person(context, chimein)
    page = person.go(person.tab(), "/")
    page.get_by_role("button", name="Ask us").click(timeout=SOON)
    panel = page.get_by_role("dialog", name="Ask us")
    field = page.get_by_placeholder("Write a message…")
    expect(field).to_be_focused(timeout=SOON)
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    page.locator("chimein-widget input[type=file]").set_input_files(
        {"name": "kitchen.png", "mimeType": "image/png", "buffer": png}
    )
    expect(page.locator(".upload:not(.busy)")).to_contain_text("kitchen.png", timeout=SOON)
    field.fill("Does it fit here? https://shop.example/kettle")
    field.press("Enter")
    expect(page.locator(".said.own")).to_contain_text("Does it fit")
    expect(page.locator(".state")).to_contain_text("Sent", timeout=SOON)
    [found] = wait_for(lambda: shop.api("GET", "/conversations?q=kettle").json["items"])
    at = f"/conversations/{found['id']}"
    [part] = shop.api("GET", f"{at}/parts").json["items"]
    assert [each["name"] for each in part["content"]["attachments"]] == ["kitchen.png"]
    assert shop.api("GET", at).json["last"] == 1

    shop.api("POST", f"{at}/read", {"number": 1})
    expect(page.locator(".state")).to_have_text("Seen", timeout=SOON)
    shop.api("POST", f"{at}/typing")
    expect(page.locator(".types")).to_contain_text("is typing", timeout=SOON)
    evil = "<img src=x onerror='window.hacked=1'> It does."
    shop.api("POST", f"{at}/parts", {"body": evil})
    expect(page.get_by_role("log")).to_contain_text(evil, timeout=SOON)
    wait_for(lambda: shop.api("GET", at).json["seen"] == 2)
    field.fill("Thank you")
    field.press("Enter")
    wait_for(lambda: shop.api("GET", at).json["last"] == 3)
    shop.api("PATCH", f"{at}/parts/2", {"body": "It does not."})
    expect(page.locator(".said").nth(1)).to_contain_text("It does not.", timeout=SOON)
    expect(page.locator(".mark")).to_have_text("edited")

    page.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
    shop.api("POST", f"{at}/parts", {"body": "Anything else?"})
    bubble = page.get_by_role("button", name="Anything else?")
    expect(bubble).to_be_visible(timeout=SOON)
    person.go(page, "/")  # what was not read is still told on the next page
    expect(page.locator(".launcher")).to_have_accessible_name("Ask us (1)", timeout=SOON)
    page.locator(".launcher").click()
    expect(page.locator(".said")).to_have_count(4, timeout=SOON)
    no_violations(page)
    shop.api("PATCH", at, {"state": "closed"})
    expect(page.get_by_text("How was this conversation?")).to_be_visible(timeout=SOON)
    page.get_by_label("5 / 5").check(force=True)
    page.get_by_placeholder("Would you like to add something?").fill("Very kind")
    no_violations(page)
    page.locator(".rate").get_by_role("button", name="Send").click()
    expect(page.get_by_text("Thank you for your opinion.")).to_be_visible()
    wait_for(lambda: shop.api("GET", at).json["rating"] == 5)
    assert shop.api("GET", at).json["remark"] == "Very kind"
    assert page.evaluate("window.hacked") is None
    assert shop.api("GET", "/conversations").json["items"][0]["id"] == found["id"]
    assert person.complaints == []
    context.close()


def talk(number: int, author: str, text: str, **more: Any) -> dict[str, Any]:
    made = {"id": f"p{number}", "conversation_id": "C", "number": number, "author": author, "channel": "chat"}
    name = "Anna" if author == "operator" else None
    rest = {"name": name, "text": text, "content": {}, "edited": False, "deleted": False}
    return made | rest | {"at": f"2026-03-01T10:0{number}:00.000Z"} | more


def thread(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {"id": "C", "state": "open", "operator": "Anna", "last": len(parts), "seen": 0, "read": 1, "unread": 1}
    return made | {"rating": None, "last_at": parts[-1]["at"], "parts": list(parts)} | more


@pytest.mark.parametrize(
    ("lang", "attributes", "says", "home"),
    [
        ("ru", "", "Написать нам", "Назад"),
        ("ar", "dir=rtl", "أرسل رسالة", "رجوع"),
        ("ko", "", "Send us a message", "Back"),
    ],
)
def test_the_panel_speaks_the_language_of_the_page(
    site: Site, visitor: Visitor, lang: str, attributes: str, says: str, home: str
) -> None:
    site.config |= {
        "chat": True,
        "texts": {"ru": {"welcome": "Привет!"}},
        "desk": {"online": False, "replies_in": 7200},
    }
    site.talks = [thread(talk(1, "visitor", "Hello"), talk(2, "operator", "Hello, " + "long " * 100))]
    page = visitor.open(site.page("/a", "<main><h1>Shop</h1></main>", lang=lang, attributes=attributes))
    page.set_viewport_size({"width": 360, "height": 640})
    page.locator(".launcher").click()
    expect(page.locator(".said")).to_have_count(2)
    wait_until(lambda: site.told)
    assert site.told[0][1] | {"conversationId": "C", "number": 2} == site.told[0][1]
    box = page.locator(".said.own").bounding_box()
    assert box
    assert (box["x"] < 100) is (attributes == "dir=rtl")
    page.get_by_role("button", name=home).click()
    expect(page.locator(".home .button")).to_have_text(says)
    if lang == "ru":
        expect(page.locator(".home .title")).to_have_text("Привет!")
    no_violations(page)
    row = page.locator(".talk").bounding_box()
    assert row
    assert row["x"] >= 0
    assert row["x"] + row["width"] <= 360
    assert page.locator(".home").evaluate("(e) => e.scrollWidth <= e.clientWidth"), "nothing sticks out"


def test_who_finds_nobody_there_leaves_an_address_and_an_answer_comes_by_a_poll(site: Site, visitor: Visitor) -> None:
    site.live_status = 500
    site.config |= {"desk": {"online": False, "replies_in": 7200}}
    page = visitor.open(site.page("/a", "<main><h1>Shop</h1></main>", head="<script>chimein.open()</script>"))
    field = page.get_by_placeholder("Write a message…")
    expect(field).to_be_focused()
    expect(page.get_by_text("Usually replies in 2 hours")).to_be_visible()
    field.fill("Anybody there?")
    field.press("Enter")
    expect(page.locator(".state")).to_have_text("Sending…")
    address = page.get_by_label("E-mail address")
    address.fill("no address")
    address.press("Enter")
    assert site.tracked("Form Field Filled") == []
    address.fill("ann@shop.example")
    no_violations(page)
    address.press("Enter")
    expect(page.get_by_text("Thank you. We answer here and by e-mail.")).to_be_visible()
    wait_until(lambda: site.tracked("Form Field Filled"))
    told = {"form": "chimein-chat", "field": "email", "value": "ann@shop.example", "page": "/a"}
    assert site.tracked("Form Field Filled") == [told], "once, and not by the page's own watching of fields too"
    [sent] = [each for each in site.events if each.get("event") == "Live Chat Message Sent"]
    assert sent["properties"] == {"message_body": "Anybody there?"}
    mine = talk(1, "visitor", "Anybody there?", id=sent["messageId"])
    site.talks = [thread(mine, talk(2, "operator", "Now there is"))]
    stand = {"id": "C", "state": "open", "last": 2, "unread": 1, "seen": 1, "read": 1}
    who = json.loads(page.evaluate("localStorage['chimein:key:id']"))
    site.note = {"id": "conversation", "user_id": None, "unread": [], "talks": [stand]}
    site.note["anonymous_id"] = who["anonymousId"]
    expect(page.locator(".said")).to_have_text(["YouAnybody there?", "Anna · Mar 1Now there is"], timeout=30_000)


def test_a_photo_is_shown_beside_the_name_and_where_it_cannot_be_the_initial(site: Site, visitor: Visitor) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    visitor.context.route(
        "**/photos/there", lambda route: route.fulfill(body=b64decode(pixel), content_type="image/png")
    )
    spoken = talk(2, "operator", "Hello", photo=f"{site.sdk}/photos/there")
    site.config |= {"chat": True}
    site.talks = [thread(talk(1, "visitor", "Hello"), spoken, photo=f"{site.sdk}/photos/gone")]
    page = visitor.open(site.page("/a", "<main><h1>Shop</h1></main>"))
    page.locator(".launcher").click()
    expect(page.locator(".said .face img")).to_be_visible()
    assert page.locator(".said .face img").evaluate("(e) => e.complete && e.naturalWidth === 1 && e.width === 20")
    face = page.locator("header .face")
    expect(face.locator("img")).to_have_count(0)
    assert face.evaluate("(e) => getComputedStyle(e, '::before').content") == '"A"'
    no_violations(page)
