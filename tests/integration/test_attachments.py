"""Files of conversations: known by their content, seen by whom they concern, and gone with whom they are of."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from backend.domain.attachment import LARGEST, kind_of, name_of
from backend.domain.identity import anonymous_visitor
from backend.errors import Invalid
from backend.pipeline import converse
from backend.pipeline.attach import MOST_A_DAY, attach, forget_unsaid
from backend.pipeline.erase import erase
from backend.storage.sites import create_site, new_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop
from tests.integration.test_conversations import ANNA, all_of, chat, page, proof, said_in

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40


def upload(shop: Shop, data: bytes = PNG, name: str = "kitchen.png", **who: Any) -> Any:
    fields = {"writeKey": shop.site.write_key, **(who or {"anonymousId": "ann"}), "file": (io.BytesIO(data), name)}
    return shop.client.post("/v1/attachments", data=fields, headers={"Origin": "https://shop.example"})


def lying(shop: Shop) -> list[Path]:
    return [each for each in (shop.rt.settings.data_dir / "attachments").rglob("*") if each.is_file()]


def test_a_file_goes_with_what_is_said_and_is_served_as_what_it_is_and_never_run(each_shop: Shop) -> None:
    shop = each_shop
    answer = upload(shop, name="../../etc/kit\u202echen.exe")
    assert answer.status_code == 201, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    sent = answer.json
    assert (sent["name"], sent["type"], sent["size"]) == ("kitchen.exe.png", "image/png", len(PNG))
    shop.send(chat("", properties={"attachments": [sent["id"], sent["id"], "no such file", 7]}))
    [found] = all_of(shop)
    [part] = said_in(shop, found)
    assert [each["id"] for each in part.content["attachments"]] == [sent["id"]]
    shop.send(chat("again", properties={"attachments": [sent["id"]]}))
    assert said_in(shop, found)[1].content == {}, "a file is said once"
    [told] = page(shop, anonymousId="ann")["conversations"][0]["parts"][0]["content"]["attachments"]
    path = told["url"].removeprefix(shop.rt.settings.public_url)
    served = shop.client.get(path)
    assert (served.status_code, served.data, served.headers["Content-Type"]) == (200, PNG, "image/png")
    assert "sandbox" in served.headers["Content-Security-Policy"]
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert served.headers["Content-Disposition"].startswith("inline; ")
    place, _, token = path.partition("?t=")
    other = upload(shop, b"%PDF-1.7 x", "a.pdf").json
    elsewhere = other["url"].removeprefix(shop.rt.settings.public_url).partition("?")[0]
    forged = ("B" if token[0] == "A" else "A") + token[1:]
    for wrong in (place, f"{place}?t=x", f"{place}?t={forged}", f"{elsewhere}?t={token}"):
        assert shop.client.get(wrong).status_code == 403, wrong
    document = shop.client.get(other["url"].removeprefix(shop.rt.settings.public_url))
    assert document.headers["Content-Disposition"].startswith("attachment; ")
    shop.clock.forward(hours=25)
    assert shop.client.get(path).status_code == 403, "an address is good for a day"


def office(*names: str, first: bytes | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        if first is not None:
            archive.writestr("mimetype", first)
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


GOOD = {
    "a.jpg": b"\xff\xd8\xff\xe0" + b"x" * 20,
    "a.gif": b"GIF89a" + b"x" * 20,
    "a.webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "a.pdf": b"%PDF-1.4\n",
    "a.txt": "Grüße, мир".encode(),
    "a.csv": b"a,b\n1,2\n",
    "a.docx": office("[Content_Types].xml", "word/document.xml"),
    "a.odt": office("content.xml", first=b"application/vnd.oasis.opendocument.text"),
}
BAD = {
    "empty.txt": b"",
    "page.html": b"<!doctype html><script>alert(1)</script>",
    "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "claims to be.png": b"<html><script>alert(1)</script>",
    "program.exe": b"MZ\x90\x00\x03\x00",
    "elf.png": b"\x7fELF\x02\x01",
    "latin.txt": b"Gr\xfc\xdfe",
    "archive.zip": office("a.js"),
    "macros.docm": office("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"),
    "broken.docx": office("[Content_Types].xml", "word/document.xml")[:40],
}


def test_what_a_file_is_is_told_by_its_content_and_nothing_else(shop: Shop) -> None:
    for name, data in GOOD.items():
        kind = kind_of(data)
        assert kind is not None, name
        assert name_of(name, kind[1]) == name
    assert {name for name, data in BAD.items() if kind_of(data) is not None} == set()
    answer = upload(shop, BAD["claims to be.png"], "claims to be.png")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid")
    assert upload(shop, GOOD["a.pdf"], "page.html").json["name"] == "page.html.pdf"
    assert name_of('a<b>"\n\u202egnp.exe', "pdf") == "abgnp.exe.pdf"
    assert name_of(None, "png") == name_of("..", "png") == "file.png"
    assert len(name_of("x" * 500 + ".png", "png")) == 120


def test_what_is_too_large_too_much_or_from_nobody_is_refused(shop: Shop) -> None:
    assert upload(shop, PNG + b"x" * (LARGEST - len(PNG))).status_code == 201
    for size in (LARGEST + 1, 50 * 2**20):
        answer = upload(shop, PNG + b"x" * size)
        assert (answer.status_code, answer.json["code"]) == (413, "too_large")
    assert shop.client.post("/v1/attachments", data=b"nonsense").status_code == 401
    assert shop.client.post("/v1/attachments", data={"writeKey": shop.site.write_key}).status_code == 400
    nothing = {"writeKey": shop.site.write_key, "anonymousId": "ann", "file": "no file"}
    assert shop.client.post("/v1/attachments", data=nothing).status_code == 400
    assert upload(shop, userId="u", userHash="forged").status_code == 403
    visitor = anonymous_visitor(shop.site.id, "busy")
    for _ in range(MOST_A_DAY):
        attach(shop.rt, shop.site.id, visitor, "a.png", PNG)
    answer = upload(shop, anonymousId="busy")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)


def test_nobody_says_what_somebody_else_has_sent(shop: Shop) -> None:
    mine = upload(shop, anonymousId="ann").json["id"]
    shop.send(chat("is it mine?", anonymousId="bob", properties={"attachments": [mine]}))
    [found] = all_of(shop)
    assert said_in(shop, found)[0].content == {}
    with shop.rt.db.begin() as connection:
        other = create_site(connection, shop.rt.sites.vault, new_site("other"), shop.clock()).site
    begun = upload(shop, anonymousId="bob").json["id"]
    foreign = attach(shop.rt, other.id, anonymous_visitor(other.id, "bob"), "a.png", PNG)
    with pytest.raises(Invalid):
        converse.say(shop.rt, shop.site, found.id, "Here", ANNA, attached=[mine])
    with pytest.raises(Invalid):
        converse.say(shop.rt, shop.site, found.id, "Here", ANNA, attached=[foreign.id])
    shop.send(chat("this is", anonymousId="bob", properties={"attachments": [begun, foreign.id]}))
    assert [each["id"] for each in said_in(shop, found)[1].content["attachments"]] == [begun]
    own = attach(shop.rt, shop.site.id, found.visitor_id, "offer.pdf", b"%PDF-1.4")
    _, part = converse.say(shop.rt, shop.site, found.id, "", ANNA, attached=[own.id])
    assert part.content["attachments"][0]["name"] == "offer.pdf"
    converse.take_back(shop.rt, shop.site, found.id, part.number, ANNA)
    assert hashlib.sha256(b"%PDF-1.4").hexdigest() not in {each.name for each in lying(shop)}


def test_files_go_with_their_visitor_and_those_that_were_never_said_after_a_day(shop: Shop) -> None:
    shop.send(chat("hello", anonymousId="ann"), chat("hello", anonymousId="bob"))
    for name in ("ann", "bob"):
        sent = upload(shop, PNG + name.encode(), anonymousId=name).json["id"]
        shop.send(chat("look", anonymousId=name, properties={"attachments": [sent]}))
    signed = {"userId": "u", "userHash": proof(shop, "u")}
    assert upload(shop, PNG + b"u", **signed).status_code == 201
    assert len(lying(shop)) == 3
    assert erase(shop.rt, shop.site.id, shop.profile("ann").id, ("desk", "administrator"))
    assert len(lying(shop)) == 2
    assert not any(each.read_bytes() == (PNG + b"ann") for each in lying(shop))
    assert forget_unsaid(shop.rt) == 0
    shop.clock.forward(hours=25)
    assert forget_unsaid(shop.rt) == 1
    assert [each.read_bytes() for each in lying(shop)] == [PNG + b"bob"]


def test_typing_is_told_to_those_whom_it_concerns(shop: Shop) -> None:
    shop.send(chat("hello", anonymousId="ann"))
    [found] = all_of(shop)

    def types(**who: Any) -> int:
        told = {"writeKey": shop.site.write_key, "conversationId": found.id, **who}
        return int(shop.client.post("/v1/typing", json=told).status_code)

    assert types(anonymousId="ann") == 204
    assert types(anonymousId="bob") == 404
    assert {types(anonymousId="ann") for _ in range(30)} == {204, 429}
    note = page(shop, "inbox", anonymousId="ann")["conversation"]
    assert note["talks"] == [{"id": found.id, "state": "open", "last": 1, "unread": 0, "seen": 1, "read": 0}]
    converse.say(shop.rt, shop.site, found.id, "secret thoughts", ANNA, kind="note")
    converse.say(shop.rt, shop.site, found.id, "Hi", ANNA)
    converse.change(shop.rt, shop.site, found.id, {"state": "closed"}, ANNA)
    [talk] = page(shop, "inbox", anonymousId="ann")["conversation"]["talks"]
    assert (talk["last"], talk["unread"], talk["state"]) == (3, 1, "closed")
    assert "conversation" not in page(shop, "inbox", anonymousId="bob")
