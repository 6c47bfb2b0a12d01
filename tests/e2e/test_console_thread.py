"""In a real browser: what goes with an answer, what the app calls an operator for, and a stream that dies unseen."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from backend.domain.conversation import Conversation
from backend.domain.operator import Membership
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.stock_up import stock_up
from backend.storage import conversations, operators, parts
from tests.core_fixtures import Shop, call, open_shop, redis_url, sqlite_template, sqlite_url
from tests.e2e.sdk_fixtures import sdk_browser
from tests.integration.test_console_pages import COOKIE, sit_down
from tests.integration.test_conversations import chat
from tests.ports import free_port

__all__ = ["redis_url", "sdk_browser", "sqlite_template", "sqlite_url"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SOON = 20_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


class Stream:
    """In place of the process `live`: says hello to whoever comes, and never a word again."""

    def __init__(self, port: int) -> None:
        self.came = 0
        self.socket = socket.create_server(("127.0.0.1", port))
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self.socket.accept()
            except OSError:
                return
            asked = taken.recv(10_000).decode()
            self.open.append(taken)
            self.came += 1
            origin = next((line[8:] for line in asked.split("\r\n") if line.startswith("Origin: ")), "*")
            taken.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Credentials: true\r\n"
                b"Access-Control-Allow-Origin: " + origin.encode() + b'\r\n\r\nevent: hello\ndata: {"beat": 1}\n\n'
            )

    def close(self) -> None:
        for each in (self.socket, *self.open):
            each.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream(free_port())
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, redis_url: str, stream: Stream) -> Iterator[Shop]:
    live = f"http://127.0.0.1:{stream.socket.getsockname()[1]}"
    with open_shop(sqlite_url, redis_url, tmp_path, live_url=live) as opened:
        yield opened


@pytest.fixture
def page(shop: Shop, sdk_browser: Browser) -> Iterator[Page]:
    """Anna at the console; nothing there may break the page's policy, or throw."""
    server = make_server("127.0.0.1", 0, shop.client.application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    context = sdk_browser.new_context(base_url=f"{address}/console/{shop.site.id}/")
    context.grant_permissions(["notifications"], origin=address)
    context.add_cookies([{"name": COOKIE, "value": sit_down(shop, "operator").text, "url": address}])
    wrong: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda told: wrong.append(told.text) if "Content Security Policy" in told.text else None)
    yield opened
    context.close()
    server.shutdown()
    thread.join()
    server.server_close()
    assert wrong == []


def talk_of(shop: Shop) -> Conversation:
    with shop.rt.db.read() as connection:
        [found] = conversations.list_conversations(connection, shop.site.id, limit=5)
    return found


def test_files_products_and_mentions_go_with_what_is_written_and_a_notice_opens_it(page: Page, shop: Shop) -> None:
    with shop.rt.db.begin() as connection:
        given = [Membership(site_id=shop.site.id, role="operator")]
        bert = operators.create(connection, "bert@shop.example", "Bert Lang", given, shop.clock())
    stock_up(shop.rt, shop.site.id, [("p", {"name": "Lamp", "price": Decimal("10")})], "api")
    shop.send(call("Product Viewed", {"product_id": "p"}), chat("Is it bright?"))
    talk = talk_of(shop)
    page.goto(f"inbox/{talk.id}")
    body = page.get_by_label("Your message")
    page.locator("#pick-files").set_input_files(
        [
            {"name": "lamp.png", "mimeType": "image/png", "buffer": PNG},
            {"name": "x.html", "mimeType": "", "buffer": b"<p>"},
        ]
    )
    tray = page.locator("#tray li")
    expect(tray.nth(1)).to_contain_text("Files of this kind are not taken.", timeout=SOON)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#composer-said")).to_have_text("Take off what could not be sent.")
    page.get_by_label("Take off x.html").click()
    page.evaluate("""() => { const data = new DataTransfer(); data.items.add(new File(["a;b"], "sizes.csv"));
      const told = { bubbles: true, cancelable: true, dataTransfer: data };
      document.querySelector("#parts").dispatchEvent(new DragEvent("drop", told)); }""")
    expect(tray.nth(1)).to_contain_text("1 kB", timeout=SOON)
    page.get_by_label("Put Lamp into the reply").click()
    expect(tray.nth(2)).to_contain_text("10.00 USD")
    body.fill("Very.")
    page.keyboard.press("Control+Enter")
    said = page.locator(".part.by-operator").last
    expect(said.locator("img[alt='lamp.png']")).to_be_attached(timeout=SOON)
    expect(said.get_by_role("link", name="sizes.csv")).to_be_visible()
    expect(said.locator(".product")).to_contain_text("Lamp")
    expect(page.locator("#tray")).to_be_hidden()
    page.get_by_role("tab", name="Note").click()
    body.press_sequentially("Ask @la")
    page.get_by_role("option", name="@Bert Lang").click()
    expect(body).to_have_value("Ask @Bert Lang ")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".part.note mark")).to_have_text("@Bert Lang", timeout=SOON)
    with shop.rt.db.read() as connection:
        note = parts.list_parts(connection, talk)[-1]
    assert note.content["mentions"] == [{"id": bert.id, "name": "Bert Lang"}]
    page.goto("overview")
    told = {"title": "Ann · shop", "body": "Hello?", "site_id": shop.site.id, "conversation_id": talk.id, "at": None}
    _push(page, told)
    [shown] = page.evaluate(
        """async () => { const worker = await navigator.serviceWorker.ready;
           return (await worker.getNotifications()).map(({ title, body, tag }) => [title, body, tag]); }"""
    )
    assert shown == ["Ann · shop", "Hello?", talk.id]
    page.context.service_workers[0].evaluate(
        """async () => { const [notification] = await self.registration.getNotifications();
           self.dispatchEvent(new NotificationEvent("notificationclick", { notification })); }"""
    )
    expect(page.locator("#parts")).to_contain_text("Is it bright?", timeout=SOON)


def _push(page: Page, note: dict[str, object]) -> None:
    """A message of the push service, as it comes to the worker."""
    page.evaluate("navigator.serviceWorker.ready.then(() => {})")  # installed
    session = page.context.new_cdp_session(page)
    known: list[str] = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda told: known.extend(each["registrationId"] for each in told["registrations"]),
    )
    session.send("ServiceWorker.enable")
    until = time.monotonic() + 10
    while not known and time.monotonic() < until:
        page.wait_for_timeout(50)
    origin = "/".join(page.url.split("/")[:3])
    told = {"origin": origin, "registrationId": known[0], "data": json.dumps(note)}
    session.send("ServiceWorker.deliverPushMessage", told)
    page.wait_for_timeout(500)


def test_a_stream_that_died_without_a_word_is_noticed_and_nothing_is_missed(
    page: Page, shop: Shop, stream: Stream
) -> None:
    shop.send(chat("Is it bright?"))
    talk = talk_of(shop)
    _, part = converse.say(shop.rt, shop.site, talk.id, "Very", Speaker(None, "API"))
    page.goto(f"inbox/{talk.id}")
    expect(page.locator("body")).to_have_attribute("data-stream", "open", timeout=SOON)
    page.wait_for_timeout(1_000)  # what it looks at when it begins is over
    came = stream.came
    converse.say(shop.rt, shop.site, talk.id, "And in blue", Speaker(None, "API"))
    converse.edit(shop.rt, shop.site, talk.id, part.number, "Not very", Speaker(None, "API"))
    expect(page.locator(".part.by-operator .text")).to_have_text(["Not very", "And in blue"], timeout=SOON)
    assert stream.came > came, "it was opened anew"
