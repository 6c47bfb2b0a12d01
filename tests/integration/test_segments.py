"""Segments by the real log, database and API: kept up to date by events and by time, built for who came before."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from backend.domain.engine import Ruleset, Segments, advance
from backend.domain.mistakes import RuleErrors
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Rule, parse_rule
from backend.pipeline import regroup
from backend.pipeline.simulate import simulate
from backend.pipeline.sweep import Sweeper
from backend.storage import histories as stored_histories
from backend.storage import rules, segments, visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import START, Shop, at, call, identify, popup_rule
from tests.integration.test_simulate_live import FEW, MINUTE, SPAN, Told, by_minute, histories
from tests.integration.test_simulate_live import shops as shops

BOUGHT = {"performed": "Order Completed", "within": "30d"}
AWAY = {"field": "profile.last_seen", "op": "before", "value": {"ago": "7d"}}


def ask(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    """The API's answer to an administrator."""
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body)
    return shop.client.open(f"/api/v1/sites/{shop.site.id}{path}", method=method, data=data, headers=headers)


def good(answer: Any) -> Any:
    assert answer.status_code in {200, 201, 202, 204}, answer.text
    return answer.json if answer.data else None


def make(shop: Shop, name: str, condition: Any = None) -> str:
    """The id of a new segment; without condition it is kept by hand."""
    told = {"manual": True} if condition is None else {"condition": condition}
    return str(good(ask(shop, "POST", "/segments", {"name": name, **told}))["id"])


def build(shop: Shop) -> None:
    """Time passes until everybody has been asked about what is new."""
    sweeper = Sweeper(shop.rt)
    sweeper.run()
    shop.clock.forward(seconds=regroup.SETTLE.total_seconds())
    sweeper.run()


def members(shop: Shop, segment: str) -> list[str]:
    """The first browser of each member, in order."""
    found = good(ask(shop, "GET", f"/segments/{segment}/visitors?limit=200"))["items"]
    assert len(found) == good(ask(shop, "GET", f"/segments/{segment}"))["size"]
    listed = good(ask(shop, "GET", f"/visitors?segment={segment}&limit=200"))["items"]
    assert sorted(each["id"] for each in found) == sorted(each["id"] for each in listed)
    assert all(segment in {own["id"] for own in each["segments"]} for each in listed)
    return sorted(each["anonymous_ids"][0] for each in found)


def stored_rule(shop: Shop, rule_id: str) -> Rule:
    with shop.rt.db.read() as connection:
        stored = rules.get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    return stored.rule()


def new_rule(shop: Shop, **fields: Any) -> str:
    """The id of an active rule, made by the API."""
    return str(good(ask(shop, "POST", "/rules", popup_rule(None, **fields) | {"status": "active"}))["id"])


def test_who_buys_enters_and_leaves_a_month_later_though_nothing_comes_in(each_shop: Shop) -> None:
    shop = each_shop
    segment = make(shop, "buyers", BOUGHT)
    entered = new_rule(shop, name="in", trigger={"segment": "buyers"})
    left = new_rule(shop, name="out", trigger={"segment": segment, "change": "left"})
    shop.send(call("Page Viewed"), call("Page Viewed", anonymousId="bob"))
    assert members(shop, segment) == []
    shop.clock.forward(minutes=5)
    shop.send(call("Order Completed", {"total": 10}))
    assert members(shop, segment) == ["ann"]
    [own] = good(ask(shop, "GET", f"/visitors/{shop.profile().id}"))["segments"]
    assert own == {"id": segment, "name": "buyers", "entered_at": "2026-03-01T09:05:00Z", "left_at": None}
    shop.wait(days=29)
    assert members(shop, segment) == ["ann"]
    assert [each.rule_id for each in shop.messages()] == [entered]
    shop.wait(days=1)
    assert members(shop, segment) == []
    assert [(each.rule_id, each.created_at) for each in shop.messages()] == [
        (entered, at(minutes=5)),
        (left, at(days=30, minutes=5)),
    ]
    shown = good(ask(shop, "GET", f"/visitors/{shop.profile().id}"))
    assert shown["segments"] == []
    assert shown["former_segments"] == [{"id": segment, "name": "buyers", "left_at": "2026-03-31T09:05:00Z"}]
    assert shop.profile().wake_at is None
    shop.clock.forward(seconds=1)
    both = simulate(shop.rt, shop.site, [stored_rule(shop, entered), stored_rule(shop, left)])
    assert [(each.rule_id, each.at) for each in both.items] == [
        (entered, at(minutes=5)),
        (left, at(days=30, minutes=5)),
    ]


