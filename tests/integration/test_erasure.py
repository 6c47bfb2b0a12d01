"""Whoever is erased stays erased: nothing of theirs is left, and nothing late brings them back."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.unsubscribe import Subscription
from backend.pipeline import access, dead
from backend.pipeline.access import Reader
from backend.pipeline.erase import PAUSE, erase, scrub
from backend.pipeline.subscribe import unsubscribe
from backend.storage import tombstones, unsubscribes
from backend.storage.dead import DeadEvent, add
from backend.storage.tables import PER_VISITOR, metadata
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule

WHO: Reader = ("desk", "administrator")
MAIL, PHONE, NAME = "erika.musterfrau@example.org", "+436601234567", "Erika-Musterfrau-Unique"
VALUES = ("browser-one-of-erika", "browser-two-of-erika", "user-erika-4711", MAIL, PHONE, NAME, "unique-search-text")
HELLO = {
    "channels": ["email", "popup"],
    "variants": [{"name": "A", "content": {"title": "t", "body": "{{ name }}", "subject": "s"}}],
}


def erased(shop: Shop, user_id: str | None = None, anonymous_id: str = "") -> bool:
    site = shop.site.id
    visitor_id = known_visitor(site, user_id) if user_id else anonymous_visitor(site, anonymous_id)
    return erase(shop.rt, site, visitor_id, WHO)


def erika(timestamp: datetime | None = None) -> list[dict[str, Any]]:
    """What she does: on two browsers, known and unknown."""
    one, two, user = VALUES[:3]
    done = [
        call("Products Searched", {"query": "unique-search-text"}, anonymousId=one),
        call("Form Field Filled", {"field": "email", "value": MAIL}, anonymousId=one),
        identify(user, {"email": MAIL, "phone": PHONE, "name": NAME}, anonymousId=one),
        call("Product Added", {"product_id": "p", "price": 3}, anonymousId=two),
        identify(user, anonymousId=two),
        call("Page Viewed", anonymousId=two, userId=user),
    ]
    return [each | ({"timestamp": timestamp.isoformat()} if timestamp else {}) for each in done]


def tables_of(shop: Shop) -> str:
    """Every value of every row of the database."""
    with shop.rt.db.read() as connection:
        rows = [
            tuple(row) for table in metadata.sorted_tables for row in connection.execute(sqlalchemy.select(table)).all()
        ]
    return repr(rows)


def redis_of(shop: Shop) -> bytes:
    """Everything that Redis holds, as it is serialised: what was trimmed and still lies there too."""
    found: list[bytes] = []
    for key in shop.rt.redis.scan_iter():
        kind = shop.rt.redis.type(key)
        found.append(key)
        if kind == b"stream":
            found.append(repr(shop.rt.redis.xrange(key)).encode())
        elif kind == b"hash":
            found.append(repr(shop.rt.redis.hgetall(key)).encode())
        elif kind == b"list":
            found.append(repr(shop.rt.redis.lrange(key, 0, -1)).encode())
        # DUMP compresses: uncompressed only what is short; the commands above read the rest.
        found.append(shop.rt.redis.dump(key) or b"")
    return b"\n".join(found)


def assert_gone(shop: Shop, values: tuple[str, ...] = VALUES) -> None:
    """None of these values is anywhere."""
    site = shop.site.id
    ids = [anonymous_visitor(site, values[0]), anonymous_visitor(site, values[1]), known_visitor(site, values[2])]
    told, held = tables_of(shop), redis_of(shop)
    for value in (*values, *ids):
        assert value not in told
        assert value.encode() not in held
    if shop.rt.db.dialect == "sqlite":
        path = Path(str(shop.rt.db.engine.url.database))
        for file in path.parent.glob(path.name + "*"):
            content = file.read_bytes()
            for value in (*values, *ids):
                assert value.encode() not in content, f"{value} is in {file.name}"


def trim(shop: Shop) -> None:
    """What the processor does every five seconds, once everything is ten seconds old."""
    for partition, offset in shop.processor.offsets.items():
        shop.rt.log.trim(partition, offset.partition("-")[0] + "-" + str(int(offset.partition("-")[2]) + 1))


def test_nothing_of_an_erased_person_is_left_in_the_database_its_files_or_redis(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("Product Added", message=HELLO, delay="1h"))
    shop.rule(popup_rule("Page Viewed"))
    shop.send(call("Page Viewed", anonymousId="bob"))
    shop.send(*erika())
    for number in range(30):  # so that earlier versions of the row lie about in the file
        shop.send(identify("user-erika-4711", {"note": f"{NAME} {number}", "pad": "x" * number * 150}))
    unsubscribe(shop.rt, Subscription.email(shop.site.id, MAIL.upper()))
    shop.processor.drain()
    lone = json.dumps({"type": "track", "event": "E", "anonymousId": "browser-one-of-erika", "messageId": "dead"})
    other = json.dumps({"type": "track", "event": "E", "anonymousId": "bob", "messageId": "dead"})
    with shop.rt.db.begin() as connection:
        for index, payload in enumerate((lone, other, "{broken " + MAIL)):
            add(connection, [DeadEvent(f"d{index}", shop.site.id, 0, "1-1", "why", payload, shop.clock())])
    access.note(shop.rt, shop.site.id, WHO, "read", [known_visitor(shop.site.id, "user-erika-4711")])
    assert MAIL in tables_of(shop)
    assert erased(shop, "user-erika-4711")
    trim(shop)
    access.bring_in(shop.rt)  # the tick does, every second
    shop.rt.db.scrub(1)
    assert_gone(shop)
    assert [each.id for each in shop.dead()] == ["d1"], "the neighbours stay"
    assert [event.anonymous_id for event in shop.stored()] == ["bob"]
    assert not erased(shop, "user-erika-4711"), "there is none any more"


def test_an_erasure_does_not_wait_for_notes_about_others_and_those_about_it_name_nobody(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*erika())
    person = known_visitor(shop.site.id, "user-erika-4711")
    access.note(shop.rt, shop.site.id, WHO, "read", [person])
    with shop.rt.redis.lock("chimein:access:lock", timeout=30):  # somebody has very many to bring in
        assert erased(shop, "user-erika-4711")
    assert access.bring_in(shop.rt) == 1
    told = tables_of(shop)
    assert person not in told
    assert shop.rt.sites.vault.tombstone(shop.site.id, "visitor", person) in told


def test_every_table_about_visitors_is_emptied(each_shop: Shop) -> None:
    shop = each_shop
    assert {table.name for table in PER_VISITOR} >= {
        "visitors",
        "events",
        "enrolments",
        "messages",
        "webhooks",
        "merges",
    }
    shop.send(*erika())
    assert erased(shop, anonymous_id="browser-one-of-erika"), "any of their ids leads to them"
    with shop.rt.db.read() as connection:
        for table in PER_VISITOR:
            assert connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)) == 0, table.name


def test_what_is_late_in_any_way_brings_nobody_back(each_shop: Shop) -> None:
    shop = each_shop
    first = erika()
    shop.send(*first)
    shop.put(call("Page Viewed", anonymousId="browser-one-of-erika"))  # accepted, not processed
    shop.put(*first)  # and the same again
    shop.clock.forward(minutes=1)
    assert erased(shop, "user-erika-4711")
    shop.processor.drain()
    assert shop.stored() == []
    shop.clock.forward(minutes=1)
    late = at(seconds=-30)
    shop.send(*first)
    shop.send(*erika(timestamp=late))
    shop.send(
        call("Page Viewed", anonymousId="browser-one-of-erika"),  # it never heard of the erasure and goes on
        call("Order Completed", {"total": 3}, userId="user-erika-4711"),
        identify("user-erika-4711", timestamp=late.isoformat()),
        identify("somebody-new", anonymousId="browser-two-of-erika", timestamp=late.isoformat()),
        {
            "type": "alias",
            "userId": "somebody-new",
            "previousId": "browser-one-of-erika",
            "timestamp": late.isoformat(),
        },
        call(
            "Form Field Filled", {"field": "E-Mail", "value": f" {MAIL.upper()} "}, anonymousId="other", timestamp=late
        ),
        {"type": "identify", "anonymousId": "another", "traits": {"email": MAIL}, "timestamp": late.isoformat()},
        call("Page Viewed", anonymousId="another", context={"traits": {"phone": "+43 660 1234567"}}, timestamp=late),
        {"type": "group", "groupId": "g", "anonymousId": "browser-one-of-erika"},
    )
    assert shop.stored() == []
    assert shop.dead() == []
    with shop.rt.db.read() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM visitors")) == 0
        assert connection.scalar(sqlalchemy.text("SELECT sum(number) FROM withheld WHERE reason = 'erased'")) > 20
    trim(shop)
    shop.rt.db.scrub(1)
    assert_gone(shop)


def test_a_retry_of_an_identify_without_a_time_of_its_own_does_not_pass_for_a_return(shop: Shop) -> None:
    who = identify("u", messageId="who-it-is")
    shop.send(who)
    shop.clock.forward(minutes=1)
    assert erased(shop, "u")
    shop.clock.forward(minutes=1)
    shop.send(who)
    assert shop.find(user_id="u") is None


def test_who_comes_back_of_their_own_accord_is_somebody_new(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*erika())
    shop.clock.forward(minutes=1)
    assert erased(shop, "user-erika-4711")
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", anonymousId="fresh-browser"))
    assert shop.profile("fresh-browser").counts == {"Page Viewed": 1}
    shop.send(identify("user-erika-4711", {"email": MAIL}, anonymousId="browser-one-of-erika"))
    shop.send(call("Page Viewed", anonymousId="browser-one-of-erika"))
    again = shop.profile(user_id="user-erika-4711")
    assert again == shop.profile("browser-one-of-erika")
    assert again.counts == {"Identify": 1, "Page Viewed": 1}
    assert again.first_seen == shop.clock()
    late = at(seconds=10)
    shop.send(
        call("Old", userId="user-erika-4711", timestamp=late),
        call("Old", anonymousId="browser-one-of-erika", timestamp=late),
    )
    shop.send(call("Page Viewed", anonymousId="browser-two-of-erika"))
    assert "Old" not in shop.profile(user_id="user-erika-4711").counts, "what was before stays erased"
    assert shop.find("browser-two-of-erika") is None, "a browser that nobody named stays erased"
    assert erased(shop, "user-erika-4711"), "and they can be erased again"
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", anonymousId="browser-one-of-erika"))
    assert shop.find("browser-one-of-erika") is None


def test_an_unsigned_identify_brings_nobody_back_where_the_site_asks_for_signatures(shop: Shop) -> None:
    from backend.domain.signature import user_hash
    from backend.domain.site import Policy
    from backend.storage.sites import update_site

    strict = replace(shop.site, policy=Policy(require_signature=True))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, strict)
    shop.rt.sites.forget()
    signed = {"userHash": user_hash(strict.secret_key, "u")}
    shop.send(identify("u", context=signed))
    assert erased(shop, "u")
    shop.clock.forward(minutes=1)
    shop.send(identify("u", anonymousId="stranger"), identify("u", context={"userHash": "0" * 64}))
    assert shop.find(user_id="u") is None
    shop.send(identify("u", context=signed))
    assert shop.find(user_id="u") is not None


def test_the_second_person_on_a_shared_device_loses_nothing(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("first", anonymousId="shared"), call("Page Viewed", anonymousId="shared"))
    shop.send(identify("second", anonymousId="shared"), call("Page Viewed", anonymousId="shared", userId="second"))
    shop.clock.forward(minutes=1)
    assert erased(shop, "first")
    shop.clock.forward(minutes=1)
    shop.send(
        call("Page Viewed", anonymousId="shared", userId="second", timestamp=at(seconds=30)),
        call("Page Viewed", anonymousId="shared", userId="second"),
        call("Page Viewed", anonymousId="shared"),
    )
    assert shop.profile(user_id="second").counts == {"Identify": 1, "Page Viewed": 3}
    assert shop.find(user_id="first") is None
    assert erased(shop, "second")
    shop.send(identify("third", anonymousId="fresh"))
    assert shop.profile(user_id="third").counts == {"Identify": 1}


def test_erasing_one_who_used_a_browser_of_somebody_else_leaves_that_one_alone(shop: Shop) -> None:
    shop.send(identify("first", anonymousId="shared"))
    shop.send(identify("second", anonymousId="shared"))
    assert erased(shop, "second")
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", anonymousId="shared"))
    assert shop.profile(user_id="first").counts == {"Identify": 1, "Page Viewed": 1}


def test_events_set_aside_and_signals_bring_nobody_back(shop: Shop) -> None:
    from backend.pipeline.signals import send_signals

    shop.send(*erika())
    profile = shop.profile(user_id="user-erika-4711")
    shop.clock.forward(minutes=1)
    payload = json.dumps({"type": "track", "event": "E", "anonymousId": "browser-one-of-erika", "messageId": "d"})
    assert erased(shop, "user-erika-4711")
    with shop.rt.db.begin() as connection:  # as if a worker had set it aside at the same moment
        add(connection, [DeadEvent("d", shop.site.id, 0, "1-1", "why", payload, shop.clock())])
    assert dead.retry(shop.rt) == 1
    send_signals(shop.rt, shop.site.id, "Segment Member Added", None, [(profile, "m", {"segment_id": "s"})])
    shop.processor.drain()
    assert shop.find(user_id="user-erika-4711") is None
    assert shop.find("browser-one-of-erika") is None


def test_a_poisonous_event_of_an_erased_person_is_not_even_set_aside(shop: Shop) -> None:
    shop.send(call("E"))
    assert erased(shop, anonymous_id="ann")
    shop.put(call("E"), call("E", anonymousId="bob"))
    shop.processor.drain()
    assert shop.dead() == []
    assert shop.profile("bob").counts == {"E": 1}


def test_what_was_queued_is_not_sent_and_the_page_is_told(shop: Shop) -> None:
    from backend.storage import deliveries

    shop.rule(popup_rule("Page Viewed"))
    shop.rule(popup_rule("Identify", message={**HELLO, "channels": ["email"]}))
    shop.send(identify("u", {"email": MAIL, "name": NAME}), call("Page Viewed"))
    assert [each.status for each in shop.messages()] == ["queued", "queued"]
    mail = next(each for each in shop.messages() if each.channel == "email")
    subscription = shop.rt.live.subscribe([known_visitor(shop.site.id, "u")])
    while shop.rt.redis.pubsub_numpat() == 0:
        pass
    assert erased(shop, "u")
    note = subscription.next(5)
    assert note is not None
    assert note["event"] == "revoke"
    with shop.rt.db.begin() as connection:
        assert deliveries.claim(connection, (mail.visitor_id, mail.id), shop.clock(), ["email"]) is None
    assert shop.messages() == []


def test_the_wish_not_to_be_written_to_outlives_the_address(each_shop: Shop) -> None:
    shop = each_shop
    mine = Subscription.email(shop.site.id, MAIL)
    shop.send(*erika())
    unsubscribe(shop.rt, mine)
    shop.processor.drain()
    assert erased(shop, "user-erika-4711")
    with shop.rt.db.read() as connection:
        assert unsubscribes.reason(connection, mine) is None, "the address itself is gone"
        assert unsubscribes.reason(connection, mine, shop.rt.sites.vault) == unsubscribes.WISH
    shop.clock.forward(minutes=1)
    unsubscribe(shop.rt, mine)  # by the link of an old mail
    assert MAIL not in tables_of(shop)
    with shop.rt.db.begin() as connection:
        assert unsubscribes.remove(connection, mine, shop.rt.sites.vault)
        assert unsubscribes.reason(connection, mine, shop.rt.sites.vault) is None


@pytest.mark.parametrize("round_", range(4))
def test_erasing_while_events_are_folded_leaves_all_or_nothing(each_shop: Shop, round_: int) -> None:
    shop = each_shop
    shop.send(*erika())
    stop = threading.Event()

    def pour() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shop.put(
                call("Page Viewed", anonymousId="browser-one-of-erika", timestamp=at()),
                call("Page Viewed", anonymousId="browser-two-of-erika", timestamp=at()),
                call("Page Viewed", anonymousId=f"linked{number}", timestamp=at()),
                identify("user-erika-4711", anonymousId=f"linked{number}", timestamp=at().isoformat()),
                call("Page Viewed", userId="user-erika-4711", anonymousId=f"unlinked{number}", timestamp=at()),
            )
            shop.processor.drain()

    with ThreadPoolExecutor(1) as pool:
        pouring = pool.submit(pour)
        threading.Event().wait(0.05 * (1 + round_))
        assert erased(shop, "user-erika-4711")
        threading.Event().wait(0.1)
        stop.set()
        pouring.result()
    shop.processor.drain()
    told = tables_of(shop)
    assert "user-erika-4711" not in told
    assert "browser-one-of-erika" not in told
    assert known_visitor(shop.site.id, "user-erika-4711") not in told


def test_scrubbing_waits_for_the_log_and_says_when_it_is_done(each_shop: Shop) -> None:
    shop = each_shop
    assert scrub(shop.rt), "nothing to do"
    shop.send(*erika())
    shop.clock.now = datetime.now(UTC)
    assert erased(shop, "user-erika-4711")
    assert not scrub(shop.rt), "too early"
    shop.clock.now += PAUSE
    assert not scrub(shop.rt), "it still lies in the log"
    trim(shop)
    for _ in range(50):
        if scrub(shop.rt):
            break
        threading.Event().wait(0.2)  # Redis writes its file anew already
    with shop.rt.db.read() as connection:
        number, _, scrubbed = tombstones.numbers(connection, shop.site.id)
    assert (number, scrubbed) == (1, True)
    assert_gone(shop)


def test_the_erased_of_one_site_are_nobody_to_another(shop: Shop) -> None:
    with shop.rt.db.begin() as connection:
        names = [("anonymous", "ann")]
        tombstones.add(connection, shop.rt.sites.vault, "another-site", names, at(days=1))
        assert tombstones.find(connection, shop.rt.sites.vault, {shop.site.id: names}) == {shop.site.id: {}}
    shop.send(call("Page Viewed"))
    assert shop.profile("ann").counts == {"Page Viewed": 1}


def test_a_visitor_of_ten_thousand_events_goes_in_one_short_transaction(each_shop: Shop) -> None:
    shop = each_shop
    for start in range(0, 10_000, 2_000):
        shop.send(
            *(
                call("Page Viewed", {"n": n}, messageId=f"m{n}", timestamp=at(seconds=-n))
                for n in range(start, start + 2_000)
            )
        )
    assert erased(shop, anonymous_id="ann")
    assert shop.stored() == []


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


@pytest.mark.parametrize("dice", range(12), indirect=True)
def test_whatever_happens_in_whatever_order_the_erased_stay_away(shop: Shop, dice: random.Random) -> None:
    """Random lives on shared devices, with repetitions and reordering; a model says who may be known at the end."""
    users, browsers = ["ua", "ub", "uc"], ["b1", "b2", "b3", "b4"]
    history: list[dict[str, Any]] = []
    erasures: dict[str, Any] = {}
    for step in range(60):
        now = shop.clock.forward(seconds=dice.choice([1, 30])).isoformat()
        user, browser = dice.choice(users), dice.choice(browsers)
        mail = {"email": f"{user}@example.org"}
        calls = {
            "page": call("Page Viewed", {"step": step}, anonymousId=browser, timestamp=now),
            "identify": identify(user, mail, anonymousId=browser, timestamp=now),
            "alias": {
                "type": "alias",
                "messageId": f"a{step}",
                "userId": user,
                "previousId": browser,
                "timestamp": now,
            },
            "mail": call(
                "Form Field Filled", {"field": "email", "value": mail["email"]}, anonymousId=browser, timestamp=now
            ),
            "backend": call("Order Completed", {"total": 1, "order_id": step}, userId=user, timestamp=now),
        }
        kind = dice.choice([*calls, "page", "retry", "late", "erase"])
        if kind == "erase":
            if shop.find(user_id=user) is not None:
                assert erased(shop, user)
                erasures[user] = shop.clock()
            continue
        sent = [calls[kind] | {"timestamp": now}] if kind in calls else dice.sample(history, min(len(history), 5))
        history.extend(sent if kind in calls else ())
        shop.put(*dice.sample(sent, len(sent)))
        if kind != "late" and dice.random() > 0.2:
            shop.processor.drain()
    shop.processor.drain()
    shop.send(*dice.sample(history, len(history)))
    for user, moment in erasures.items():
        profile = shop.find(user_id=user)
        stored = [event for event in shop.stored() if event.user_id == user]
        assert all(event.timestamp > moment for event in stored), "nothing from before the erasure"
        if profile is not None:
            assert any(event.type in ("identify", "alias") for event in stored), "they came back of their own accord"
            assert profile.user_id == user
    for event in shop.stored():
        assert shop.find(event.anonymous_id, user_id=event.user_id) is not None, "no event without its visitor"
