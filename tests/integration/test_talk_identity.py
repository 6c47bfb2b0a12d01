"""Whose is a talk? Two people on one device, one who signs in in the middle, two who turn out to be one, one erased."""

from typing import Any

import pytest

from backend.domain.conversation import Conversation
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.errors import NotFound
from backend.pipeline import converse
from backend.pipeline.erase import erase
from backend.pipeline.show import streams, viewer
from backend.pipeline.transfer import transfer
from backend.storage import conversations, visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify
from tests.integration.test_console_pages import sit_down
from tests.integration.test_conversations import ANNA, all_of, chat, page, proof, texts


def seen(shop: Shop, **who: str) -> list[list[str]]:
    """What this page shows: the texts of each conversation."""
    return [[part["text"] for part in each["parts"]] for each in page(shop, **who)["conversations"]]


def signed(shop: Shop, user_id: str, browser: str | None = None) -> dict[str, str]:
    told = {"userId": user_id, "userHash": proof(shop, user_id)}
    return told if browser is None else {**told, "anonymousId": browser}


def listens(shop: Shop, **who: str) -> tuple[str, ...]:
    """The names under which this page's stream listens."""
    names = [who.get(name) for name in ("anonymousId", "userId", "userHash")]
    return streams(shop.rt, viewer(shop.site, names[0], names[1], names[2]))


def person(shop: Shop, talk: Conversation) -> str:
    with shop.rt.db.read() as connection:
        found = visitors.load_profile(connection, talk.visitor_id)
    assert found is not None
    return found.id


@pytest.mark.parametrize("browser", ["new", "ann"], ids=["as the SDK does it", "where the page keeps the browser's id"])
def test_who_signs_in_after_somebody_else_on_one_device_sees_and_continues_nothing_of_theirs(
    shop: Shop, browser: str
) -> None:
    shop.send(identify("first", {"name": "First"}), chat("my secret", userId="first"))
    [theirs] = all_of(shop)
    shop.send(identify("second", {"name": "Second"}, anonymousId=browser))
    for who in ({"userId": "second", "anonymousId": browser}, signed(shop, "second", browser), signed(shop, "second")):
        assert seen(shop, **who) == [], who
        assert not {theirs.visitor_id, person(shop, theirs)} & set(listens(shop, **who)), who
        told = {"writeKey": shop.site.write_key, "conversationId": theirs.id, **who}
        assert shop.client.post("/v1/typing", json=told).status_code == 404
        assert shop.client.post("/v1/read", json={**told, "number": 1}).status_code == 404
    told = {"conversation_id": theirs.id}  # though they know its id
    shop.send(chat("me too", userId="second", anonymousId=browser, properties=told))
    assert texts(shop, theirs) == ["my secret"]
    mine = next(each for each in all_of(shop) if each.id != theirs.id)
    assert texts(shop, mine) == ["me too"]
    assert person(shop, mine) != person(shop, theirs)
    assert seen(shop, **signed(shop, "second")) == [["me too"]]
    assert seen(shop, **signed(shop, "first")) == [["my secret"]]
    shop.send(call("Live Chat Conversation Rated", {"conversation_id": theirs.id, "rating": 1}, userId="second"))
    inbox = sit_down(shop, "operator").get("/inbox").text
    assert [inbox.count(f"<b>{name}") or inbox.count(f">{name}<") for name in ("First", "Second")] == [1, 1]
    assert [each.rating for each in all_of(shop)] == [None, None]


def test_a_talk_goes_on_under_whoever_signs_in_in_its_middle_and_comes_to_their_other_device(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("before", anonymousId="laptop"))
    [talk] = all_of(shop)
    assert seen(shop, **signed(shop, "u", "phone")) == []
    shop.send(identify("u", anonymousId="laptop", messageId="in"))
    converse.say(shop.rt, shop.site, talk.id, "an answer", ANNA)
    shop.send(chat("after", userId="u", anonymousId="laptop", properties={"conversation_id": talk.id}))
    thread = ["before", "an answer", "after"]
    assert seen(shop, **signed(shop, "u", "phone")) == [thread]
    assert set(listens(shop, **signed(shop, "u", "phone"))) & {talk.visitor_id, known_visitor(shop.site.id, "u")}
    signature = {"context": {"user_hash": proof(shop, "u")}, "userHash": proof(shop, "u")}
    shop.send(
        chat("from the phone", userId="u", anonymousId="phone", properties={"conversation_id": talk.id}, **signature)
    )
    [after] = all_of(shop)
    assert (after.id, texts(shop, after)) == (talk.id, [*thread, "from the phone"])
    assert seen(shop, anonymousId="laptop", userId="u") == [[*thread, "from the phone"]]
    assert seen(shop, anonymousId="stranger", userId="u") == [], "a mere claim from elsewhere"


