"""An operator's photo: taken from their account page or the API, shown to everybody, and gone when it is taken away."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from backend.domain.conversation import Conversation
from backend.domain.photo import LARGEST
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.runtime import Runtime
from backend.storage import operators
from tests.contract.conftest import Api
from tests.contract.test_console_pages import Desk, desk, talk
from tests.unit.test_photo import EXTENDED, jpeg, png

__all__ = ["desk", "talk"]


def lying(rt: Runtime) -> list[Path]:
    return list((rt.settings.data_dir / "photos").glob("*"))


def send(who: Desk, site: str, data: bytes, **headers: str) -> Any:
    fields = {"photo": (io.BytesIO(data), "../../evil.html", "text/html")}
    return who("POST", f"/{site}/account/photo", fields, **headers)  # type: ignore[arg-type]


def shown(page: Any) -> str | None:
    return page.text.partition('<img src="/photos/')[2].partition('"')[0] or None


def test_an_operator_gives_themselves_a_photo_and_takes_it_away(
    desk: Callable[..., Desk], rt: Runtime, site: str, client: FlaskClient
) -> None:
    anna, bert = desk("read_only", name="Anna"), desk("operator", name="Bert")
    assert send(anna, site, png()).status_code == 303
    first = shown(anna.get(f"/{site}/account"))
    answer = client.get(f"/photos/{first}")
    assert (answer.data, answer.mimetype) == (png(), "image/png")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert client.get(f"/photos/{first}", headers={"If-None-Match": f'"{first}"'}).status_code == 304
    assert send(bert, site, png()).status_code == 303
    assert send(anna, site, EXTENDED).status_code == 303
    second = shown(anna.get(f"/{site}/account"))
    assert client.get(f"/photos/{first}").status_code == 404
    assert client.get(f"/photos/{second}").mimetype == "image/webp"
    assert anna("POST", f"/{site}/account/photo", {"away": "yes"}).status_code == 303
    assert shown(anna.get(f"/{site}/account")) is None
    assert client.get(f"/photos/{second}").status_code == 404
    assert [each.name for each in lying(rt)] == [shown(bert.get(f"/{site}/account"))], "the same picture of another one"


def test_what_is_no_photo_is_not_taken(desk: Callable[..., Desk], rt: Runtime, site: str) -> None:
    anna = desk("operator")
    for wrong in (b"", b"<svg onload=alert(1)>", b"GIF89a" + bytes(60), png(30_000, 30_000), png() + bytes(LARGEST)):
        answer = send(anna, site, wrong)
        assert answer.status_code == 200
        assert 'id="wrong-photo"' in answer.text
    assert send(anna, site, png(), X_CSRF_Token="").status_code == 403
    assert anna("POST", f"/{site}/account/photo", {"photo": "text"}).status_code == 200
    assert lying(rt) == []


def test_nothing_else_is_reached_where_photos_lie(client: FlaskClient, rt: Runtime) -> None:
    directory = rt.settings.data_dir / "photos"
    directory.mkdir(parents=True)
    (directory / ("a" * 64)).write_bytes(b"<script>alert(1)</script>")
    (directory / "x.part").write_bytes(png())
    (rt.settings.data_dir / "secret").write_bytes(png())
    for path in ("a" * 64, "x.part", "../secret", "..%2fsecret", "%2e%2e/secret", "A" * 64, "b" * 64, "", "a" * 65):
        assert client.get(f"/photos/{path}").status_code == 404, path


def test_the_api_gives_and_takes_photos(api: Api, rt: Runtime, site: str, client: FlaskClient) -> None:
    told = {"email": "b@shop.example", "name": "Bert", "memberships": [{"site": site, "role": "operator"}]}
    path = f"/operators/{api.post('/operators', told).json['id']}"
    assert api.get(path).json["photo"] is None
    address = api("PUT", f"{path}/photo", jpeg()).json["photo"]
    assert address.startswith(f"{rt.settings.public_url}/photos/")
    assert api.get(path).json["photo"] == api.get("/operators").json["items"][-1]["photo"] == address
    assert api("PUT", f"{path}/photo", jpeg()).json["photo"] == address, "the same again"
    assert client.get(address.removeprefix(rt.settings.public_url)).mimetype == "image/jpeg"
    wrong = api("PUT", f"{path}/photo", b"<html>")
    assert (wrong.status_code, list(wrong.json["errors"])) == (422, ["photo"])
    assert api("PUT", f"{path}/photo", jpeg() + bytes(LARGEST)).status_code == 413
    assert api("DELETE", f"{path}/photo").status_code == api("DELETE", f"{path}/photo").status_code == 204
    assert api("PUT", "/operators/nobody/photo", jpeg()).status_code == 404
    assert lying(rt) == []


def test_visitors_and_colleagues_are_shown_who_speaks(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    anna = desk("operator", name="Anna")
    send(anna, site, png())
    with rt.db.read() as conn:
        found = operators.find(conn, anna.operator.id)
    stored = rt.sites.by_id(site)
    assert found is not None
    assert found.photo is not None
    assert stored is not None
    speaker, listener = Speaker(found.id, found.name, found.photo), rt.live.subscribe([talk.visitor_id])
    converse.say(rt, stored, talk.id, "Hello", speaker)
    address = f"{rt.settings.public_url}/photos/{found.photo}"
    note = listener.next(5)
    assert note is not None
    assert (note["data"]["name"], note["data"]["photo"]) == ("Anna", address)
    page = desk("operator").get(f"/{site}/inbox/{talk.id}").text
    assert page.count(f'<img src="/photos/{found.photo}" alt="">') >= 2, "beside what they said, and among colleagues"