def test_a_segment_that_is_new_knows_what_was_done_before_and_nobody_enters_by_that(each_shop: Shop) -> None:
    shop = each_shop
    for each in range(12):
        bought = [call("Order Completed", {"total": 5 * each}, anonymousId=f"b{each}")] if each % 3 == 0 else []
        shop.send(call("Page Viewed", anonymousId=f"b{each}"), *bought)
    shop.clock.forward(days=3)
    dear = {**BOUGHT, "where": {"field": "event.properties.total", "op": "gte", "value": 20}}
    dear_id = make(shop, "dear", dear)
    new_rule(shop, name="in", trigger={"segment": "dear"})
    segment = make(shop, "buyers", BOUGHT)
    assert good(ask(shop, "GET", f"/segments/{segment}"))["building"] is True
    assert good(ask(shop, "POST", "/segments/preview", {"condition": dear})) | {"at": ""} == {
        "size": 2,
        "visitors": 12,
        "at": "",
    }
    build(shop)
    assert [each["building"] for each in good(ask(shop, "GET", "/segments"))["items"]] == [False, False]
    assert members(shop, segment) == ["b0", "b3", "b6", "b9"]
    assert members(shop, dear_id) == ["b6", "b9"]
    shop.processor.drain()
    assert shop.messages() == []
    shop.wait(days=27)
    assert members(shop, segment) == []
    assert shop.messages() == []


