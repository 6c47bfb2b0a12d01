"""Two visitors who are one person, and who turn out not to be: merged by the API, and taken apart again."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from backend.domain.fold import fold
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.profile import Profile, new_profile
from backend.domain.segment import parse_segment
from backend.domain.signature import user_hash
from backend.domain.site import Policy
from backend.errors import Conflict, Invalid, NotFound
from backend.pipeline.merge import Merged, merge_visitors, preview
from backend.pipeline.show import viewer, waiting
from backend.pipeline.unmerge import Unmerged, unmerge
from backend.storage import histories, merges, visitors
from backend.storage.merges import Merge
from backend.storage.segments import create_segment
from backend.storage.sites import update_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule, state_of

ADDED = {"product_id": "kettle", "price": 30}


def known(shop: Shop, user_id: str) -> str:
    return known_visitor(shop.site.id, user_id)


def browser(shop: Shop, anonymous_id: str) -> str:
    return anonymous_visitor(shop.site.id, anonymous_id)


def merge(shop: Shop, one: str, other: str) -> Merged:
    return merge_visitors(shop.rt, shop.site, one, other, "tests")


def journal(shop: Shop, visitor_id: str) -> list[Merge]:
    with shop.rt.db.read() as connection:
        found = visitors.load_profile(connection, visitor_id)
        assert found is not None
        return merges.list_merges(connection, visitors.members_of(found), 100)


def undo(shop: Shop, visitor_id: str, merge_id: str | None = None) -> Unmerged:
    """Takes back this merge, or the latest that the API made, or the latest."""
    stands = sorted(
        (each for each in journal(shop, visitor_id) if each.undone_at is None), key=lambda each: each.source
    )
    chosen = merge_id or stands[0].id
    return unmerge(shop.rt, shop.site, visitor_id, chosen, "tests")


def comparable(profile: Profile) -> Profile:
    """Without when an id was seen, the order of sets, and what only the engine keeps for itself."""
    seen: Any = sorted(
        (each.kind, each.value, each.source)
        if each.kind.endswith("_id")
        else (each.kind, each.value, each.source, each.first_seen.isoformat(), each.last_seen.isoformat())
        for each in profile.identifiers
    )
    return replace(
        profile,
        anonymous_ids=tuple(sorted(profile.anonymous_ids)),
        members=tuple(sorted(profile.members)),
        identifiers=tuple(seen),
        refused={},
        wake_at=None,
        woken_at=None,
        segments_at=None,
        stage_history=(),  # which has late events where they came
    )


def folded(shop: Shop, *ids: str) -> Profile:
    """What folding the events stored under these ids gives, in the order in which they came."""
    profile = replace(new_profile(ids[0], shop.site.id), members=ids[1:])
    with shop.rt.db.read() as connection:
        stored = [event for part in histories.whole(connection, ids, at(days=36_500)).values() for event in part]
    for event in sorted(stored, key=lambda each: each.order):
        profile = fold(profile, event)
    return profile


def test_two_known_people_become_one_by_the_api_and_two_again(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Viewed", ADDED), identify("u", {"plan": "free", "city": "Graz"}))
    shop.send(call("Product Added", ADDED, anonymousId="bob"), identify("v", {"plan": "paid"}, anonymousId="bob"))
    before = {name: shop.profile(user_id=name) for name in "uv"}
    told = preview(shop.rt, shop.site, known(shop, "u"), known(shop, "v"))
    assert shop.profile(user_id="v") == before["v"], "a preview changes nothing"
    assert journal(shop, known(shop, "u"))[0].source == "identify"
    done = merge(shop, known(shop, "u"), browser(shop, "bob"))
    assert replace(done.profile, wake_at=None) == replace(told.profile, wake_at=None)
    assert {(each.field, each.kept, each.dropped) for each in done.differences} == {
        ("user_id", "u", "v"),
        ("traits.plan", "free", "paid"),
    }
    shop.wait(seconds=1)
    one = shop.profile(user_id="v")
    assert (one.user_id, one.counts["Identify"], one.cart.total) == ("u", 2, 30)
    assert one == shop.profile("bob") == shop.profile("ann") == shop.profile(user_id="u")
    assert {each.value for each in one.identifiers if each.kind == "user_id"} == {"u", "v"}
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", userId="v"), call("Page Viewed"), call("Page Viewed", anonymousId="bob"))
    shop.send(identify("v", anonymousId="cid"), call("Page Viewed", anonymousId="cid"))
    assert shop.profile(user_id="u").counts["Page Viewed"] == 4
    freed = undo(shop, known(shop, "u"))
    shop.wait(seconds=1)
    u, v = shop.profile(user_id="u"), shop.profile(user_id="v")
    assert freed.freed is not None
    assert (u.user_id, v.user_id) == ("u", "v")
    assert (u.counts["Page Viewed"], v.counts["Page Viewed"]) == (1, 3)
    assert (u.traits, v.traits) == ({"plan": "free", "city": "Graz"}, {"plan": "paid"})
    assert shop.profile("cid").id == v.id, "who signed in as v meanwhile is v"
    assert shop.profile("bob").id == v.id
    assert (u.stage_history, v.stage_history) == (before["u"].stage_history, before["v"].stage_history)
    for each in (u, v):
        again = replace(folded(shop, each.id, *each.members), person=each.person, stage_history=each.stage_history)
        assert comparable(each) == comparable(again)
    last = next(each for each in journal(shop, v.id) if each.source == "api")
    assert (last.author, last.undone_by, last.undone_at is not None) == ("tests", "tests", True)


def test_what_cannot_be_merged_or_undone_is_told(shop: Shop) -> None:
    shop.send(identify("u"), identify("v", anonymousId="bob"))
    u, v = known(shop, "u"), known(shop, "v")
    with pytest.raises(NotFound):
        merge(shop, "0" * 32, v)
    with pytest.raises(Invalid):
        merge(shop, u, "0" * 32)
    with pytest.raises(Conflict):
        merge(shop, u, browser(shop, "ann"))
    merge(shop, u, v)
    with pytest.raises(Conflict):
        preview(shop.rt, shop.site, v, u)
    with pytest.raises(NotFound):
        undo(shop, u, "0" * 32)
    made = next(each for each in journal(shop, u) if each.source == "api")
    undo(shop, v, made.id)
    for side in (u, v):
        with pytest.raises(Conflict):
            undo(shop, side, made.id)


def test_a_browser_that_was_taken_out_is_not_merged_again_by_its_next_identify(each_shop: Shop) -> None:
    shop = each_shop
    first = identify("u")
    shop.send(call("Page Viewed"), first)
    u, ann = known(shop, "u"), browser(shop, "ann")
    shop.clock.forward(minutes=1)
    undo(shop, u)
    assert shop.profile("ann").id == ann
    signed = {"userHash": user_hash(shop.site.secret_key, "u")}
    late = identify("u", context=signed, timestamp=shop.clock.now.isoformat())
    shop.clock.forward(minutes=1)
    shop.send(first, identify("u"), call("Page Viewed", anonymousId="ann", userId="u"), late)
    shop.send({"type": "alias", "userId": "u", "previousId": "ann"}, call("Page Viewed"))
    assert shop.profile("ann").counts == {"Page Viewed": 2}, "its own, and no more"
    assert shop.profile(user_id="u").counts == {"Identify": 3, "Page Viewed": 1, "Alias": 1}
    shop.clock.forward(minutes=1)
    shop.send(identify("u", context=signed))
    assert shop.profile("ann").id == u, "it was signed anew"
    assert [each.source for each in journal(shop, u)] == ["signed", "identify"]
    assert any(each.source == "signed" and each.verified_at for each in shop.profile("ann").identifiers)
    undo(shop, u)
    merge(shop, ann, u)
    assert shop.profile("ann").id == u, "or somebody says so"
    assert shop.profile("ann").refused == {}


def test_another_person_may_sign_in_on_a_browser_that_was_taken_out(shop: Shop) -> None:
    shop.send(call("Page Viewed"), identify("u"))
    undo(shop, known(shop, "u"))
    shop.clock.forward(minutes=1)
    shop.send(identify("v"))
    assert shop.profile("ann").user_id == "v"
    assert shop.profile(user_id="u").members == ()


def test_of_two_browsers_and_a_person_each_goes_where_they_belong(each_shop: Shop) -> None:
    """Two browsers are merged by hand, then one signs in: all three are one, and the links come apart in any order."""
    shop = each_shop
    shop.send(call("Page Viewed"), call("Product Viewed", ADDED, anonymousId="bob"))
    ann, bob, u = browser(shop, "ann"), browser(shop, "bob"), known(shop, "u")
    by_hand = merge(shop, ann, bob).merge
    assert by_hand is not None
    shop.clock.forward(minutes=1)
    shop.send(identify("u"), call("Page Viewed", anonymousId="bob"))
    one = shop.profile(user_id="u")
    assert set(one.members) == {ann, bob}
    assert one.counts == {"Page Viewed": 2, "Product Viewed": 1, "Identify": 1}
    assert shop.profile("bob") == shop.profile("ann") == one
    undo(shop, bob, by_hand.id)
    assert shop.profile("bob").counts == {"Product Viewed": 1, "Page Viewed": 1}
    assert shop.profile(user_id="u").counts == {"Page Viewed": 1, "Identify": 1}
    assert shop.profile("ann").id == u
    merge(shop, bob, u)
    assert shop.profile("bob").id == u, "the known one stays"
    undo(shop, u, next(each.id for each in journal(shop, u) if each.source == "identify"))
    assert shop.profile("ann").id == ann
    assert shop.profile("bob").id == u


RULE: Mapping[str, Any] = {"delay": "30m"}


@pytest.mark.parametrize("way", ["identify", "api"])
def test_whoever_waits_in_a_rule_twice_is_told_once(each_shop: Shop, way: str) -> None:
    shop = each_shop
    shop.rule(popup_rule(**RULE))
    shop.send(identify("u"))
    shop.send(call("Product Added", ADDED, userId="u"), call("Product Added", ADDED, anonymousId="bob"))
    shop.clock.forward(minutes=10)
    if way == "identify":
        shop.send(identify("u", anonymousId="bob"))
    else:
        told = preview(shop.rt, shop.site, known(shop, "u"), browser(shop, "bob"))
        assert [each.field.split(".")[0] for each in told.differences] == ["enrolments"]
        merge(shop, known(shop, "u"), browser(shop, "bob"))
        shop.wait(seconds=1)
    shop.wait(minutes=30)
    assert sorted(map(str, shop.outcomes(user_id="u"))) == ["('sent', None)", "('skipped', 'merged')"]
    assert len(shop.messages()) == 1


def test_whoever_was_told_is_not_told_again_for_the_other_id(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule(**RULE))
    shop.send(call("Product Added", ADDED))
    shop.wait(minutes=31)
    assert len(shop.messages()) == 1
    shop.send(call("Product Added", ADDED, anonymousId="bob"), identify("u"))
    shop.send(identify("u", anonymousId="bob"))
    shop.wait(minutes=31)
    assert len(shop.messages()) == 1
    shop.send(call("Product Added", ADDED, userId="u"))
    shop.wait(minutes=31)
    assert len(shop.messages()) == 1


def test_two_messages_that_wait_for_one_person_are_shown_once(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    shop.rule(popup_rule("Ping", name="Every", reentry={"policy": "every"}))
    for name in ("ann", "bob"):
        shop.send(call("Product Added", ADDED, anonymousId=name), call("Ping", anonymousId=name))
        shop.clock.forward(minutes=1)
    shop.send(identify("u"), identify("u", anonymousId="bob"))
    assert len(shop.messages()) == 4, "two had been said by then"
    who = viewer(shop.site, "bob", "u", user_hash(shop.site.secret_key, "u"))
    waits = waiting(shop.rt, shop.processor.rulesets, who)
    assert sorted(each.anonymous_id or "" for each in waits) == ["ann", "ann", "bob"]
    assert [(each.status, each.reason) for each in shop.messages()].count(("skipped", "merged")) == 1


def test_a_rule_for_every_time_goes_on_for_both_if_they_do_not_overlap(shop: Shop) -> None:
    shop.rule(popup_rule(reentry={"policy": "every"}, **RULE))
    shop.send(call("Product Added", ADDED, anonymousId="bob"))
    shop.wait(minutes=31)
    shop.send(call("Product Added", ADDED), identify("u"), identify("u", anonymousId="bob"))
    shop.wait(minutes=31)
    assert len(shop.messages()) == 2


def test_what_was_said_and_waits_goes_back_to_whom_it_belongs(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    shop.rule(popup_rule("Ask", name="Later", delay="2h", reentry={"policy": "every"}))
    shop.rule(popup_rule("Page Viewed", name="Page"))
    shop.send(call("Product Added", ADDED), call("Ask"))
    shop.send(identify("u", anonymousId="bob"), call("Page Viewed", userId="u"))
    made = merge(shop, known(shop, "u"), browser(shop, "ann")).merge
    assert made is not None
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed"))
    assert len(shop.profile("ann").contacts) == 2, "the rule about pages has spoken to this person before"
    shop.rule(popup_rule("Ping", name="Ping"))
    shop.send(call("Ping"))
    assert shop.messages()[-1].visitor_id == known(shop, "u")
    undo(shop, known(shop, "u"), made.id)
    u, ann = shop.profile(user_id="u"), shop.profile("ann")
    by_rule = {each.id: each for each in shop.enrolments("ann")}
    assert {each.visitor_id for each in by_rule.values()} == {ann.id}
    assert sorted(str(each.outcome) for each in by_rule.values()) == ["None", "sent", "sent"]
    mine = {each.id for each in shop.messages() if each.visitor_id == ann.id}
    assert {each.message_id for each in ann.contacts} == mine
    assert len(mine) == 2
    assert [each.outcome for each in shop.enrolments(user_id="u")] == ["sent"]
    assert [each.rule_id for each in u.exposures] == [shop.enrolments(user_id="u")[0].rule_id]
    assert {each.rule_id for each in ann.exposures} == {each.rule_id for each in by_rule.values() if each.outcome}
    shop.wait(hours=2)
    assert ("sent", None) in shop.outcomes("ann")
    assert len(shop.messages()) == 4
    shop.send(call("Page Viewed"))
    assert len(shop.messages()) == 5, "the rule about pages has not spoken to this browser"


def test_numbers_are_those_of_two_again(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule(reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED), identify("u", anonymousId="bob"))
    shop.send(call("Product Added", ADDED, userId="u"))
    before = state_of(shop.rt)["tallies"]
    made = merge(shop, known(shop, "u"), browser(shop, "ann")).merge
    assert made is not None
    assert state_of(shop.rt)["tallies"] != before, "one person less"
    undo(shop, known(shop, "u"), made.id)
    assert state_of(shop.rt)["tallies"] == before


def test_caps_count_what_was_said_to_either(shop: Shop) -> None:
    capped = Policy(caps=({"count": 1, "within": "1d"},))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, replace(shop.site, policy=capped))
    shop.rule(popup_rule("Ping", name="One"))
    shop.rule(popup_rule("Pong", name="Two", reentry={"policy": "every"}))
    shop.send(call("Ping"), identify("u", anonymousId="bob"))
    made = merge(shop, known(shop, "u"), browser(shop, "ann")).merge
    assert made is not None
    shop.send(call("Pong", userId="u"))
    assert len(shop.messages()) == 1, "this person was told something today"
    undo(shop, known(shop, "u"), made.id)
    shop.send(call("Pong"), call("Pong", userId="u"))
    assert {each.visitor_id for each in shop.messages()} == {browser(shop, "ann"), known(shop, "u")}


def test_segments_are_asked_anew_of_who_is_one_and_of_who_is_two(each_shop: Shop) -> None:
    shop = each_shop
    viewed = {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}}
    with shop.rt.db.begin() as connection:
        twice = create_segment(
            connection, shop.site.id, parse_segment({"name": "Viewed twice", "condition": viewed}), shop.clock()
        ).id
    shop.send(call("Product Viewed", ADDED), identify("u", anonymousId="bob"))
    shop.send(call("Product Viewed", ADDED, userId="u"))
    assert not shop.profile(user_id="u").is_in(twice)
    made = merge(shop, known(shop, "u"), browser(shop, "ann")).merge
    assert made is not None
    shop.wait(seconds=1)
    assert shop.profile(user_id="u").is_in(twice)
    rows = state_of(shop.rt)["segment_members"]
    assert [row[0] for row in rows] == [known(shop, "u")]
    undo(shop, known(shop, "u"), made.id)
    shop.wait(seconds=1)
    assert not shop.profile(user_id="u").is_in(twice)
    assert not shop.profile("ann").is_in(twice)
    assert state_of(shop.rt)["segment_members"] == []


def test_a_batch_that_is_folded_at_the_same_moment_loses_nothing(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("u"), identify("v", anonymousId="bob"))
    u, v = known(shop, "u"), known(shop, "v")
    failures: list[BaseException] = []

    def merge_and_undo() -> None:
        try:
            for _ in range(8):
                made = merge(shop, u, v).merge
                assert made is not None
                undo(shop, v, made.id)
        except BaseException as error:
            failures.append(error)

    beside = threading.Thread(target=merge_and_undo)
    beside.start()
    sent = 0
    while beside.is_alive() or sent < 40:
        shop.put(call("Page Viewed"), call("Page Viewed", anonymousId="bob"), call("Ping", userId="v"))
        sent += 1
        try:
            shop.processor.drain()
        except Exception as error:
            if "deadlock" not in str(error):
                raise
            shop.processor.reload()  # as its loop does
        if sent > 400:
            break
    beside.join()
    shop.processor.drain()
    assert failures == []
    assert shop.profile("ann").counts == {"Identify": 1, "Page Viewed": sent}
    assert shop.profile("bob").counts == {"Identify": 1, "Page Viewed": sent, "Ping": sent}
    assert (shop.profile("ann").id, shop.profile("bob").id) == (u, v)
