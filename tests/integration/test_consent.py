"""Nothing is stored, shown or sent without the consent that the site's policy asks for."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import sqlalchemy

from backend.domain.consent import Choice, ConsentPolicy, lacking, latest, with_choice
from backend.domain.site import Policy
from backend.pipeline.consent import change_consent
from backend.pipeline.show import viewer, waiting
from backend.storage.sites import update_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule

MAIL = {"channels": ["email"], "variants": [{"name": "A", "content": {"subject": "s", "title": "t", "body": "b"}}]}


def consent(**answers: bool) -> dict[str, Any]:
    """The context of an event as consent managers write it."""
    return {"consent": {"categoryPreferences": {name.capitalize(): value for name, value in answers.items()}}}


def under(shop: Shop, **policy: Any) -> Shop:
    """The shop under this policy from now on."""
    shop.site = replace(shop.site, policy=Policy(**policy))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()
    shop.restart()
    return shop


def counted(shop: Shop) -> dict[str, int]:
    """What was not let in, by reason."""
    with shop.rt.db.read() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT reason, number FROM withheld")).all()
        return {row.reason: row.number for row in rows}


def test_without_a_policy_everything_is_as_before_and_answers_are_kept(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("Page Viewed"))
    shop.send(call("Page Viewed", context=consent(analytics=False, advertising=False)))
    assert shop.outcomes() == [("sent", None)]
    assert [(each.category, each.granted, each.source) for each in shop.profile().consents] == [
        ("analytics", False, "page"),
        ("marketing", False, "page"),
    ]
    assert counted(shop) == {}


def test_nothing_is_stored_before_the_visitor_agrees_nor_after_they_refuse(each_shop: Shop) -> None:
    shop = under(each_shop, consent=ConsentPolicy(store="analytics"))
    shop.send(
        call("Page Viewed"),
        identify("u", {"email": "u@example.com"}),
        call("Page Viewed", context=consent(marketing=True)),
    )
    shop.send(call("Page Viewed", context=consent(analytics=False)))
    assert shop.find("ann") is None, "of a stranger who refuses not even that is kept"
    assert counted(shop) == {"no_consent": 4}
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", context=consent(analytics=True)), call("Page Viewed"))
    assert shop.profile().counts == {"Page Viewed": 2}
    shop.clock.forward(minutes=1)
    secret = {"query": "what they searched"}
    shop.send(call("Products Searched", secret, context=consent(analytics=False)), call("Page Viewed"))
    assert shop.profile().counts == {"Page Viewed": 2}
    last = shop.profile().consents[-1]
    assert (last.granted, last.at) == (False, shop.clock())
    assert "what they searched" not in repr(shop.stored()), "of the refusal the refusal is kept and nothing else"
    assert shop.stored()[-1].context == {"consent": {"categoryPreferences": {"analytics": False}}}
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", context=consent(analytics=True)))
    assert shop.profile().counts == {"Page Viewed": 3}


def test_what_happened_before_the_consent_is_not_stored_when_it_comes_later(shop: Shop) -> None:
    under(shop, consent=ConsentPolicy(store="analytics"))
    shop.clock.forward(minutes=10)
    shop.send(call("Page Viewed", context=consent(analytics=True)))
    shop.send(call("Page Viewed", timestamp=at(minutes=5)), call("Page Viewed", timestamp=at(minutes=9, seconds=55)))
    assert shop.profile().counts == {"Page Viewed": 2}


def test_the_consent_of_a_browser_holds_when_its_visitor_is_introduced(each_shop: Shop) -> None:
    shop = under(each_shop, consent=ConsentPolicy(store="analytics"))
    shop.send(call("Page Viewed", context=consent(analytics=True)))
    shop.send(identify("u", {"plan": "free"}), call("Page Viewed"))
    shop.send(call("Page Viewed", userId="u"))
    assert shop.profile(user_id="u").counts == {"Page Viewed": 3, "Identify": 1}
    assert [each.granted for each in shop.profile(user_id="u").consents] == [True]
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", context=consent(analytics=False)))
    shop.send(call("Order Completed", {"total": 3}, userId="u"))
    assert shop.profile(user_id="u").orders.count == 0, "the refusal holds for the person, wherever they are"


def test_a_privacy_signal_counts_unless_they_agreed_or_the_site_does_not_honour_it(each_shop: Shop) -> None:
    shop = each_shop
    gpc, dnt = {"Sec-GPC": "1"}, {"DNT": "1"}
    page = {"type": "track", "event": "Page Viewed", "anonymousId": "ann"}
    for path, body in (("/v1/track", page), ("/v1/batch", {"batch": [page]})):
        assert shop.post(path, body, headers=gpc).json["accepted"] == 1
    shop.processor.drain()
    assert shop.find("ann") is None
    assert counted(shop) == {"privacy_signal": 2}
    shop.post("/v1/track", page, headers=dnt)
    shop.post("/v1/track", page, headers={"Sec-GPC": "0"})
    shop.processor.drain()
    assert shop.profile().counts == {"Page Viewed": 2}
    shop.post("/v1/track", page | {"context": consent(analytics=True)}, headers=gpc)
    shop.post("/v1/track", page, headers=gpc)
    shop.processor.drain()
    assert shop.profile().counts == {"Page Viewed": 4}, "an explicit yes outweighs the signal"
    under(shop, honour_gpc=False, honour_dnt=True)
    shop.post("/v1/track", page | {"anonymousId": "bob"}, headers=gpc)
    shop.post("/v1/track", page | {"anonymousId": "eve"}, headers=dnt)
    shop.processor.drain()
    assert shop.find("bob") is not None
    assert shop.find("eve") is None


@pytest.mark.parametrize(("channel", "asked"), [("popup", {"show": "marketing"}), ("email", {"mail": "marketing"})])
def test_promotional_messages_wait_for_consent_and_transactional_ones_do_not(
    each_shop: Shop, channel: str, asked: dict[str, str]
) -> None:
    shop = under(each_shop, consent=ConsentPolicy(**asked))
    message = MAIL if channel == "email" else {**MAIL, "channels": ["popup"]}
    document = popup_rule("Ping", message=message, reentry={"policy": "every"})
    rule_id = shop.rule(document)
    shop.rule(popup_rule("Pong", message=message, category="transactional"))
    shop.send(identify("u", {"email": "u@example.com"}), call("Ping"), call("Pong"))
    assert sorted(shop.outcomes(), key=str) == [("sent", None), ("skipped", "no_consent")]
    gates = shop.client.get(
        f"/api/v1/sites/{shop.site.id}/rules/{rule_id}/explain?visitor={shop.profile().id}",
        headers={"Authorization": f"Bearer {shop.rt.settings.admin_token}"},
    ).json
    assert "They have not agreed to marketing." in str(gates)
    shop.clock.forward(minutes=1)
    shop.send(call("Ping", context=consent(marketing=True)))
    assert shop.outcomes()[-1] == ("sent", None)
    found = shop.simulate(document, until=at(hours=1))
    assert [(each.outcome, each.reason) for each in found.items] == [("skipped", "no_consent"), ("sent", None)]


def test_withdrawing_takes_effect_on_what_is_queued(each_shop: Shop) -> None:
    shop = under(each_shop, consent=ConsentPolicy(show="marketing", mail="marketing"))
    shop.rule(popup_rule("Ping"))
    shop.rule(popup_rule("Pong", category="transactional"))
    shop.send(identify("u", {"email": "u@example.com"}, context=consent(marketing=True)), call("Ping"), call("Pong"))
    assert [each.status for each in shop.messages()] == ["queued", "queued"]
    told: list[Any] = []
    shop.rt.live.publish = told.extend  # type: ignore[method-assign]
    shop.clock.forward(minutes=1)
    log = change_consent(
        shop.rt, shop.site, shop.profile().id, {"marketing": False, "source": "operator", "text": "By phone."}
    )
    assert log is not None
    assert (log[-1].granted, log[-1].source, log[-1].text) == (False, "operator", "By phone.")
    [(_, revoked)] = told
    assert revoked["event"] == "revoke"
    who = viewer(shop.site, "ann", None, None)
    [left] = waiting(shop.rt, shop.processor.rulesets, who)
    ended = next(each for each in shop.messages() if each.id != left.id)
    assert (ended.status, ended.reason) == ("skipped", "no_consent")
    assert revoked["data"]["id"] == ended.id


def test_a_mail_that_is_queued_does_not_go_out_after_the_withdrawal(each_shop: Shop) -> None:
    from backend.pipeline.permits import Permits
    from backend.storage import deliveries

    shop = under(each_shop, consent=ConsentPolicy(mail="marketing"))
    shop.rule(popup_rule("Ping", message=MAIL))
    shop.send(identify("u", {"email": "u@example.com"}, context=consent(marketing=True)), call("Ping"))
    [mail] = shop.messages()
    change_consent(shop.rt, shop.site, shop.profile().id, {"marketing": False})
    with shop.rt.db.begin() as connection:
        claim = deliveries.claim(connection, (mail.visitor_id, mail.id), shop.clock(), ["email"])
        assert claim is not None
        assert Permits(shop.rt.sites).ask(connection, claim, shop.clock()) is None
    assert [(each.status, each.reason) for each in shop.messages()] == [("skipped", "no_consent")]


def test_an_answer_given_elsewhere_is_part_of_the_history_that_simulations_see(each_shop: Shop) -> None:
    shop = under(each_shop, consent=ConsentPolicy(show="marketing"))
    shop.send(call("Page Viewed"))
    shop.clock.forward(minutes=1)
    change_consent(shop.rt, shop.site, shop.profile().id, {"marketing": True, "source": "import", "at": at(seconds=30)})
    assert [(each.at, each.source) for each in shop.profile().consents] == [(at(seconds=30), "import")]
    shop.send(call("Ping"))
    assert shop.profile().counts == {"Page Viewed": 1, "Ping": 1}, "it is nothing that they did"
    found = shop.simulate(popup_rule("Ping"), until=at(hours=1))
    assert [each.outcome for each in found.items] == ["sent"]


def test_a_page_cannot_say_that_an_operator_wrote_it_down(shop: Shop) -> None:
    told = {"categoryPreferences": {"Marketing": True}, "source": "operator", "text": "x" * 5_000}
    shop.send(call("Page Viewed", context={"consent": told}))
    [choice] = shop.profile().consents
    assert choice.source == "page"
    assert len(choice.text or "") == 1_000


@pytest.mark.parametrize(
    "told",
    [
        *("yes", 0, 2, True, None, [], {}, {"categoryPreferences": None}, {"categoryPreferences": ["Analytics"]}),
        {"categoryPreferences": {"Analytics": "true"}},
        {"categoryPreferences": {"Analytics": 1, "Other": True}},
    ],
)
def test_what_is_no_answer_counts_as_none(shop: Shop, told: Any) -> None:
    under(shop, consent=ConsentPolicy(store="analytics"))
    shop.send(call("Page Viewed", context={"consent": told}))
    assert shop.find("ann") is None


@pytest.mark.parametrize("told", [1, {"analytics": True}, {"categoryPreferences": {"statistics": True}}])
def test_our_own_sdk_writes_it_shorter(shop: Shop, told: Any) -> None:
    under(shop, consent=ConsentPolicy(store="analytics"))
    shop.send(call("Page Viewed", context={"consent": told}))
    assert [each.category for each in shop.profile().consents] == ["analytics"]


def test_an_unsubscribed_counts_without_any_consent(shop: Shop) -> None:
    shop.send(identify("u", {"email": "u@example.com"}))
    under(shop, consent=ConsentPolicy(store="analytics"))
    shop.send(call("Unsubscribed", {"email": "u@example.com"}, userId="u"), call("Page Viewed"))
    assert shop.profile(user_id="u").unsubscribed == ("u@example.com",)
    assert shop.profile(user_id="u").counts == {"Identify": 1, "Unsubscribed": 1}


def test_events_are_kept_as_long_as_the_site_says_and_profiles_stay(each_shop: Shop) -> None:
    from backend.pipeline.retain import Retainer

    shop = each_shop
    days = [call("Page Viewed", messageId=f"p{day}", timestamp=at(days=-day)) for day in (200, 91, 89, 1)]
    others = [call("Order Completed", {"total": 1}, messageId=f"o{day}", timestamp=at(days=-day)) for day in (401, 399)]
    shop.send(*days, *others)
    shop.send(identify("u", messageId="who", timestamp=at(days=-2).isoformat()))
    before = shop.profile()
    under(shop, retention={"Page Viewed": timedelta(days=90), "*": timedelta(days=400)})
    assert Retainer(shop.rt).run() == 3
    assert Retainer(shop.rt).run() == 0
    assert sorted(event.message_id for event in shop.stored()) == ["o399", "p1", "p89", "who"]
    assert shop.profile() == before, "what was counted stays counted"
    shop.send(*days, *others)
    assert shop.profile() == before, "and a late retry does not count twice"
    assert counted(shop) == {"retention": 3}
    shop.clock.forward(days=2)
    assert Retainer(shop.rt).run() == 2


def test_much_that_is_old_goes_in_pieces(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.pipeline import retain

    shop.send(*(call("Old", anonymousId=f"v{n % 7}", timestamp=at(days=-9)) for n in range(50)))
    under(shop, retention={"Old": timedelta(days=2)})
    monkeypatch.setattr(retain, "EVENTS_AT_ONCE", 3)
    monkeypatch.setattr(retain, "VISITORS_AT_ONCE", 2)
    turns = [retain.Retainer(shop.rt).run() for _ in range(4)]
    assert sum(turns) == 50
    assert shop.stored() == []


def test_answers_in_any_order_come_to_the_same(shop: Shop) -> None:
    def choice(minute: int, granted: bool) -> Choice:
        moment: datetime = at(minutes=minute)
        return Choice(category="marketing", granted=granted, at=moment, last=moment)

    for seed in range(200):
        dice = Random(seed)
        told = [choice(minute, dice.random() < 0.5) for minute in dice.sample(range(40), 12)]
        log: tuple[Choice, ...] = ()
        for each in told:
            log = with_choice(log, each)
        newest = max(told, key=lambda each: each.at)
        last = latest(log, "marketing")
        assert last is not None
        assert (last.granted, last.last) == (newest.granted, newest.at)
        assert all(before.last < after.at for before, after in pairwise(log))


def refusal(**more: Any) -> dict[str, Any]:
    """What the page sends when `chimein.consent({analytics: false})` is called, as the browser's tests see it."""
    told = {"type": "track", "event": "Consent Updated", "anonymousId": "ann", "messageId": "refusal"}
    return told | {"context": {"consent": {"analytics": False}}} | more