def test_who_comes_back_before_they_were_asked_does_not_enter_what_they_were_in_before(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Order Completed"), call("Page Viewed", anonymousId="bob"))
    shop.clock.forward(days=1)
    segment = make(shop, "buyers", BOUGHT)
    new_rule(shop, name="in", trigger={"segment": segment})
    shop.send(call("Order Completed"), call("Order Completed", anonymousId="bob"))
    assert members(shop, segment) == ["ann", "bob"]
    assert [each.visitor_id for each in shop.messages()] == [shop.profile("bob").id]


def test_another_condition_is_asked_of_everybody_anew_and_starts_nothing(each_shop: Shop) -> None:
    shop = each_shop
    segment = make(shop, "s", {"performed": "A"})
    new_rule(shop, name="in", trigger={"segment": "s"}, reentry={"policy": "every"})
    new_rule(shop, name="out", trigger={"segment": "s", "change": "left"}, reentry={"policy": "every"})
    shop.send(call("A"), call("B", anonymousId="bob"), call("A", anonymousId="eve"), call("B", anonymousId="eve"))
    assert members(shop, segment) == ["ann", "eve"]
    told = len(shop.messages())
    shop.clock.forward(minutes=1)
    changed = good(ask(shop, "PUT", f"/segments/{segment}", {"name": "s", "condition": {"performed": "B"}}))
    assert (changed["version"], changed["building"]) == (2, True)
    build(shop)
    assert members(shop, segment) == ["bob", "eve"]
    eve, ann = shop.profile("eve").segments[segment], shop.profile("ann").segments[segment]
    assert eve.entered_at == START
    assert ann.entered_at is None
    assert ann.left_at is not None
    shop.processor.drain()
    assert len(shop.messages()) == told
    named = good(ask(shop, "PUT", f"/segments/{segment}", {**changed, "version": 2, "description": "those"}))
    assert (named["version"], named["building"], named["description"]) == (3, False, "those")


def test_a_list_kept_by_hand_starts_rules_and_is_simulated(each_shop: Shop) -> None:
    shop = each_shop
    vip, both = make(shop, "vip"), make(shop, "vip buyers", {"all": [{"segment": "vip"}, BOUGHT]})
    entered = new_rule(shop, name="in", trigger={"segment": both})
    shop.send(call("Order Completed"), call("Page Viewed", anonymousId="bob"))
    ids = [shop.profile(each).id for each in ("ann", "bob")]
    shop.clock.forward(minutes=1)
    answer = good(ask(shop, "POST", f"/segments/{vip}/members", {"visitors": [*ids, "nobody", ids[0]]}))
    assert answer == {"accepted": 2, "not_found": ["nobody"]}
    shop.processor.drain()
    assert members(shop, vip) == ["ann", "bob"]
    assert members(shop, both) == ["ann"]
    assert [(each.rule_id, each.created_at) for each in shop.messages()] == [(entered, at(minutes=1))]
    shop.clock.forward(seconds=1)
    [item] = simulate(shop.rt, shop.site, [stored_rule(shop, entered)]).items
    assert (item.visitor_id, item.at) == (ids[0], at(minutes=1))
    good(ask(shop, "DELETE", f"/segments/{vip}/members", {"visitors": ids[:1]}))
    shop.processor.drain()
    assert members(shop, vip) == ["bob"]
    assert members(shop, both) == []
    assert ask(shop, "POST", f"/segments/{both}/members", {"visitors": ids}).status_code == 409


def test_a_broadcast_to_a_segment_reaches_its_members_only(each_shop: Shop) -> None:
    shop = each_shop
    segment = make(shop, "buyers", BOUGHT)
    for each in range(20):
        shop.send(call("Order Completed" if each % 4 == 0 else "Page Viewed", anonymousId=f"b{each}"))
    new_rule(shop, name="news", trigger={"broadcast": {"segment": "buyers", "rate": 60_000}})
    sweeper = Sweeper(shop.rt)
    assert sweeper.run() == 5
    shop.processor.drain()
    assert {each.visitor_id for each in shop.messages()} == {shop.profile(f"b{each}").id for each in range(0, 20, 4)}
    assert len(members(shop, segment)) == 5


def test_two_who_turn_out_to_be_one_are_asked_anew_as_one(each_shop: Shop) -> None:
    shop = each_shop
    thrice = make(shop, "thrice", {"performed": "A", "count": {"op": "gte", "value": 3}})
    single = make(shop, "once", {"performed": "A", "count": {"op": "lte", "value": 2}})
    new_rule(shop, name="in", trigger={"segment": thrice})
    shop.send(identify("u", anonymousId="phone"), call("A", userId="u"), call("A", userId="u"))
    shop.send(call("A", anonymousId="laptop"))
    assert members(shop, thrice) == []
    assert members(shop, single) == ["laptop", "phone"]
    shop.send(identify("u", anonymousId="laptop"))
    assert members(shop, thrice) == ["phone"]
    assert members(shop, single) == []
    assert len(shop.messages()) == 1
    with shop.rt.db.read() as connection:
        assert segments.sizes(connection, [thrice, single]) == {thrice: 1, single: 0}


def test_who_is_erased_is_in_no_segment_and_a_segment_that_is_gone_leaves_nothing(each_shop: Shop) -> None:
    shop = each_shop
    segment, other = make(shop, "buyers", BOUGHT), make(shop, "others", {"not": BOUGHT})
    shop.send(call("Order Completed"), call("Order Completed", anonymousId="bob"))
    good(ask(shop, "DELETE", f"/visitors/{shop.profile().id}"))
    assert members(shop, segment) == ["bob"]
    good(ask(shop, "DELETE", f"/segments/{segment}"))
    assert ask(shop, "GET", f"/segments/{segment}").status_code == 404
    assert make(shop, "buyers", BOUGHT) != segment
    Sweeper(shop.rt).run()
    with shop.rt.db.read() as connection:
        assert segments.sizes(connection, [segment]) == {segment: 0}
    shop.wait(days=40)  # when they would have left
    assert good(ask(shop, "GET", f"/visitors/{shop.profile('bob').id}"))["segments"][0]["id"] == other
    assert shop.profile("bob").wake_at is None


def test_what_is_used_stays_and_the_answer_names_who_uses_it(shop: Shop) -> None:
    segment = make(shop, "buyers", BOUGHT)
    make(shop, "calm", {"not": {"segment": segment}})
    rule_id = new_rule(shop, name="Thanks", trigger={"event": "A"}, audience={"segment": "buyers"})
    answer = ask(shop, "DELETE", f"/segments/{segment}")
    assert answer.status_code == 409
    assert answer.json["errors"]["used_by"] == ['the rule "Thanks"', 'the segment "calm"']
    assert 'the rule "Thanks"' in answer.json["message"]
    renamed = ask(shop, "PUT", f"/segments/{segment}", {"name": "customers", "condition": BOUGHT})
    assert (renamed.status_code, renamed.json["errors"]["used_by"]) == (409, ['the rule "Thanks"'])
    good(ask(shop, "DELETE", f"/rules/{rule_id}"))
    good(ask(shop, "PUT", f"/segments/{segment}", {"name": "customers", "condition": BOUGHT}))
    good(ask(shop, "DELETE", "/segments/calm"))
    good(ask(shop, "DELETE", "/segments/customers"))


@pytest.mark.parametrize(
    ("body", "path", "sentence"),
    [
        ({"condition": BOUGHT}, "name", "needs a name"),
        ({"name": "x" * 101, "condition": BOUGHT}, "name", "At most 100"),
        ({"name": "0" * 32, "condition": BOUGHT}, "name", "look like an id"),
        ({"name": "x"}, "condition", "needs a condition"),
        ({"name": "x", "manual": True, "condition": BOUGHT}, "condition", "no condition"),
        ({"name": "x", "manual": "yes"}, "manual", "true or false"),
        ({"name": "x", "conditon": BOUGHT}, "conditon", 'Did you mean "condition"?'),
        ({"name": "x", "condition": {"all": [BOUGHT, {"segment": "buyer"}]}}, "condition.all.1.segment", '"buyers"?'),
        ({"name": "x", "condition": {"field": "event.properties.a", "op": "is_set"}}, "condition.field", "whatever"),
        ({"name": "x", "condition": {"field": "site.operator_online", "op": "is_set"}}, "condition.field", "whatever"),
        ({"name": "x", "condition": {"performed": "A", "since": "entry"}}, "condition.since", "Nobody enters"),
        ({"name": "x", "condition": {"performed": "A", "same": "properties.b"}}, "condition.same", "whatever"),
    ],
)
def test_a_segment_that_cannot_work_is_refused_with_its_place(shop: Shop, body: Any, path: str, sentence: str) -> None:
    make(shop, "buyers", BOUGHT)
    answer = ask(shop, "POST", "/segments", body)
    assert answer.status_code == 422, answer.text
    found = answer.json["errors"]
    for key in path.split("."):
        found = found[key]
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"trigger": {"segment": "byers"}}, "trigger.segment"),
        ({"trigger": {"broadcast": {"segment": "byers"}}}, "trigger.broadcast.segment"),
        ({"audience": {"any": [{"not": {"segment": "byers"}}]}}, "audience.any.0.not.segment"),
        ({"cancel": [{"event": "A", "where": {"segment": "byers"}}]}, "cancel.0.where.segment"),
    ],
)
def test_a_rule_that_names_a_segment_that_is_not_there_is_refused(shop: Shop, part: Any, path: str) -> None:
    make(shop, "buyers", BOUGHT)
    for way, body in (("/rules", popup_rule("A") | part), ("/simulations", {"rule": popup_rule("A") | part})):
        answer = ask(shop, "POST", way, body)
        assert answer.status_code == 422, answer.text
        found = answer.json["errors"] if way == "/rules" else answer.json["errors"]["rule"]
        for key in path.split("."):
            found = found[key]
        assert found == ['There is no segment "byers". Did you mean "buyers"?']
    assert ask(shop, "GET", "/visitors?segment=byers").json["errors"] == {
        "segment": ['There is no segment "byers". Did you mean "buyers"?']
    }