def test_two_who_turn_out_to_be_one_keep_both_talks_and_operators_see_one_person(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("on the laptop", anonymousId="laptop"), chat("on the phone", anonymousId="phone"))
    shop.send(identify("u", anonymousId="laptop", messageId="1"), identify("u", anonymousId="phone", messageId="2"))
    talks = {texts(shop, each)[0]: each for each in all_of(shop)}
    assert len({person(shop, each) for each in talks.values()}) == 1
    assert sorted(seen(shop, **signed(shop, "u"))) == [["on the laptop"], ["on the phone"]]
    assert seen(shop, anonymousId="phone", userId="u") == [["on the phone"]], "a claim sees what began there"
    converse.say(shop.rt, shop.site, talks["on the phone"].id, "hello", ANNA)
    told = {"conversation_id": talks["on the laptop"].id}
    shop.send(chat("still there?", userId="u", anonymousId="laptop", properties=told))
    assert texts(shop, talks["on the laptop"]) == ["on the laptop", "still there?"]
    assert texts(shop, talks["on the phone"]) == ["on the phone", "hello"]
    desk = sit_down(shop, "operator")
    cards = [desk.get(f"/visitors/{each.visitor_id}/card").text for each in talks.values()]
    assert all("user_id" in each or ">u<" in each for each in cards)


def test_an_answer_to_somebody_who_was_erased_meanwhile_goes_nowhere(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("of erika", anonymousId="erika"))
    [talk] = all_of(shop)
    desk = sit_down(shop, "operator")
    assert desk.get(f"/inbox/{talk.id}").status_code == 200
    assert erase(shop.rt, shop.site.id, talk.visitor_id, ("desk", "administrator"))
    for path in (f"/inbox/{talk.id}", f"/inbox/{talk.id}/parts", f"/visitors/{talk.visitor_id}/card"):
        assert desk.get(path).status_code == 404, path
    for path, form in (("say", {"body": "x"}), ("change", {"state": "closed"}), ("read", {"number": "1"})):
        assert desk.post(f"/inbox/{talk.id}/{path}", **form).status_code == 404, path
    with pytest.raises(NotFound):
        converse.say(shop.rt, shop.site, talk.id, "dear erika", ANNA)
    with pytest.raises(NotFound):
        transfer(shop.rt, shop.site, talk.id, {"state": "closed"}, ANNA)
    with pytest.raises(NotFound):
        converse.start(shop.rt, shop.site, anonymous_visitor(shop.site.id, "erika"), "dear erika", ANNA)
    with shop.rt.db.read() as connection:
        assert conversations.list_conversations(connection, shop.site.id) == []
    assert seen(shop, anonymousId="erika") == []


def test_a_forged_or_foreign_signature_opens_no_talk(shop: Shop) -> None:
    shop.send(identify("u", anonymousId="ann"), chat("my secret", userId="u", anonymousId="ann"))
    right = proof(shop, "u")
    forged: list[Any] = [right[:-1] + ("0" if right[-1] != "0" else "1"), right.upper() + "x", proof(shop, "v"), "x"]
    for path in ("conversation", "inbox", "read", "typing"):
        for each in forged:
            told = {
                "writeKey": shop.site.write_key,
                "userId": "u",
                "userHash": each,
                "conversationId": "x",
                "number": 1,
            }
            answer = shop.client.post(f"/v1/{path}", json=told)
            assert answer.status_code == 403, (path, each)
    for each in forged:
        form = {"writeKey": shop.site.write_key, "userId": "u", "userHash": each}
        assert shop.client.post("/v1/attachments", data=form).status_code == 403