@pytest.mark.parametrize("user_id", [None, "u"])
def test_a_refusal_in_the_page_is_kept_and_ends_the_mails_that_wait(each_shop: Shop, user_id: str | None) -> None:
    from backend.pipeline.permits import Permits
    from backend.storage import deliveries

    shop = under(each_shop, consent=ConsentPolicy(store="analytics"))
    shop.rule(popup_rule("Ping", message=MAIL))
    shop.rule(popup_rule("Pong", message=MAIL, category="transactional"))
    agreed = consent(analytics=True)
    shop.send(identify("u", {"email": "u@example.com"}, context=agreed), call("Ping"), call("Pong"))
    assert [each.status for each in shop.messages()] == ["queued", "queued"]
    shop.clock.forward(minutes=1)
    page = {"url": "https://shop.example/secret", "path": "/secret"}
    context = {"consent": {"analytics": False, "text": "No.", "vendor": "x"}, "page": page, "userAgent": "Spy/1"}
    body = refusal(context=context, properties={"page": "secret"}, **({"userId": user_id} if user_id else {}))
    for _ in range(2):  # and it may be sent again
        assert shop.post("/v1/batch", {"batch": [body]}).json["accepted"] == 1
        shop.processor.drain()
    profile = shop.profile(user_id="u")
    assert [(each.granted, each.source, each.text) for each in profile.consents] == [
        (True, "page", None),
        (False, "page", "No."),
    ]
    assert profile.counts == {"Identify": 1, "Ping": 1, "Pong": 1}
    last = next(each for each in shop.stored() if each.message_id == "refusal")
    assert last.context == {"consent": {"categoryPreferences": {"analytics": False}, "text": "No."}}
    assert not any(word in repr(last) for word in ("secret", "Spy"))
    answers = {}
    for mail in shop.messages():
        with shop.rt.db.begin() as connection:
            claim = deliveries.claim(connection, (mail.visitor_id, mail.id), shop.clock(), ["email"])
            assert claim is not None
            answers[mail.rule_id] = Permits(shop.rt.sites).ask(connection, claim, shop.clock()) is not None
    assert sorted(answers.values()) == [False, True], "what belongs to an order still goes"
    assert ("skipped", "no_consent") in [(each.status, each.reason) for each in shop.messages()]