def test_segments_that_would_ask_for_one_another_are_refused(shop: Shop) -> None:
    first = make(shop, "first", BOUGHT)
    make(shop, "second", {"any": [AWAY, {"segment": first}]})
    make(shop, "third", {"not": {"segment": "second"}})
    for target, way in (("first", '"first" asks for "first"'), ("third", '"third" asks for "second" asks for "first"')):
        answer = ask(shop, "PUT", "/segments/first", {"name": "first", "condition": {"all": [{"segment": target}]}})
        assert answer.status_code == 422
        assert way in answer.json["errors"]["condition"]["all"]["0"]["segment"][0]
    assert ask(shop, "PUT", "/segments/first", {"name": "first", "manual": True}).status_code == 422
    assert ask(shop, "POST", "/segments", {"name": "first", "condition": BOUGHT}).status_code == 409
    assert ask(shop, "PUT", "/segments/first", {"name": "third", "condition": BOUGHT}).status_code == 409


def test_a_rule_tells_since_when_somebody_is_a_member(shop: Shop) -> None:
    make(shop, "buyers", BOUGHT)
    audience = {"segment": "buyers"}
    rule_id = new_rule(shop, name="r", trigger={"segment": "buyers", "change": "left"}, audience={"not": audience})
    shop.send(call("Order Completed"))
    visitor_id = shop.profile().id

    def gates() -> dict[str, Any]:
        found = good(ask(shop, "GET", f"/rules/{rule_id}/explain?visitor={visitor_id}"))["gates"]
        return {each["gate"]: (each["open"], each["detail"]) for each in found}

    assert gates()["trigger"] == (False, "Member since 2026-03-01T09:00:00Z.")
    told = 'It holds, and must not: the segment "buyers". "buyers": member since 2026-03-01T09:00:00Z.'
    assert gates()["audience"] == (False, told)
    shop.wait(days=30)
    assert gates()["trigger"] == (True, "Left at 2026-03-31T09:00:00Z.")
    assert gates()["audience"] == (True, '"buyers": no member, left at 2026-03-31T09:00:00Z.')


