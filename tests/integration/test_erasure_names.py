"""Whoever is erased is known in every spelling of their names, and nothing poisonous of theirs is kept."""

import base64
import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest

from backend.domain import fold
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.site import Policy
from backend.pipeline import dead
from backend.pipeline.erase import erase
from backend.pipeline.merge import merge_visitors
from backend.pipeline.signals import send_signals
from backend.pipeline.unmerge import unmerge
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import merges, visitors, vocabularies
from backend.storage.log import partition_of
from backend.storage.sites import update_site
from backend.storage.times import to_micros
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule
from tests.integration.test_erasure import tables_of

MAIL = "erika.müster@example.org"
WHO = ("desk", "administrator")


def in_austria(shop: Shop) -> None:
    shop.site = replace(shop.site, policy=Policy(phone_region="AT"))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()


def erased(shop: Shop, user_id: str | None = None, anonymous_id: str = "ann") -> None:
    site = shop.site.id
    key = known_visitor(site, user_id) if user_id else anonymous_visitor(site, anonymous_id)
    assert erase(shop.rt, site, key, WHO)


def form(field: str, value: str, **fields: Any) -> dict[str, Any]:
    return call("Form Field Filled", {"field": field, "value": value}, **fields)


TOLD = {
    "a trait": identify("u", {"email": MAIL, "phone": "+43 660 1234567"}),
    "an operation": identify("u", {"$set": {"email": MAIL.upper()}, "$set_once": {"phone": "0660/123 45 67"}}),
    "a context": call("Page Viewed", userId="u", context={"traits": {"email": MAIL, "phone": "0043 660 1234567"}}),
}
LATE = {
    "in national format": call("Page Viewed", anonymousId="x", context={"traits": {"phone": "0660 1234567"}}),
    "abroad": form("tel", "0043 (0) 660 / 12 34 567", anonymousId="x"),
    "as another kind": {"type": "identify", "anonymousId": "x", "traits": {"whatsapp": "+43-660-1234567"}},
    "set": {"type": "identify", "anonymousId": "x", "traits": {"$set": {"email": f" {MAIL.upper()}"}}},
    "set once": {"type": "identify", "anonymousId": "x", "traits": {"$set_once": {"email": MAIL}}},
    "decomposed": form("e-mail", unicodedata.normalize("NFD", MAIL), anonymousId="x"),
    "as a wish": call("Unsubscribed", {"email": MAIL.title()}, anonymousId="x"),
}


@pytest.mark.parametrize("told", TOLD)
def test_a_late_event_is_theirs_in_whatever_spelling_it_names_them(shop: Shop, told: str) -> None:
    in_austria(shop)
    shop.send({**TOLD[told], "messageId": "told"})
    shop.clock.forward(minutes=1)
    erased(shop, "u")
    shop.clock.forward(minutes=1)
    late = {"timestamp": at(seconds=30).isoformat()}
    shop.send(*({**each, "anonymousId": name, "messageId": f"late {name}", **late} for name, each in LATE.items()))
    assert [name for name in LATE if shop.find(name) is not None] == []
    shop.send(*({**each, "anonymousId": name, "messageId": f"new {name}"} for name, each in LATE.items()))
    assert [name for name in LATE if shop.find(name) is None] == [], "who comes later is somebody new"


def test_an_address_that_the_api_told_is_remembered_too(each_shop: Shop) -> None:
    shop = each_shop
    in_austria(shop)
    shop.send(identify("u"), call("Page Viewed", anonymousId="x"))
    told = {"kind": "phone", "value": "0660 1234567", "source": "api", "verified": True}
    send_signals(shop.rt, shop.site.id, "Identifier Noted", None, [(shop.profile(user_id="u"), "n", told)])
    stranger = shop.profile("x")
    shop.processor.drain()
    assert shop.profile(user_id="u").identifiers[-1].value == "+436601234567"
    shop.clock.forward(minutes=1)
    send_signals(shop.rt, shop.site.id, "Identifier Noted", None, [(stranger, "late", told)])
    shop.clock.forward(minutes=1)
    erased(shop, "u")
    shop.processor.drain()
    assert "660" not in "".join(each.value for each in shop.profile("x").identifiers)


def test_a_number_is_known_though_the_site_has_moved_to_another_country(shop: Shop) -> None:
    in_austria(shop)
    shop.send(form("phone", "0660 1234567"))
    shop.clock.forward(minutes=1)
    erased(shop)
    shop.site = replace(shop.site, policy=Policy(phone_region="DE"))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()
    shop.restart()
    shop.clock.forward(minutes=1)
    shop.send(form("phone", "0660/1234567", anonymousId="x", timestamp=at(seconds=30)))
    assert shop.find("x") is None