def test_a_refusal_of_a_stranger_leaves_nothing_and_one_on_any_site_carries_nothing_along(each_shop: Shop) -> None:
    shop = under(each_shop, consent=ConsentPolicy(store="analytics"))
    shop.post("/v1/track", refusal(context={"consent": {"analytics": False}, "page": {"url": "https://a.example/"}}))
    shop.processor.drain()
    assert shop.find("ann") is None
    assert shop.stored() == []
    under(shop, consent=ConsentPolicy())
    shop.post("/v1/track", refusal(messageId="b", context={"consent": {"analytics": False}, "userAgent": "Spy/1"}))
    shop.processor.drain()
    [kept] = shop.stored()
    assert kept.context == {"consent": {"categoryPreferences": {"analytics": False}}}
    shop.send(call("Consent Updated", {"own": 1}, anonymousId="bob", context=consent(analytics=True)))
    assert shop.stored()[-1].properties == {"own": 1}, "who agrees to be observed is"


@pytest.mark.parametrize(
    ("asked", "told", "missing"),
    [
        ({"store": "analytics"}, [], None),
        ({"store": "analytics"}, [{"analytics": True}], None),
        ({"store": "analytics"}, [{"analytics": False}], "analytics"),
        ({"store": "analytics"}, [{"analytics": False}, {"analytics": True}], None),
        ({"store": "analytics"}, [{"marketing": False}], None),
        ({"store": "analytics", "mail": "marketing"}, [], "marketing"),
        ({"store": "analytics", "mail": "marketing"}, [{"marketing": True}, {"analytics": False}], "analytics"),
        ({"store": "analytics", "mail": "marketing"}, [{"marketing": True, "analytics": False}], None),
        ({"store": "analytics", "mail": "marketing"}, [{"analytics": False}, {"marketing": True}], None),
        ({"store": "analytics", "mail": "necessary"}, [{"analytics": False}], None),
        ({"store": "necessary"}, [{"analytics": False}], None),
        ({}, [{"analytics": False}], None),
    ],
)
def test_what_is_lacking_before_a_mail_is_written(
    asked: dict[str, str], told: list[dict[str, bool]], missing: str | None
) -> None:
    log: tuple[Choice, ...] = ()
    for minute, answers in enumerate(told):
        for category, granted in answers.items():
            moment = at(minutes=minute)
            log = with_choice(log, Choice(category=category, granted=granted, at=moment, last=moment))
    assert lacking(ConsentPolicy(**asked), log, on_site=False) == missing