def test_a_rule_that_lost_its_segment_cannot_be_read(shop: Shop) -> None:
    with pytest.raises(RuleErrors, match="There is no segment"):
        parse_rule(popup_rule("A", audience={"segment": "x"}), segments={"1": "y"})


BEFORE = {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}, "within": "40m"}
DEFINED: dict[str, Any] = {
    "bought": {"performed": "Order Completed", "within": "1h"},
    "looking": BEFORE,
    "dear": {
        "performed": "Product Added",
        "where": {"field": "event.properties.price", "op": "gte", "value": 100},
        "count": {"op": "between", "value": [1, 2]},
        "within": "90m",
    },
    "quiet": {"field": "profile.last_seen", "op": "before", "value": {"ago": "20m"}},
    "spent": {"performed": "Order Completed", "sum": {"of": "properties.total", "op": "gte", "value": 100}},
    "stale": {"performed": "Page Viewed", "last": {"op": "before", "value": {"ago": "30m"}}},
    "plan": {"field": "profile.traits.plan", "op": "unchanged_for", "value": "25m"},
    "morning": {"local_time": {"from": "09:30", "to": "10:15"}},
    "warm": {"all": [{"segment": "looking"}, {"not": {"segment": "bought"}}]},
    "gone": {"any": [{"all": [{"segment": "warm"}, {"segment": "quiet"}]}, {"segment": "dear"}]},
}


