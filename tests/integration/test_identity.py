"""Who is this? Placeholders, proofs, and what a second person at the same machine sees."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.parser import BytesParser
from email.policy import default as email_policy
from pathlib import Path
from typing import Any

import pytest

from backend.channels.email.channel import EmailChannel
from backend.domain.confirmation import Confirmation, seal, unseal
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.message import Message
from backend.domain.signature import user_hash
from backend.domain.site import Policy
from backend.domain.unsubscribe import Subscription
from backend.domain.unsubscribe import unseal as unseal_unsubscribe
from backend.errors import Conflict, Invalid, NotFound
from backend.pipeline.confirm import ask
from backend.pipeline.deliver import deliver
from backend.pipeline.merge import merge_visitors
from backend.pipeline.show import streams, viewer
from backend.pipeline.unmerge import unmerge
from backend.storage import merges, unsubscribes
from backend.storage.sites import update_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import WRITE_KEY, Shop, at, call, identify, popup_rule

NOBODY = ["null", "undefined", "0", "0000", "[object Object]", "None", "NaN", " GUEST "]
NAMED = "Dear {{ first_name | default: 'friend' }}"
CHAT = {"channels": ["chat"], "variants": [{"name": "A", "content": {"title": "Hello", "body": "Still there?"}}]}


def policy(shop: Shop, **fields: Any) -> None:
    shop.site = replace(shop.site, policy=Policy(**fields))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()


def typed(value: str, anonymous_id: str = "ann", **fields: Any) -> dict[str, Any]:
    told = {"form": "f", "field": "email", "value": value, "page": "/checkout"}
    return call("Form Field Filled", told, anonymousId=anonymous_id, **fields)


@pytest.mark.parametrize("nobody", NOBODY)
def test_a_placeholder_is_no_user_and_no_browser(each_shop: Shop, nobody: str) -> None:
    shop = each_shop
    shop.send(identify(nobody, {"email": "ann@example.com"}), identify(nobody, anonymousId="bob"))
    assert shop.find(user_id=nobody) is None
    ann, bob = shop.profile("ann"), shop.profile("bob")
    assert (ann.user_id, bob.user_id) == (None, None)
    assert ann.id != bob.id
    shop.send(
        call("Page Viewed", anonymousId=nobody, userId="u"),
        call("Page Viewed", anonymousId=nobody, userId="v"),
        {"type": "alias", "userId": "u", "previousId": nobody},
        {"type": "alias", "userId": nobody, "previousId": "bob", "anonymousId": "cid"},
        {"type": "group", "groupId": nobody, "anonymousId": "cid"},
    )
    assert shop.find(nobody) is None
    assert (shop.profile(user_id="u").anonymous_ids, shop.profile(user_id="v").anonymous_ids) == ((), ())
    assert shop.profile("bob").user_id is None
    assert shop.profile("cid").groups == ()
    assert shop.dead() == []


def test_an_event_of_nobody_at_all_is_set_aside_and_costs_its_neighbours_nothing(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"), call("Page Viewed", userId="null"), call("Page Viewed", anonymousId="undefined"))
    assert shop.profile("ann").counts == {"Page Viewed": 1}
    assert len(shop.stored()) == 1
    aside = shop.dead()
    assert {each.reason for each in aside} == {"It identifies nobody: its ids are placeholders."}
    assert sorted(re.findall(r'"(null|undefined)"', "".join(each.payload for each in aside))) == ["null", "undefined"]


def test_a_site_says_itself_what_names_nobody(shop: Shop) -> None:
    policy(shop, placeholders=("no-id", "info@shop.example"))
    shop.send(identify("NO-ID", {"email": "INFO@shop.example", "plan": "x"}), identify("no-id", anonymousId="bob"))
    assert (shop.profile("ann").user_id, shop.profile("bob").user_id) == (None, None)
    assert shop.profile("ann").traits == {"plan": "x"}
    told = shop.simulate({"trigger": {"event": "Identify"}}, until=at(hours=1)).items
    assert {each.user_id for each in told} == {None}, "a simulation believes no more"


def test_two_who_type_the_same_address_stay_two(shop: Shop) -> None:
    shop.send(typed("same@example.com"), typed("same@example.com", "bob"), identify("u", {"email": "same@example.com"}))
    assert shop.profile("ann").id != shop.profile("bob").id


def asked(shop: Shop, value: str = "ann@example.com", **texts: str) -> Any:
    return ask(shop.rt, shop.site, shop.profile("ann"), value, texts)


def post(shop: Shop) -> list[str]:
    """Delivers what waits; the links in the mails of the outbox."""
    outbox = Path(shop.rt.settings.data_dir) / "outbox"
    channel = EmailChannel(smtp_url="", mail_from="shop@shop.example", public_url="http://shop.example", outbox=outbox)
    deliver(shop.rt, [(each.visitor_id, each.id) for each in shop.messages()], {"email": channel})
    links: list[str] = []
    for path in sorted(outbox.glob("**/*.eml")):
        mail = BytesParser(policy=email_policy).parsebytes(path.read_bytes()).get_body(("plain",))
        links += re.findall(r"/c/([\w-]+)", mail.get_content() if mail is not None else "")
    return links


def test_whoever_presses_the_button_of_the_mail_verifies_the_address(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(typed("Ann@Example.com"))
    message = asked(shop, "ANN@example.com")
    assert asked(shop).id == message.id, "one mail an hour"
    [token] = post(shop)
    assert [each.status for each in shop.messages()] == ["sent"]
    page = shop.client.get(f"/c/{token}")
    assert page.status_code == 200
    assert "<button>" in page.text
    assert "ann@example.com" not in page.text, "the link may be in a stranger's hands"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    shop.processor.drain()
    assert not any(each.verified_at for each in shop.profile("ann").identifiers), "scanners open links"
    for _ in range(2):
        assert shop.client.post(f"/c/{token}").status_code == 200
    shop.processor.drain()
    [proof] = [each for each in shop.profile("ann").identifiers if each.verified_at]
    assert (proof.kind, proof.value, proof.source) == ("email", "ann@example.com", "double_opt_in")
    assert shop.profile("ann").counts == {"Form Field Filled": 1}
    with pytest.raises(Conflict):
        asked(shop)


def test_a_proof_stays_with_whom_it_was_given_when_two_come_apart(shop: Shop) -> None:
    shop.send(typed("ann@example.com"), identify("u", anonymousId="bob"))
    asked(shop)
    [token] = post(shop)
    shop.client.post(f"/c/{token}")
    shop.processor.drain()
    u = known_visitor(shop.site.id, "u")
    made = merge_visitors(shop.rt, shop.site, u, anonymous_visitor(shop.site.id, "ann"), "tests").merge
    assert made is not None
    assert any(each.verified_at for each in shop.profile("bob").identifiers)
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    assert not any(each.verified_at for each in shop.profile("bob").identifiers)
    assert any(each.verified_at for each in shop.profile("ann").identifiers)


def test_links_that_are_old_broken_or_of_another_kind_verify_nothing(shop: Shop) -> None:
    shop.send(typed("ann@example.com"))
    asked(shop)
    [token] = post(shop)
    secret = shop.rt.settings.secret_key
    found = unseal(secret, token)
    assert found is not None
    assert unseal_unsubscribe(secret, token) is None, "a link is good for one thing"
    for bad in ("x", token[:-1], token + "A", "A" * 5_000, seal("another secret", found)):
        assert shop.client.post(f"/c/{bad}").status_code == 404
    stranger = replace(found, visitor_id="0" * 32)
    assert shop.client.post(f"/c/{seal(secret, stranger)}").status_code == 404
    shop.clock.forward(days=3)
    for method in (shop.client.get, shop.client.post):
        assert method(f"/c/{token}").status_code == 410
    shop.processor.drain()
    assert not any(each.verified_at for each in shop.profile("ann").identifiers)


def test_only_what_the_visitor_is_known_by_is_asked_about(shop: Shop) -> None:
    shop.send(typed("ann@example.com"), typed("not an address", field_two="x"))
    with pytest.raises(Invalid):
        asked(shop, "not an address")
    with pytest.raises(NotFound):
        asked(shop, "stranger@example.com")
    with shop.rt.db.begin() as connection:
        subscription = Subscription.email(shop.site.id, "ann@example.com")
        unsubscribes.add(connection, subscription, unsubscribes.WISH, shop.clock())
    with pytest.raises(Conflict):
        asked(shop)


@pytest.mark.parametrize("value", ["a\nb@example.com", "ann@example.com"])
def test_a_confirmation_is_read_as_it_was_written(value: str, shop: Shop) -> None:
    moment = shop.clock() + timedelta(days=1)
    made = Confirmation(site_id="s", visitor_id="v", kind="email", value=value, expires_at=moment)
    assert unseal("secret", seal("secret", made)) == made


def told(shop: Shop, path: str = "inbox", **who: str) -> dict[str, Any]:
    answer = shop.client.post(f"/v1/{path}", data=json.dumps({"writeKey": WRITE_KEY, **who}))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def inbox(shop: Shop, path: str = "inbox", **who: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told(shop, path, **who)["items"]
    return found


def proven(shop: Shop, user_id: str, anonymous_id: str) -> Mapping[str, str]:
    return {"anonymousId": anonymous_id, "userId": user_id, "userHash": user_hash(shop.site.secret_key, user_id)}


def test_a_second_person_on_the_same_browser_sees_nothing_of_the_first(each_shop: Shop) -> None:
    """The SDK begins a new anonymous id for them; even a page that does not, shows them nothing."""
    shop = each_shop
    shop.rule(popup_rule("Hello", message=CHAT, reentry={"policy": "every"}))
    shop.send(identify("first"), call("Hello"))
    assert len(inbox(shop, **proven(shop, "first", "ann"))) == 1
    shop.send(identify("second"))
    strangers: list[Mapping[str, str]] = [
        proven(shop, "second", "ann"),
        proven(shop, "nobody yet", "ann"),
        {"anonymousId": "ann", "userId": "second"},
        {"anonymousId": "new", "userId": "first"},
        {"anonymousId": "new"},
    ]
    for who in strangers:
        assert inbox(shop, **who) == inbox(shop, "conversation", **who) == [], who
    [message] = shop.messages()
    shop.send(call("Message Shown", {"message_id": message.id}))
    shop.send(call("Message Replied", {"message_id": message.id, "text": "my secret"}))
    for who in strangers:
        assert inbox(shop, **who) == inbox(shop, "conversation", **who) == [], who
    assert [each["reply"] for each in inbox(shop, "conversation", **proven(shop, "first", "ann"))] == ["my secret"]


def test_a_signed_user_has_the_same_conversation_on_every_device(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("Hello", message=CHAT, reentry={"policy": "every"}))
    shop.send(call("Hello", anonymousId="phone"))
    [asked_first] = shop.messages()
    shop.send(call("Message Shown", {"message_id": asked_first.id}, anonymousId="phone"))
    shop.send(call("Message Replied", {"message_id": asked_first.id, "text": "Yes"}, anonymousId="phone"))
    shop.send(identify("u", anonymousId="phone"), identify("u", anonymousId="laptop"))
    shop.clock.forward(minutes=1)
    shop.send(call("Hello", anonymousId="laptop"))
    phone, laptop = proven(shop, "u", "phone"), proven(shop, "u", "laptop")
    said = inbox(shop, "conversation", **laptop)
    assert said == inbox(shop, "conversation", **phone)
    assert [(each["id"], each["reply"]) for each in said] == [(asked_first.id, "Yes")]
    assert inbox(shop, **laptop) == inbox(shop, **phone)
    assert len(inbox(shop, **phone)) == 1
    claimed = {"anonymousId": "laptop", "userId": "u"}
    assert inbox(shop, "conversation", **claimed) == [], "whoever only claims has what began on this device"
    assert len(inbox(shop, **claimed)) == 1
    assert inbox(shop, **{**claimed, "anonymousId": "phone"}) == []
    assert len(inbox(shop, "conversation", **{**claimed, "anonymousId": "phone"})) == 1


def test_whoever_guesses_the_id_of_a_proven_user_is_told_no_text_about_them(each_shop: Shop) -> None:
    shop = each_shop
    rule = popup_rule("Hello", message={**CHAT, "variants": [{"name": "A", "content": {"title": "Hi", "body": NAMED}}]})
    shop.rule({**rule, "reentry": {"policy": "every"}})
    signed = {"userHash": user_hash(shop.site.secret_key, "u")}
    shop.send(identify("u", {"first_name": "Ada"}, anonymousId="phone", context=signed))
    shop.send(call("Hello", anonymousId="evil"))
    shop.send(identify("u", anonymousId="evil"))
    shop.clock.forward(minutes=1)
    shop.send(call("Hello", anonymousId="evil", userId="u"))
    claim = {"anonymousId": "evil", "userId": "u"}
    assert [each["body"] for each in inbox(shop, **claim)] == ["Dear friend"], "from before the claim"
    viewing = viewer(shop.site, "evil", "u", None)
    assert streams(shop.rt, viewing) == (anonymous_visitor(shop.site.id, "evil"),), "nor does what comes"
    bodies = sorted(each["body"] for each in inbox(shop, **proven(shop, "u", "phone")))
    assert bodies == ["Dear Ada", "Dear friend"]
    for message in shop.messages():
        shop.send(call("Message Shown", {"message_id": message.id}, anonymousId="evil"))
    assert [each["body"] for each in inbox(shop, "conversation", **claim)] == ["Dear friend"]


def test_only_a_proven_user_is_told_that_there_is_a_conversation_and_what_of_it_was_never_opened(
    each_shop: Shop,
) -> None:
    shop = each_shop
    shop.rule(popup_rule("Hello", message=CHAT, reentry={"policy": "every"}))

    def note(**who: str) -> Any:
        return told(shop, **who).get("conversation")

    def report(what: str, message: Message) -> None:
        shop.clock.forward(minutes=1)
        shop.send(call(f"Message {what}", {"message_id": message.id}, anonymousId="phone"))

    shop.send(identify("u", anonymousId="phone"), identify("v", anonymousId="other"))
    shop.send(call("Hello", anonymousId="phone"))
    [first] = shop.messages()
    laptop = proven(shop, "u", "laptop")
    assert note(**laptop) is None, "nothing was said yet: it waits, and comes as a message"
    report("Shown", first)
    seen = {"id": "conversation", "user_id": "u", "anonymous_id": "laptop", "unread": [first.id], "talks": []}
    assert note(**laptop) == seen
    claims = (
        {"anonymousId": "laptop", "userId": "u"},
        {"anonymousId": "phone", "userId": "u"},
        {"anonymousId": "phone"},
    )
    for who in (*claims, proven(shop, "v", "phone"), proven(shop, "v", "laptop"), proven(shop, "nobody", "phone")):
        assert note(**who) is None, who
    report("Clicked", first)
    assert note(**laptop)["unread"] == []
    shop.clock.forward(minutes=1)
    shop.send(call("Hello", anonymousId="phone"))
    second = next(each for each in shop.messages() if each.id != first.id)
    report("Shown", second)
    assert note(**laptop)["unread"] == [second.id]
    report("Dismissed", second)
    assert note(**laptop)["unread"] == []


def test_after_an_undo_a_stream_shows_the_other_no_more(shop: Shop) -> None:
    shop.rule(popup_rule("Hello", message=CHAT, reentry={"policy": "every"}))
    shop.send(identify("u"), identify("v", anonymousId="bob"), call("Hello"))
    u, v = known_visitor(shop.site.id, "u"), known_visitor(shop.site.id, "v")
    assert inbox(shop, **proven(shop, "v", "bob")) == []
    mailbox = shop.rt.live.subscribe([v])
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    assert made is not None
    assert len(inbox(shop, **proven(shop, "v", "bob"))) == 1, "one person"
    unmerge(shop.rt, shop.site, v, made.id, "tests")
    assert inbox(shop, **proven(shop, "v", "bob")) == []
    assert len(inbox(shop, **proven(shop, "u", "ann"))) == 1
    with shop.rt.db.read() as connection:
        assert len(merges.list_merges(connection, [u, v], 10)) == 3
    shop.rt.live.unsubscribe(mailbox)