AGREED = {"field": "profile.consent.marketing", "op": "eq", "value": True}


def api(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    """What an administrator is answered."""
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}"}
    answer = shop.client.open(f"/api/v1/sites/{shop.site.id}{path}", method=method, json=body, headers=headers)
    assert answer.status_code in {200, 201, 204}, answer.text
    return answer.json


def test_a_rule_may_ask_what_they_agreed_to_and_a_simulation_answers_the_same(each_shop: Shop) -> None:
    shop = each_shop
    asked = {"all": [AGREED, {"field": "profile.consent.analytics", "op": "is_not_set"}]}
    document = popup_rule("Ping", audience=asked, reentry={"policy": "every"})
    shop.rule(document)
    for minute, context in enumerate([{}, consent(marketing=True), {}, consent(marketing=False), {}]):
        shop.send(call("Ping", messageId=f"p{minute}", context=context))
        shop.clock.forward(minutes=1)
    entered = [each.trigger.message_id for each in shop.enrolments()]
    assert sorted(entered) == ["p1", "p2"]
    found = shop.simulate(document, until=at(hours=1))
    assert sorted(each.event_id for each in found.items) == ["p1", "p2"]


def test_a_segment_may_ask_what_they_agreed_to_wherever_they_said_it(each_shop: Shop) -> None:
    shop = each_shop
    segment = api(shop, "POST", "/segments", {"name": "agreed", "condition": AGREED})["id"]
    document = popup_rule(None, trigger={"segment": segment}, reentry={"policy": "every"})
    shop.rule(document)

    def inside() -> bool:
        return bool(api(shop, "GET", f"/segments/{segment}/visitors")["items"])

    shop.send(call("Page Viewed"))
    seen = [inside()]
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", context=consent(marketing=True)))
    seen.append(inside())
    shop.clock.forward(minutes=1)
    shop.post("/v1/track", refusal(context={"consent": {"analytics": False, "marketing": False}}))
    shop.processor.drain()
    seen.append(inside())
    shop.clock.forward(minutes=1)
    change_consent(shop.rt, shop.site, shop.profile().id, {"marketing": True, "source": "operator"})
    shop.wait(seconds=30)
    seen.append(inside())
    assert seen == [False, True, False, True]
    assert len(shop.enrolments()) == 2, "each time they entered, a recorded answer included"
    counted = api(shop, "POST", "/segments/preview", {"condition": {"not": AGREED}})
    assert (counted["size"], counted["visitors"]) == (0, 1)
    assert api(shop, "POST", "/segments/preview", {"condition": AGREED})["size"] == 1
    told = shop.simulate(document, until=at(hours=1))
    assert len(told.items) == 2
