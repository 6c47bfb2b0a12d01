"""What goes with an answer from the console: files, products, mentions; and the console as an app that calls."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import Flask

from backend.domain.conversation import Conversation, Part
from backend.domain.notice import subscription_id
from backend.domain.reply_address import Link, seal_link
from backend.pipeline import log_in
from backend.pipeline.stock_up import stock_up
from backend.pipeline.tell import desk_of
from backend.runtime import Runtime
from backend.storage import notices, parts, products
from backend.storage.console_sessions import ABSOLUTE
from backend.storage.products import Related
from tests.contract.test_console_pages import KEYS, XSS, Desk, check_inert, desk, talk

__all__ = ["desk", "talk"]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
ENDPOINT = "https://fcm.googleapis.com/fcm/send/"


def upload(desk: Desk, path: str, name: str, data: bytes) -> Any:
    return desk.client.post(
        f"/console{path}/files",
        query_string={"name": name},
        data=data,
        headers={**desk.headers, "HX-Request": "true"},
        content_type="application/octet-stream",
    )


def said(rt: Runtime, talk: Conversation) -> list[Part]:
    with rt.db.read() as conn:
        return parts.list_parts(conn, talk)


def test_files_go_with_an_answer_and_are_shown_at_addresses_that_hold(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    anna, path = desk("operator", name="Anna"), f"/{site}/inbox/{talk.id}"
    picture = upload(anna, path, f"../{XSS}.exe", PNG)
    text = upload(anna, path, "sizes.csv", b"a;b\n")
    assert (picture.status_code, picture.json["type"]) == (201, "image/png"), "known by what it is"
    assert picture.json["name"].endswith(".png")
    for name, data, status in (
        ("x.html", b"<script>", 422),
        ("x", b"", 422),
        ("large.png", PNG + bytes(10 * 2**20), 413),
    ):
        refused = upload(anna, path, name, data)
        assert refused.status_code == status
        assert re.search(r"\w\.$", refused.json["message"]), "with a sentence"
    files = {"files": [text.json["id"], picture.json["id"]]}
    assert anna("POST", path + "/say", {**files, "id": "0123456789abcdef"}).status_code == 204, "no word is needed"
    assert anna("POST", path + "/say", {**files, "body": "Once more"}).status_code == 422, "they were said"
    assert anna("POST", path + "/say", {"files": ["f" * 32], "body": "x"}).status_code == 422
    shown = anna.get(path).text
    check_inert(shown)
    addresses = re.findall(rf'(?:src|href)="(/files/{picture.json["id"]}/[^"]+)"', shown)
    assert len(addresses) == 2, "a thumbnail, and what it leads to"
    served = anna.client.get(addresses[0].replace("&amp;", "&"))
    assert (served.status_code, served.data) == (200, PNG)
    assert anna.client.get(addresses[0].partition("?")[0]).status_code == 403, "unsigned"
    assert "sizes.csv" in shown
    assert "1 kB" in shown
    assert said(rt, talk)[-1].content["attachments"][0]["name"] == "sizes.csv"
    assert "sizes.csv" in anna.get(f"/{site}/inbox/list").text, "a part without words has a preview"


def test_a_file_of_another_conversation_does_not_go_with_an_answer(
    desk: Callable[..., Desk], site: str, other_site: str, talk: Conversation
) -> None:
    anna = desk("operator")
    mine = upload(anna, f"/{site}/inbox/{talk.id}", "a.png", PNG).json["id"]
    stranger = desk("operator", other_site)
    assert upload(stranger, f"/{site}/inbox/{talk.id}", "a.png", PNG).status_code == 404
    assert stranger("POST", f"/{other_site}/inbox/{talk.id}/say", {"files": [mine]}).status_code == 404


def goods(rt: Runtime, site: str) -> None:
    facts = {
        "kettle": {"name": "Kettle", "price": Decimal("49.9"), "currency": "EUR", "url": "https://shop.example/kettle"},
        "filter": {"name": XSS, "image_url": "https://cdn.example/filter.png", "url": "https://shop.example/f"},
        "gone": {"name": "Sold out", "stock": 0},
    }
    stock_up(rt, site, list(facts.items()), "api")
    with rt.db.begin() as conn:
        products.save_related(conn, site, {XSS: Related(bought_together=[("filter", 0.9), ("gone", 0.8)])}, rt.clock())


def test_products_are_suggested_and_stand_in_the_reply_as_they_were(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    goods(rt, site)
    anna, path = desk("operator"), f"/{site}/inbox/{talk.id}"
    assert 'id="products"' in anna.get(f"/{site}/visitors/{talk.visitor_id}/card?talk={talk.id}").text
    suggested = anna.get(path + "/products").text
    check_inert(suggested)
    assert re.findall(r'data-product="([^"]+)"', suggested) == ["filter"], "what goes with the cart, and can be bought"
    found = anna.get(path + "/products?q=KETT").text
    assert re.findall(r'data-product="([^"]+)"', found) == ["kettle"]
    assert "49.90 EUR" in found
    assert "data-product" not in desk("read_only").get(path + "/products?q=kettle").text
    assert anna("POST", path + "/say", {"products": ["kettle", "filter"]}).status_code == 204
    for wrong in (["gone"], ["nothing"], [str(each) for each in range(6)]):
        assert anna("POST", path + "/say", {"products": wrong}).status_code == 422
    told = said(rt, talk)[-1].content["products"]
    assert told[0] == {
        "product_id": "kettle",
        "name": "Kettle",
        "price": "49.90",
        "currency": "EUR",
        "url": "https://shop.example/kettle",
    }
    shown = anna.get(path)
    check_inert(shown.text)
    assert 'href="https://shop.example/kettle"' in shown.text
    assert 'src="https://cdn.example/filter.png"' in shown.text
    assert "img-src 'self' data: https:" in shown.headers["Content-Security-Policy"]
    assert "https:;" not in anna.get(f"/{site}/live").headers["Content-Security-Policy"], "there alone"
    link = Link(site_id=site, conversation_id=talk.id, expires_at=rt.clock() + timedelta(days=1))
    private = anna.client.get("/t/" + seal_link(rt.settings.secret_key, link))
    assert private.status_code == 200
    check_inert(private.text)
    assert 'href="https://shop.example/kettle"' in private.text, "the private page shows them too"
    assert "49.90 EUR" in private.text


def test_who_is_mentioned_in_a_note_is_called_and_marked(
    desk: Callable[..., Desk], rt: Runtime, site: str, other_site: str, talk: Conversation
) -> None:
    anna, bert, stranger = (
        desk("operator", name="Anna"),
        desk("operator", name="Bert Ü."),
        desk("operator", other_site, "Eve"),
    )
    path = f"/{site}/inbox/{talk.id}"
    people = json.loads(re.search(r'data-people="([^"]*)"', anna.get(path).text)[1].replace("&#34;", '"'))  # type: ignore[index]
    assert {"id": bert.operator.id, "name": "Bert Ü."} in people
    assert stranger.operator.id not in {each["id"] for each in people}
    note = f"@bert ü., @Eve and mail@Anna: {XSS}"
    assert anna("POST", path + "/say", {"body": note, "kind": "note"}).status_code == 204
    part = said(rt, talk)[-1]
    assert part.content["mentions"] == [{"id": bert.operator.id, "name": "Bert Ü."}]
    mine, hers = bert.get(path).text, anna.get(path).text
    check_inert(mine)
    assert '<mark class="mention me">@bert ü.</mark>' in mine
    assert '<mark class="mention">@bert ü.</mark>' in hers
    assert anna("POST", path + "/say", {"body": "@Bert Ü. is no note"}).status_code == 204
    assert "mentions" not in said(rt, talk)[-1].content
    assert anna("POST", f"{path}/parts/{part.number}", {"body": "Nobody"}).status_code == 200
    assert "mentions" not in said(rt, talk)[part.number - 1].content


def test_typing_is_told_to_the_visitor_and_to_colleagues(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    anna = desk("operator", name="Anna")
    streams = [rt.live.subscribe([each]) for each in (desk_of(site), talk.visitor_id)]
    try:
        assert anna("POST", f"/{site}/inbox/{talk.id}/typing").status_code == 204
        for each in streams:
            note = each.next(5)
            assert note is not None
            assert (note["event"], note["data"]["by"], note["data"]["name"]) == ("typing", "operator", "Anna")
    finally:
        for each in streams:
            rt.live.unsubscribe(each)
    many = [anna("POST", f"/{site}/inbox/{talk.id}/typing").status_code for _ in range(12)]
    assert many[-1] == 429


def called(rt: Runtime, site: str) -> list[str]:
    with rt.db.read() as conn:
        return [each.endpoint.removeprefix(ENDPOINT) for each in notices.subscribed(conn, site, None)]


def test_nobody_is_called_in_a_browser_after_they_logged_out(
    desk: Callable[..., Desk], rt: Runtime, site: str, app: Flask
) -> None:
    anna, again, bert = desk("operator"), None, desk("operator")
    again = Desk(app, rt, anna.operator)
    for each, name in ((anna, "laptop"), (again, "phone"), (bert, "bert")):
        told = {"endpoint": ENDPOINT + name, **KEYS}
        assert each("POST", f"/{site}/push", told).status_code == 204
    for wrong in (
        {"endpoint": "https://evil.example/x", **KEYS},
        {"endpoint": ENDPOINT + "x", "p256dh": "x", "auth": "x"},
    ):
        assert anna("POST", f"/{site}/push", wrong).status_code == 422
    assert sorted(called(rt, site)) == ["bert", "laptop", "phone"]
    assert anna("POST", "/logout").status_code == 303
    assert sorted(called(rt, site)) == ["bert", "phone"], "that login alone"
    log_in.reset(rt, anna.operator.id)
    assert called(rt, site) == ["bert"], "also where the browser is away"
    assert bert("POST", f"/{site}/push/off", {"endpoint": ENDPOINT + "bert"}).status_code == 204
    assert called(rt, site) == []
    assert bert("POST", f"/{site}/push", {"endpoint": ENDPOINT + "bert", **KEYS}).status_code == 204
    with rt.db.begin() as conn:
        assert notices.expire(conn, rt.clock() - ABSOLUTE) == 0
        assert notices.expire(conn, rt.clock() + timedelta(days=1) - timedelta(hours=1)) == 1
        assert notices.get(conn, site, subscription_id(ENDPOINT + "bert")) is None


def test_the_console_can_be_installed(app: Flask, desk: Callable[..., Desk], site: str) -> None:
    client = app.test_client()
    told = client.get("/console/manifest.webmanifest")
    assert told.mimetype == "application/manifest+json"
    assert (told.json["display"], told.json["start_url"], told.json["scope"]) == (
        "standalone",
        "/console/",
        "/console/",
    )
    sizes = set()
    for each in told.json["icons"]:
        icon = client.get(each["src"]).data
        assert icon.startswith(b"\x89PNG")
        width, height = (int.from_bytes(icon[at : at + 4]) for at in (16, 20))
        assert each["sizes"] == f"{width}x{height}"
        sizes.add((each["sizes"], each["purpose"]))
    assert {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")} <= sizes
    worker = client.get("/console/worker.js")
    assert worker.mimetype == "text/javascript"
    assert (worker.headers["Service-Worker-Allowed"], worker.headers["Cache-Control"]) == ("/console/", "no-cache")
    page = desk("operator").get(f"/{site}/inbox")
    assert 'rel="manifest" href="/console/manifest.webmanifest"' in page.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
