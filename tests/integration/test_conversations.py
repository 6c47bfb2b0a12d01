"""A conversation belongs to the person, keeps every part once and in order, and is seen only by whom it concerns."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.conversation import Conversation, Part
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.errors import Conflict, Forbidden, Invalid, NotFound
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.erase import erase
from backend.pipeline.tell import desk_of
from backend.pipeline.unmerge import unmerge
from backend.storage import conversations, merges, operators, parts, tables
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify, popup_rule
from tests.integration.test_erasure import tables_of

ANNA = Speaker("a" * 32, "Anna")


def chat(text: str, **fields: Any) -> dict[str, Any]:
    properties = {"message_body": text, **fields.pop("properties", {})}
    return call("Live Chat Message Sent", properties, **fields)


def all_of(shop: Shop) -> list[Conversation]:
    with shop.rt.db.read() as connection:
        return conversations.list_conversations(connection, shop.site.id)


def said_in(shop: Shop, conversation: Conversation, *, events: bool = False) -> list[Part]:
    with shop.rt.db.read() as connection:
        return parts.list_parts(connection, conversation, kinds=None if events else ["message", "note"], limit=200)


def texts(shop: Shop, conversation: Conversation) -> list[str]:
    return [each.text for each in said_in(shop, conversation)]


def page(shop: Shop, path: str = "conversation", **who: Any) -> Any:
    told = {"writeKey": shop.site.write_key, **who}
    answer = shop.client.post(f"/v1/{path}", json=told)
    assert answer.status_code == 200, answer.text
    return answer.json


def proof(shop: Shop, user_id: str) -> str:
    return hmac.new(shop.site.secret_key.encode(), user_id.encode(), hashlib.sha256).hexdigest()


def test_what_a_visitor_says_begins_a_conversation_and_goes_on_in_it(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Is it in stock?"))
    shop.clock.forward(seconds=5)
    shop.send(chat("The red one", messageId="second"), chat("The red one", messageId="second"), chat("   "))
    shop.send(chat("The red one", messageId="second"))
    [found] = all_of(shop)
    assert [(each.number, each.author, each.text) for each in said_in(shop, found)] == [
        (1, "visitor", "Is it in stock?"),
        (2, "visitor", "The red one"),
    ]
    assert (found.state, found.opened_by, found.last, found.seen, found.read) == ("open", "visitor", 2, 2, 0)
    assert found.waiting_since == said_in(shop, found)[0].at
    assert found.preview == "The red one"
    shop.send(chat("Hello", anonymousId="bob"))
    assert len(all_of(shop)) == 2


def test_an_answer_reaches_the_page_and_the_desk_at_once(each_shop: Shop) -> None:
    shop = each_shop
    with shop.rt.db.begin() as connection:
        row = {"id": ANNA.id, "email": "anna@shop.example", "name": "Anna", "created_at": 1, "updated_at": 1}
        connection.execute(tables.operators.insert().values(row | {"photo": "f" * 64}))
        assert operators.names(connection, [str(ANNA.id)]) == {ANNA.id: "Anna"}
    desk = shop.rt.live.subscribe([desk_of(shop.site.id)])
    browser = shop.rt.live.subscribe([anonymous_visitor(shop.site.id, "ann")])
    wait_until_heard(shop, desk)
    shop.send(chat("Is it in stock?"))
    told = desk.next(5)
    assert told is not None
    assert told["data"]["part"]["text"] == "Is it in stock?"
    assert browser.next(5)["data"]["text"] == "Is it in stock?"  # type: ignore[index]
    [found] = all_of(shop)
    shop.clock.forward(seconds=30)
    after, part = converse.say(shop.rt, shop.site, found.id, "It is.", ANNA)
    note = browser.next(5)
    assert note is not None
    assert (note["event"], note["anonymous_id"], note["data"]["name"]) == ("part", "ann", "Anna")
    photo = f"{shop.rt.settings.public_url}/photos/{'f' * 64}"
    [thread] = page(shop, anonymousId="ann")["conversations"]
    assert [(thread["operator"], thread["photo"]), [each["photo"] for each in thread["parts"]]] == [
        ("Anna", photo),
        [None, photo],
    ]
    assert (after.waiting_since, after.answered_at, after.assignee_id) == (None, shop.clock(), ANNA.id)
    converse.say(shop.rt, shop.site, found.id, "Says she is angry", ANNA, kind="note")
    assert [each["text"] for each in page(shop, anonymousId="ann")["conversations"][0]["parts"]] == [
        "Is it in stock?",
        "It is.",
    ]
    assert page(shop, anonymousId="ann")["conversations"][0]["unread"] == 1
    assert page(shop, "read", anonymousId="ann", conversationId=found.id, number=part.number) == {
        "id": found.id,
        "seen": 2,
    }
    assert page(shop, anonymousId="ann")["conversations"][0]["unread"] == 0
    assert browser.next(5)["event"] == "marks", "and nothing of the note"  # type: ignore[index]


def wait_until_heard(shop: Shop, subscription: Any) -> None:
    """The listener of this process begins in a thread of its own."""
    for _ in range(100):
        shop.rt.live.publish([(desk_of(shop.site.id), {"event": "hello"})])
        if subscription.next(0.1) is not None:
            break
    while subscription.next(0.2) is not None:
        continue


def test_the_same_answer_sent_again_is_one(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    first = converse.say(shop.rt, shop.site, found.id, "Hi", ANNA, part_id="answer-1")
    again = converse.say(shop.rt, shop.site, found.id, "Hi", ANNA, part_id="answer-1")
    assert first == again
    assert texts(shop, found) == ["Hello?", "Hi"]
    begun = converse.start(shop.rt, shop.site, found.visitor_id, "May I help?", ANNA, "invitation")
    assert converse.start(shop.rt, shop.site, found.visitor_id, "May I help?", ANNA, "invitation") == begun
    assert len(all_of(shop)) == 2


def test_a_reply_to_a_message_of_a_rule_begins_with_that_message(each_shop: Shop) -> None:
    shop = each_shop
    content = {"title": "Need help?", "body": "We are here."}
    shop.rule(
        popup_rule("Product Added", message={"channels": ["popup"], "variants": [{"name": "A", "content": content}]})
    )
    shop.send(call("Product Added", {"product_id": "p"}))
    [message] = shop.messages()
    shop.send(call("Message Shown", {"message_id": message.id}))
    shop.clock.forward(seconds=5)
    shop.send(call("Message Replied", {"message_id": message.id, "text": "Yes, please"}))
    [found] = all_of(shop)
    assert [(each.author, each.text, each.channel) for each in said_in(shop, found)] == [
        ("rule", "We are here.", "popup"),
        ("visitor", "Yes, please", "popup"),
    ]
    assert (found.opened_by, found.message_id) == ("rule", message.id)
    shop.send(chat("And another thing"), call("Message Replied", {"message_id": message.id, "text": "Hello?"}))
    assert texts(shop, found) == ["We are here.", "Yes, please", "And another thing", "Hello?"]
    shop.send(call("Message Replied", {"message_id": message.id, "text": "mine!"}, anonymousId="stranger"))
    theirs = next(each for each in all_of(shop) if each.id != found.id)
    assert texts(shop, theirs) == ["mine!"], "a stranger's message is not quoted"


def test_it_opens_again_when_somebody_speaks_and_sleeps_until_its_time(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    closed, _ = converse.change(shop.rt, shop.site, found.id, {"state": "closed"}, ANNA)
    assert (closed.state, closed.waiting_since, closed.closed_at) == ("closed", None, shop.clock())
    shop.clock.forward(seconds=5)
    shop.send(chat("Somebody?"))
    assert [each.state for each in all_of(shop)] == ["open", "closed"], "what is over stays over"
    shop.send(chat("Still you?", properties={"conversation_id": found.id}))
    assert {each.state for each in all_of(shop)} == {"open"}
    with pytest.raises(Invalid):
        converse.change(shop.rt, shop.site, found.id, {"state": "snoozed"}, ANNA)
    with pytest.raises(Invalid):
        converse.change(shop.rt, shop.site, found.id, {"state": "snoozed", "snoozed_until": shop.clock()}, ANNA)
    until = shop.clock() + timedelta(hours=1)
    converse.change(shop.rt, shop.site, found.id, {"state": "snoozed", "snoozed_until": until}, ANNA)
    assert converse.awake(shop.rt) == 0
    shop.clock.forward(hours=1)
    assert converse.awake(shop.rt) == 1
    assert {each.state for each in all_of(shop)} == {"open"}
    told = {"tags": ["a", "b", "a"], "priority": "high", "assignee_id": ANNA.id}
    changed, added = converse.change(shop.rt, shop.site, found.id, told, ANNA)
    assert (changed.tags, changed.priority) == (("a", "b"), "high")
    assert [each.content["event"] for each in added] == ["assigned", "priority", "tags"]
    assert converse.change(shop.rt, shop.site, found.id, told, ANNA)[1] == [], "no change, no part"


def test_only_its_author_changes_a_part_and_only_for_a_while(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    _, part = converse.say(shop.rt, shop.site, found.id, "It costs 5", ANNA)
    edited = converse.edit(shop.rt, shop.site, found.id, part.number, "It costs 6", ANNA)
    assert (edited.text, edited.edited_at) == ("It costs 6", shop.clock())
    assert all_of(shop)[0].preview == "It costs 6"
    with pytest.raises(Forbidden):
        converse.edit(shop.rt, shop.site, found.id, part.number, "x", Speaker("b" * 32, "Bert"))
    with pytest.raises(Forbidden):
        converse.edit(shop.rt, shop.site, found.id, 1, "x", ANNA)
    with pytest.raises(NotFound):
        converse.edit(shop.rt, shop.site, found.id, 9, "x", ANNA)
    shop.clock.forward(minutes=16)
    with pytest.raises(Conflict):
        converse.take_back(shop.rt, shop.site, found.id, part.number, ANNA)
    _, other = converse.say(shop.rt, shop.site, found.id, "a secret", ANNA)
    converse.take_back(shop.rt, shop.site, found.id, other.number, ANNA)
    assert "a secret" not in tables_of(shop)
    [told] = page(shop, anonymousId="ann")["conversations"]
    assert [(each["text"], each["deleted"]) for each in told["parts"]][-1] == ("", True)


def test_nobody_else_on_the_device_sees_it_and_whoever_proves_who_they_are_sees_it_everywhere(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("first", anonymousId="ann"), chat("my secret", userId="first", anonymousId="ann"))
    [found] = all_of(shop)
    first = {"userId": "first", "userHash": proof(shop, "first")}
    for who in ({"anonymousId": "ann"}, first, {**first, "anonymousId": "phone"}):
        assert [each["id"] for each in page(shop, **who)["conversations"]] == [found.id], who
    shop.send(identify("second", anonymousId="new"))
    strangers = (
        {"anonymousId": "new"},
        {"anonymousId": "phone"},
        {"userId": "first", "anonymousId": "phone"},
        {"userId": "second", "userHash": proof(shop, "second"), "anonymousId": "ann"},
    )
    for who in strangers:
        assert page(shop, **who)["conversations"] == [], who
        told = {"writeKey": shop.site.write_key, "conversationId": found.id, "number": 1, **who}
        assert shop.client.post("/v1/read", json=told).status_code == 404, who


def test_who_signs_in_in_the_middle_goes_on_and_an_undone_merge_parts_them(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("before", anonymousId="ann"))
    shop.send(identify("u", anonymousId="ann"), chat("after", userId="u", anonymousId="ann"))
    [found] = all_of(shop)
    assert texts(shop, found) == ["before", "after"]
    assert found.visitor_id == anonymous_visitor(shop.site.id, "ann")
    u = known_visitor(shop.site.id, "u")
    with shop.rt.db.read() as connection:
        [made] = merges.of_visitors(connection, [u])
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    signed = {"userId": "u", "userHash": proof(shop, "u")}
    assert page(shop, **signed)["conversations"] == []
    assert [each["id"] for each in page(shop, anonymousId="ann")["conversations"]] == [found.id]


def test_nothing_of_the_erased_is_left(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("of erika", anonymousId="ann"), chat("of bob", anonymousId="bob"))
    found = next(each for each in all_of(shop) if each.anonymous_id == "ann")
    converse.say(shop.rt, shop.site, found.id, "dear erika", ANNA)
    assert erase(shop.rt, shop.site.id, found.visitor_id, ("desk", "administrator"))
    assert "erika" not in tables_of(shop)
    assert [each.anonymous_id for each in all_of(shop)] == ["bob"]
    shop.send(
        chat("late", anonymousId="ann", timestamp="2026-02-01T00:00:00Z", properties={"conversation_id": found.id})
    )
    assert [each.id for each in all_of(shop) if each.id == found.id] == []


def test_words_are_found_in_whatever_was_said(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Где мой ЗАКАЗ 17?"), chat("100% sure", anonymousId="bob"))
    with shop.rt.db.read() as connection:

        def found(words: str) -> list[str | None]:
            listed = conversations.list_conversations(connection, shop.site.id, words=words)
            return [each.anonymous_id for each in listed]

        assert found("заказ где") == ["ann"]
        assert found("100%") == ["bob"]
        assert found("1_0") == []
        assert found("nothing") == []


def test_the_rating_is_noted(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    rated = {"conversation_id": found.id, "rating": 5, "text": "Thank you"}
    shop.send(call("Live Chat Conversation Rated", rated))
    for wrong in (6, "5", True, None):
        shop.send(call("Live Chat Conversation Rated", rated | {"rating": wrong}))
    shop.send(call("Live Chat Conversation Rated", rated | {"rating": 1}, anonymousId="bob"))
    [after] = all_of(shop)
    assert (after.rating, after.remark) == (5, "Thank you")
