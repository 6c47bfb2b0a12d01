"""The console in a real browser against a real `chimein up`: the first login, a talk as it happens, hostile texts."""

import json
import re
import urllib.parse
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.sdk_fixtures import sdk_browser
from tests.stack import Shop, Stack, stack, track, wait_for
from tests.streams import Stream

__all__ = ["sdk_browser"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SOON = 60_000
XSS = '"><img src=x onerror=hacked()><script>hacked()</script>'


@pytest.fixture(scope="module")
def chimein(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("console") / "var") as running:
        yield running


@pytest.fixture(scope="module")
def shop(chimein: Stack) -> Shop:
    return chimein.demo()


@pytest.fixture
def page(sdk_browser: Browser) -> Iterator[Page]:
    context = sdk_browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    opened.on("console", lambda told: wrong.append(told.text) if "Content Security Policy" in told.text else None)
    opened.on("console", lambda told: print(told.text))  # shown where the test fails
    opened.on("requestfailed", lambda asked: print(asked.url, asked.failure))
    yield opened
    context.close()
    assert wrong == []


def chat(text: str, browser: str) -> dict[str, object]:
    return track("Live Chat Message Sent", browser, properties={"message_body": text})


def answered(shop: Shop, browser: str) -> list[str]:
    """What this browser's visitor reads of the operators."""
    told = shop.post("conversation", shop.greeting(browser), {"Content-Type": "text/plain"}).json["conversations"]
    return [each["text"] for talk in told for each in talk["parts"] if each["author"] == "operator"]


def begin(page: Page, chimein: Stack) -> None:
    """Makes the first operator, who is logged in then."""
    page.goto(f"{chimein.url}/console/")
    expect(page).to_have_url(re.compile("/console/first"))
    for label, text in (
        ("Administrator's token", chimein.token),
        ("Your name", "Anna Berg"),
        ("E-mail", "anna@shop.example"),
        ("Password", "kettle on the quiet stove"),
    ):
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("link", name="Inbox")).to_be_visible(timeout=SOON)