def pass_to(shop: Shop, minute: int) -> None:
    """Time goes on, slowly enough that no moment is stale when it is noticed; what happens at its end comes first."""
    end = START + MINUTE * minute
    while shop.clock.now < end:
        shop.clock.now = min(shop.clock.now + 9 * MINUTE, end)
        if shop.clock.now < end:
            shop.processor.drain()


def agree(shop: Shop, history: list[Told]) -> None:
    """Live, simulated and from scratch come to the same."""
    ids = {name: make(shop, name, condition) for name, condition in DEFINED.items()}
    told = [
        shop.rule(
            popup_rule(
                None,
                trigger={"segment": ids[name], "change": change},
                reentry={"policy": "every"},
                delay="7m" if name == "gone" else "0s",
                audience={"any": [{"segment": ids[name]}, {"performed": "Page Viewed"}]},
            )
        )
        for name in ("looking", "quiet", "morning", "warm", "gone")
        for change in ("entered", "left")
    ]
    for batch in by_minute(history):
        pass_to(shop, batch[0].minute)
        shop.send(*(each.body | {"timestamp": shop.clock.now.isoformat()} for each in batch))
        for who in ("ann", "bob", "eve"):
            if shop.find(who) is not None:
                assert shop.profile(who).segments == from_scratch(shop, who).segments
    pass_to(shop, SPAN + 150)
    shop.processor.drain()
    shop.clock.forward(seconds=1)
    for who in ("ann", "bob", "eve"):
        if (profile := shop.find(who)) is not None:
            assert profile.segments == from_scratch(shop, who).segments
            assert profile.wake_at == from_scratch(shop, who).wake_at
    live = sorted(
        (each.rule_id, each.entered_at, each.at, each.outcome)
        for who in ("ann", "bob", "eve")
        for each in shop.enrolments(who)
    )
    found = simulate(shop.rt, shop.site, [stored_rule(shop, each) for each in told], limit=10_000)
    assert live == sorted((i.rule_id, i.entered_at, i.at, i.outcome) for i in found.items)
    for segment in ids.values():
        now = {who for who in ("ann", "bob", "eve") if (each := shop.find(who)) is not None and each.is_in(segment)}
        assert set(members(shop, segment)) == {shop.profile(who).anonymous_ids[0] for who in now}


@settings(FEW, max_examples=4, phases=(Phase.explicit, Phase.generate))
@given(history=histories())
def test_live_simulated_and_from_scratch_agree_whatever_happens(shops: Any, history: list[Told]) -> None:
    agree(shops(), history)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@settings(FEW, max_examples=60)
@given(history=histories())
def test_and_so_they_do_many_times(shops: Any, history: list[Told]) -> None:
    agree(shops(), history)


def from_scratch(shop: Shop, who: str) -> Profile:
    """What the segments of a visitor are by their stored events alone."""
    profile = shop.profile(who)
    with shop.rt.db.read() as connection:
        found = segments.load_segments(connection, shop.site.id)[shop.site.id]
        parts = stored_histories.whole(connection, visitors.members_of(profile), shop.clock())
    history = sorted((event for part in parts.values() for event in part), key=lambda event: event.moment)
    empty = Profile(id=profile.id, site_id=shop.site.id, person=profile.person)
    ruleset = Ruleset.of(shop.site, [], segments=Segments(found))
    past = Past(by_name(history), complete=True)
    return advance(ruleset, empty, (), history, past, until=shop.clock(), now=None).profile


def test_what_was_kept_up_to_date_is_what_one_finds_from_scratch(each_shop: Shop) -> None:
    shop = each_shop
    make(shop, "buyers", BOUGHT)
    make(shop, "away", {"all": [{"segment": "buyers"}, AWAY]})
    shop.send(call("Order Completed"), call("Page Viewed", anonymousId="bob"))
    for days in (3, 2, 9, 20):
        shop.clock.forward(days=days)
        shop.send(call("Page Viewed", anonymousId="bob"))
        for who in ("ann", "bob"):
            assert shop.profile(who).segments == from_scratch(shop, who).segments
    assert timedelta(days=34) == shop.clock() - START