def test_what_names_nobody_is_no_name_of_the_erased(shop: Shop) -> None:
    shop.send(form("email", "test@test.com"))
    shop.clock.forward(minutes=1)
    erased(shop)
    shop.send(form("email", "test@test.com", anonymousId="x", timestamp=at(seconds=30)))
    assert shop.find("x") is not None


def boom(*_: Any) -> None:
    raise ArithmeticError("this event cannot be folded")


def test_a_poisonous_event_goes_with_its_person_and_does_not_come_back(
    each_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = each_shop
    in_austria(shop)
    monkeypatch.setattr(fold, "SPECIAL", {**fold.SPECIAL, "Boom": boom})
    mine = [
        call("Boom", {"query": "secret-of-erika"}),
        call("Boom", {"query": "secret-of-erika"}, userId="4711", anonymousId="ann"),
        call("Boom", {"query": "secret-of-erika"}, anonymousId="else", context={"traits": {"phone": "0660 12345 67"}}),
    ]
    shop.send(identify("4711", {"email": MAIL, "phone": "+436601234567"}), *mine)
    shop.send(call("Boom", {"quantity": 4711, "query": "of-bob"}, anonymousId="bob"))
    assert len(shop.dead()) == 4
    assert "secret-of-erika" in tables_of(shop)
    shop.clock.forward(minutes=1)
    erased(shop, "4711")
    assert [json.loads(each.payload)["anonymousId"] for each in shop.dead()] == ["bob"]
    assert "secret-of-erika" not in tables_of(shop)
    monkeypatch.undo()
    assert dead.retry(shop.rt) == 1
    shop.send(*({**each, "timestamp": at().isoformat()} for each in mine))
    assert [event.anonymous_id for event in shop.stored()] == ["bob"]
    assert "secret-of-erika" not in tables_of(shop)


@pytest.mark.parametrize("whole", [False, True])
def test_what_cannot_be_read_of_an_erased_person_is_not_set_aside(shop: Shop, whole: bool) -> None:
    """As of a newer version, or of one that was let in by an older collector."""
    shop.send(identify("u", {"email": MAIL}), call("Page Viewed", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    erased(shop, "u")
    texts = ['{"event": 7, "anonymousId": "ann", "properties": {"query": "secret"}}']
    texts += [f'{{"type": "track", "event": 7, "traits": {{"email": "{MAIL.upper()}", "note": "secret"}}}}']
    texts += ['{"event": 7, "anonymousId": "bob"}']
    header = wire.encode_header(Header(2 if whole else 1, shop.site.id, to_micros(shop.clock())))
    entry = f"[{','.join(texts)}]".encode()
    shop.rt.log.append([(partition_of("ann", shop.rt.log.partitions), header, entry)])
    shop.processor.drain()
    [kept] = shop.dead()
    if not whole:
        assert json.loads(kept.payload)["anonymousId"] == "bob"
    else:
        assert json.loads(base64.b64decode(json.loads(kept.payload)["events"])) == [json.loads(texts[2])]


def test_examples_of_names_are_none_of_the_erased(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Products Searched", {"query": "her own words"}), call("Products Searched", {"query": "mug"}))
    shop.processor.names.write()
    shop.send(call("Products Searched", {"query": "also hers"}))
    shop.send(call("Products Searched", {"query": "of bob"}, anonymousId="bob"))
    shop.clock.forward(minutes=1)
    erased(shop)
    assert "her own words" not in tables_of(shop)
    shop.clock.forward(minutes=1)
    shop.processor.names.write()  # what was noted before
    shop.send(call("Products Searched", {"query": "late words"}, timestamp=at()))
    shop.send(call("Products Searched", {"query": "kettle"}, anonymousId="bob"))
    shop.processor.names.write()
    with shop.rt.db.read() as connection:
        found = vocabularies.find(connection, shop.site.id, kind="property")
    assert [(name.name, known.examples) for name, known in found] == [("query", ["kettle"])]


def test_what_was_said_to_two_who_were_one_is_not_kept_by_the_other(each_shop: Shop) -> None:
    """Be it a name that they have no more; what was said before stays, and what tells nothing of anybody."""
    shop = each_shop
    texts = {"title": "For {{ name | default: 'you' }}", "body": "{{ event.name }}"}
    for name in ("Product Added", "Product Viewed", "Page Viewed"):
        shop.rule(popup_rule(name, message={"channels": ["popup"], "variants": [{"name": "A", "content": texts}]}))
    shop.send(identify("u", anonymousId="hers"), call("Page Viewed", userId="u", anonymousId="hers"))
    shop.send(identify("v", {"name": "Erika Unique", "note": "Page"}, anonymousId="bob"))
    u, v = (known_visitor(shop.site.id, each) for each in "uv")
    shop.clock.forward(minutes=1)
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    assert made is not None
    shop.send(call("Product Added", {"product_id": "p"}, userId="u"))
    shop.send(identify("v", {"name": "Somebody Else"}, anonymousId="bob"))
    shop.send(call("Product Viewed", {"product_id": "p"}, userId="u"))
    shop.clock.forward(minutes=1)
    said = {each.content["body"]: each.content["title"] for each in shop.messages()}
    assert said == {
        "Page Viewed": "For you",
        "Product Added": "For Erika Unique",
        "Product Viewed": "For Somebody Else",
    }
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    assert [(each.visitor_id, each.content["body"]) for each in shop.messages()] == [(u, "Page Viewed")]
    with shop.rt.db.read() as connection:
        root = visitors.load_profile(connection, u)
        assert root is not None
        assert v in root.refused
        assert merges.of_visitors(connection, [u])
    erased(shop, "v")
    told = tables_of(shop)
    assert "Erika Unique" not in told
    assert "Somebody Else" not in told
    assert v not in told
    assert shop.profile(user_id="u").counts == {
        "Identify": 1,
        "Page Viewed": 1,
        "Product Added": 1,
        "Product Viewed": 1,
    }


def test_erasing_one_leaves_alone_who_was_one_person_with_them_once(each_shop: Shop) -> None:
    """Of three who were one, the one in the middle was taken out: its own row once told of the first as its member."""
    shop = each_shop
    shop.send(call("Products Searched", {"query": "of the first"}, anonymousId="first"))
    shop.send(call("Page Viewed", anonymousId="second"), identify("u", anonymousId="third"))
    first, second = (anonymous_visitor(shop.site.id, each) for each in ("first", "second"))
    made = merge_visitors(shop.rt, shop.site, second, first, "tests").merge
    assert made is not None
    merge_visitors(shop.rt, shop.site, known_visitor(shop.site.id, "u"), second, "tests")
    unmerge(shop.rt, shop.site, first, made.id, "tests")
    shop.clock.forward(minutes=1)
    erased(shop, "u")
    assert shop.find("second") is None
    assert shop.profile("first").searches[0].query == "of the first"
    erased(shop, anonymous_id="first")
    assert "of the first" not in tables_of(shop)


def test_nothing_of_the_freed_is_left_with_whom_they_were_part_of(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Products Searched", {"query": "of the first"}, anonymousId="first"))
    shop.send(call("Page Viewed", anonymousId="second"), identify("u", anonymousId="third"))
    first, second = (anonymous_visitor(shop.site.id, each) for each in ("first", "second"))
    made = merge_visitors(shop.rt, shop.site, second, first, "tests").merge
    assert made is not None
    merge_visitors(shop.rt, shop.site, known_visitor(shop.site.id, "u"), second, "tests")
    unmerge(shop.rt, shop.site, first, made.id, "tests")
    erased(shop, anonymous_id="first")
    assert shop.find("second") is not None
    assert "of the first" not in tables_of(shop)


def test_what_a_rule_reported_for_one_of_two_who_were_one_tells_nothing_of_the_other(each_shop: Shop) -> None:
    shop = each_shop
    steps = [
        {"webhook": {"url": "https://hooks.shop.example/found"}},
        {"emit": {"event": "Search Noted", "properties": {"who": "{{ event.properties.query }}"}}},
        {"set_trait": {"searched": "{{ event.properties.query }}"}},
    ]
    document = popup_rule("Products Searched", steps=steps)
    del document["message"]
    shop.rule(document)
    shop.rule(popup_rule("Search Noted", delay="1h"))
    shop.send(call("Page Viewed", anonymousId="ann"), identify("u", anonymousId="ann"))
    u, ann = known_visitor(shop.site.id, "u"), anonymous_visitor(shop.site.id, "ann")
    shop.send(call("Products Searched", {"query": "of ann"}, anonymousId="ann"))
    assert shop.profile(user_id="u").traits == {"searched": "of ann"}
    with shop.rt.db.read() as connection:
        [made] = merges.of_visitors(connection, [u])
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    assert shop.profile("ann").traits == {"searched": "of ann"}
    assert shop.profile(user_id="u").traits == {}
    reported = [each for each in shop.stored() if "chimein" in each.context]
    assert [(each.name, each.anonymous_id, each.user_id) for each in reported] == [
        ("Search Noted", "ann", None),
        ("Identify", "ann", None),
    ]
    assert {(each.visitor_id, each.trigger.name) for each in shop.enrolments()} == {
        (ann, "Products Searched"),
        (ann, "Search Noted"),
    }
    erased(shop, "u")
    assert u not in tables_of(shop)
    assert "of ann" in tables_of(shop)