def test_an_operator_logs_in_sees_what_a_visitor_says_and_answers(page: Page, chimein: Stack, shop: Shop) -> None:
    begin(page, chimein)
    expect(page.get_by_text("All answered")).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-stream", "open", timeout=SOON)
    shop.send(
        track("Form Field Filled", "ann", properties={"field": "email", "form": "checkout", "value": "ann@x.example"}),
        chat("Is the red kettle in stock?", "ann"),
    )
    row = page.locator(".talk", has_text="Is the red kettle in stock?")
    row.click(timeout=SOON)
    card = page.locator("#card")
    expect(card.locator(".known")).to_contain_text("ann@x.example", timeout=SOON)
    expect(card.locator(".known")).to_contain_text("unverified")
    shop.send(chat("And in blue?", "ann"))
    expect(page.locator("#parts")).to_contain_text("And in blue?", timeout=SOON)
    shop.api("POST", "/canned-replies", {"shortcut": "stock", "text": "In stock, {{ first_name | default: 'friend' }}"})
    body = page.get_by_label("Your message")
    body.press_sequentially("/sto")
    page.get_by_role("option").filter(has_text="/stock").click(timeout=SOON)
    expect(body).to_have_value("In stock, friend")
    body.press("Control+Enter")
    expect(page.locator(".part.by-operator .text")).to_have_text(["In stock, friend"], timeout=SOON)
    wait_for(lambda: answered(shop, "ann") == ["In stock, friend"])
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    body.fill("Regular customer")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".part.note")).to_contain_text("Regular customer", timeout=SOON)
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    expect(page.locator("#parts")).to_contain_text("Anna Berg closed it", timeout=SOON)
    expect(page.locator(".talk")).to_have_count(0, timeout=SOON)
    assert answered(shop, "ann") == ["In stock, friend"], "notes and events are nothing for visitors"
    page.set_viewport_size({"width": 360, "height": 740})
    expect(page.locator(".list-pane")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_label("Back to the list").click()
    expect(page.locator(".thread-pane")).to_be_hidden()
    expect(page.locator(".list-pane")).to_be_visible()
    page.goto(page.url.partition("/inbox")[0] + "/account")
    # The screen is no square: what is sent has been cropped.
    screen = {"name": "me.png", "mimeType": "image/png", "buffer": page.screenshot()}
    page.get_by_label("A picture of you").set_input_files(screen)  # type: ignore[arg-type]
    expect(page.get_by_text("Saved.")).to_be_visible(timeout=SOON)
    photo = page.locator(".photo-now img")
    assert photo.evaluate("(e) => [e.naturalWidth, e.naturalHeight]") == [256, 256]


def test_what_a_visitor_writes_into_everything_runs_nowhere(page: Page, chimein: Stack, shop: Shop) -> None:
    page.goto(f"{chimein.url}/console/login")
    page.get_by_label("E-mail").fill("anna@shop.example")
    page.get_by_label("Password").fill("kettle on the quiet stove")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("body")).to_have_attribute("data-stream", "open", timeout=SOON)
    page.context.add_init_script("window.hacked = () => { window.wasHacked = true }")
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-stream", "open", timeout=SOON)
    context = {"page": {"url": "javascript:hacked()", "title": XSS, "path": XSS}, "userAgent": XSS, "locale": XSS}
    shop.send(
        {"type": "page", "anonymousId": "eve", "messageId": "eve-page", "name": XSS, "context": context},
        track(XSS, "eve", properties={"name": XSS, "url": "javascript:hacked()"}, context=context),
        track("Products Searched", "eve", properties={"query": XSS}, context=context),
        track("Product Added", "eve", properties={"product_id": XSS, "name": XSS, "url": "javascript:hacked()"}),
        track("Form Field Filled", "eve", properties={"field": XSS, "form": XSS, "value": XSS}, context=context),
        {
            "type": "identify",
            "anonymousId": "eve",
            "userId": XSS,
            "messageId": "eve-id",
            "traits": {"name": XSS, XSS: XSS},
        },
        track(
            "Live Chat Message Sent",
            "eve",
            userId=XSS,
            properties={"message_body": XSS + " javascript:hacked()", "attachments": [XSS]},
        ),
    )
    row = page.locator(".talk", has_text="onerror=hacked()")
    row.first.click(timeout=SOON)
    expect(page.locator("#card .visitor")).to_contain_text("onerror=hacked()", timeout=SOON)
    expect(page.locator("#parts .part")).to_contain_text("onerror=hacked()")
    [talk] = wait_for(lambda: shop.api("GET", "/conversations?q=onerror").json["items"])
    rated = {"conversation_id": talk["id"], "rating": 1, "text": XSS}
    shop.send(track("Live Chat Conversation Rated", "eve", userId=XSS, properties=rated))
    expect(page.locator("#parts .happened")).to_contain_text("rated it 1 of 5", timeout=SOON)
    nothing_ran(page)
    here, words = f"{chimein.url}/console/{shop.id}", urllib.parse.quote(XSS)
    with Stream(chimein.live_url, shop.greeting("eve", userId=XSS)) as stream:
        stream.wait(lambda each: each.frames)
        page.goto(f"{here}/live")
        expect(page.locator("#watched")).to_contain_text("onerror=hacked()", timeout=SOON)
        nothing_ran(page)
    for path in (
        *(f"/visitors/{talk['visitor_id']}", f"/visitors?q={words}", f"/live?q={words}", "/overview", "/segments"),
        *(f"/inbox?q={words}", f"/inbox/{talk['id']}?view={words}", "/settings", "/rules"),
    ):
        page.goto(here + path)
        nothing_ran(page)


def nothing_ran(page: Page) -> None:
    """Asserts that no text of the page became markup: nothing ran, nothing is asked for, no link runs anything."""
    page.wait_for_timeout(200)
    assert page.evaluate("window.wasHacked") is None, page.url
    assert page.locator("img:not([src^='/'])").count() == 0, page.url
    hrefs = page.eval_on_selector_all("a", "all => all.map((each) => each.protocol)")
    assert set(hrefs) <= {"http:", "https:", "mailto:", "tel:"}, json.dumps(hrefs)
