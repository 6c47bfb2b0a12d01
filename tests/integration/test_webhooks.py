"""Webhooks of journeys: promised with the step, signed, sent until they are answered, and never after that."""

import base64
import hmac
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from backend.channels.base import Circuit
from backend.domain.consent import ConsentPolicy
from backend.domain.site import Policy
from backend.domain.unsubscribe import Subscription
from backend.domain.webhook import webhook_secret
from backend.pipeline import upkeep
from backend.pipeline.call_out import MOST_HELD, PER_TARGET, Callers, deliver_webhook, retry_after
from backend.pipeline.status import status
from backend.storage import sites, unsubscribes, visitors, webhooks
from backend.storage.queue import WEBHOOKS
from backend.storage.sites import update_site
from backend.storage.webhooks import LEASE
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import START, Shop, call, identify, process_environ
from tests.forked import Forked
from tests.integration.mail_world import wait_until
from tests.integration.test_outbound import drip_body, hang, reset
from tests.integration.test_process_crashes import lapse
from tests.integration.web_server import Asked, WebServer, answer, web_server
from tests.integration.webhook_world import TRAITS, Hooks, journey

WORKER = Path(__file__).with_name("worker_process.py")
DAY = timedelta(days=1)


@pytest.fixture
def server() -> Iterator[WebServer]:
    """Takes everything."""
    with web_server() as opened:
        yield opened


def verify(secret: str, headers: dict[str, str], body: bytes) -> None:
    """As a receiver would, written after standardwebhooks.com."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
    assert hmac.compare_digest(wanted, headers["webhook-signature"])


def test_a_journey_calls_its_webhook_once_signed_and_tells_what_happened(each_shop: Shop, server: WebServer) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    rule_id = shop.rule(journey(server.url()))
    shop.send(identify("user-1", TRAITS))
    ref = hooks.order(total=12.5)
    hooks.deliver(ref, ref)
    [asked] = server.asked
    verify(webhook_secret(shop.site.secret_key), asked.headers, asked.body)
    assert asked.method == "POST"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == asked.headers["webhook-id"] == ref[1]
    assert int(asked.headers["webhook-timestamp"]) == int(shop.clock().timestamp())
    [enrolment] = shop.enrolments()
    assert asked.json["rule"] == {"id": rule_id, "name": "Tell the warehouse", "version": 1}
    assert asked.json["step"] == "webhook 1"
    assert asked.json["enrolment_id"] == enrolment.id
    profile = shop.profile()
    told = {"id": profile.id, "user_id": "user-1", "anonymous_id": "ann", "traits": TRAITS}
    assert asked.json["visitor"] == told
    assert asked.json["event"]["event"] == "Order Completed"
    assert asked.json["event"]["properties"] == {"order_id": "o-1", "total": 12.5}
    assert asked.json["event"]["message_id"] == enrolment.trigger.message_id
    assert asked.json["at"] == "2026-03-01T09:00:00Z"
    found = hooks.get(ref)
    assert (found.status, found.answered, found.attempts, found.reason) == ("delivered", 200, 1, None)
    assert (enrolment.outcome, [(n.step, n.result, n.detail) for n in enrolment.notes]) == (
        "completed",
        [("webhook 1", "promised", f"webhook {ref[1]}")],
    )


def test_what_is_sent_can_be_said_in_the_rule(shop: Shop, server: WebServer) -> None:
    hooks = Hooks.of(shop)
    body = {
        "order": "{{ event.properties.order_id }}",
        "deep": [{"who": "{{ plan | upcase }}", "n": 1.5, "yes": True, "none": None}],
    }
    headers = {"Authorization": "Bearer {{ plan }}", "X-Two": "2"}
    shop.rule(journey(server.url("/"), method="PUT", headers=headers, body=body))
    shop.send(identify("user-1", TRAITS))
    hooks.deliver(hooks.order())
    [asked] = server.asked
    assert (asked.method, asked.path) == ("PUT", "/")
    assert (asked.headers["authorization"], asked.headers["x-two"]) == ("Bearer gold", "2")
    assert asked.json == {"order": "o-1", "deep": [{"who": "GOLD", "n": 1.5, "yes": True, "none": None}]}


def test_values_in_an_address_are_escaped_and_cannot_lead_elsewhere(shop: Shop, server: WebServer) -> None:
    hooks = Hooks.of(shop)
    url = server.url("/orders/{{ event.properties.order_id }}?plan={{ plan }}&x={{ plan | url_encode }}")
    shop.rule(journey(url, method="PUT", body={"n": 1}))
    shop.send(identify("user-1", {"plan": "gold ü&x=1#"}))
    hooks.deliver(hooks.order(order_id="a/../b c?"))
    [asked] = server.asked
    assert asked.method == "PUT"
    assert asked.json == {"n": 1}
    assert asked.path == "/orders/a%2F..%2Fb%20c%3F?plan=gold%20%C3%BC%26x%3D1%23&x=gold+%C3%BC%26x%3D1%23"
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"order_id": ".."}))
    [*_, last] = shop.enrolments()
    assert [(note.result, note.reason) for note in last.notes] == [("skipped", "not_callable")]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [({}, "missing_value"), ({"who": "a\r\nX-Evil: 1"}, "not_callable"), ({"who": "ü"}, "not_callable")],
)
def test_a_webhook_that_cannot_be_written_is_left_out_and_the_journey_goes_on(
    shop: Shop, server: WebServer, properties: Any, reason: str
) -> None:
    shop.rule(journey(server.url(), {"set_trait": {"told": True}}, headers={"X-Who": "{{ event.properties.who }}"}))
    shop.send(call("Order Completed", properties))
    [enrolment] = shop.enrolments()
    assert [(note.result, note.reason) for note in enrolment.notes] == [("skipped", reason), ("reported", None)]
    assert Hooks.of(shop).all() == []
    assert shop.profile().traits == {"told": True}


def test_a_body_that_grows_too_large_is_not_sent(shop: Shop, server: WebServer) -> None:
    text = "{{ event.properties.text }}"
    shop.rule(journey(server.url(), body={"all": [text] * 50}))
    shop.send(call("Order Completed", {"text": "x" * 8_000}))
    [enrolment] = shop.enrolments()
    assert [(note.result, note.reason) for note in enrolment.notes] == [("skipped", "not_callable")]


SCHEDULE = [10, 60, 300, 1_800, 7_200, 21_600, 21_600, 21_600]


def test_it_is_tried_again_later_and_later_with_the_same_id_for_a_day(each_shop: Shop) -> None:
    """F36"""
    shop, hooks = each_shop, Hooks.of(each_shop)
    with web_server(answer(500, "out\x00 of\r\norder")) as server:
        shop.rule(journey(server.url()))
        ref = hooks.order()
        waits: list[float] = []
        while hooks.get(ref).status == "queued":
            hooks.deliver(ref)
            found = hooks.get(ref)
            if found.status == "queued":
                assert found.reason == "500 out of order"
                assert found.answered == 500
                waits.append((found.due_at - shop.clock()).total_seconds())
                hooks.deliver(ref)  # too early
                shop.clock.now = found.due_at
    found = hooks.get(ref)
    assert (found.status, found.attempts) == ("failed", len(waits) + 1)
    assert found.ended_at is not None
    assert DAY <= found.ended_at - START <= DAY * 1.1
    for wait, planned in zip(waits, SCHEDULE, strict=False):
        assert planned <= wait <= planned * 1.1 + 1 or shop.clock() >= found.expires_at
    assert len(server.asked) == len(waits) + 1
    assert len({each.headers["webhook-id"] for each in server.asked}) == 1
    assert len({each.headers["webhook-timestamp"] for each in server.asked}) > 1
    for each in server.asked:
        verify(webhook_secret(shop.site.secret_key), each.headers, each.body)


def test_first_500_then_200_is_delivered_once(shop: Shop) -> None:
    answers = [answer(500), answer(200)]
    with web_server(lambda *_: answers.pop(0)) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        for _ in range(4):
            hooks.deliver(ref)
            shop.clock.forward(seconds=12)
    assert hooks.states([ref]) == [("delivered", 2)]
    assert len(server.asked) == 2


@pytest.mark.parametrize("code", [400, 401, 404, 410, 422, 451])
def test_a_clear_no_is_the_end_of_it(shop: Shop, code: int) -> None:
    with web_server(answer(code, "Gone.")) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        hooks.deliver(ref)
    found = hooks.get(ref)
    assert (found.status, found.reason, found.answered) == ("failed", f"{code} Gone.", code)
    assert hooks.circuit.open_until(shop.clock()) is None


@pytest.mark.parametrize("code", [301, 302, 408, 425, 429, 500, 503])
def test_what_may_pass_is_tried_again(shop: Shop, code: int) -> None:
    with web_server(answer(code, Location="/elsewhere")) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        hooks.deliver(ref)
    assert hooks.states([ref]) == [("queued", 1)]
    assert len(server.asked) == 1


@pytest.mark.parametrize(("asked", "seconds"), [("300", 300), ("1", 10), ("Sun, 01 Mar 2026 09:10:00 GMT", 600)])
def test_who_asks_for_time_gets_it(shop: Shop, asked: str, seconds: int) -> None:
    with web_server(answer(429, Retry_After=asked)) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        hooks.deliver(ref)
    assert seconds <= (hooks.get(ref).due_at - START).total_seconds() <= seconds * 1.1
    until = hooks.circuit.open_until(START)
    assert until is not None, "the others wait too"
    assert until <= START + timedelta(seconds=60)


def test_who_asks_for_more_than_a_day_is_given_up(shop: Shop) -> None:
    with web_server(answer(503, Retry_After="100000")) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        hooks.deliver(ref)
    assert hooks.states([ref]) == [("failed", 1)]


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1.5", "٣", "Sun, 99 Mar 2026 09:10:00 GMT", "9" * 400 + "x"])
def test_a_wish_for_time_that_makes_no_sense_is_none(text: str | None) -> None:
    assert retry_after(text, START) is None


@pytest.mark.parametrize("script", [hang, reset])
def test_a_lost_answer_is_made_good_by_the_same_id(each_shop: Shop, script: Any) -> None:
    """Unlike a mail: the receiver can tell."""
    scripts = [script, lambda *_: answer(204)]
    with web_server(lambda asked, connection: scripts.pop(0)(asked, connection)) as server:
        hooks = Hooks.of(each_shop, total_seconds=1)
        each_shop.rule(journey(server.url()))
        ref = hooks.order()
        hooks.deliver(ref)
        assert hooks.states([ref]) == [("queued", 1)]
        each_shop.clock.forward(seconds=12)
        hooks.deliver(ref)
    assert hooks.states([ref]) == [("delivered", 2)]
    assert [each.headers["webhook-id"] for each in server.asked] == [ref[1]] * 2


def test_a_private_target_is_not_called_and_the_reason_says_what_would_help(shop: Shop, server: WebServer) -> None:
    hooks = Hooks.of(shop)
    shop.rule(journey(server.url()))
    ref = hooks.order()
    deliver_webhook(shop.rt, replace(hooks.out, allowed=type(hooks.out.allowed)()), ref, Circuit())
    found = hooks.get(ref)
    assert found.status == "failed"
    assert "CHIMEIN_ALLOW_PRIVATE" in str(found.reason)
    assert server.asked == []


def test_pause_removal_and_erasure_beat_what_is_queued(each_shop: Shop, server: WebServer) -> None:
    """I8"""
    shop, hooks = each_shop, Hooks.of(each_shop)
    rule_id = shop.rule(journey(server.url()))
    paused = hooks.order("ann")
    shop.set_rule(rule_id, "paused")
    hooks.deliver(paused)
    assert (hooks.get(paused).status, hooks.get(paused).reason) == ("skipped", "rule_paused")
    shop.set_rule(rule_id, "active")
    hooks.deliver(paused)
    assert hooks.get(paused).status == "skipped", "what was skipped does not come back by itself"
    erased = hooks.order("bob")
    with shop.rt.db.begin() as connection:
        assert visitors.erase(connection, shop.site.id, erased[0])
    hooks.deliver(erased)
    assert [each.id for each in hooks.all()] == [paused[1]], "nothing of the erased is kept"
    assert server.asked == []


def test_whoever_is_erased_while_it_is_on_its_way_leaves_no_trace(shop: Shop) -> None:
    hooks = Hooks.of(shop)

    def erase(asked: Asked, _connection: socket.socket) -> bytes:
        with shop.rt.db.begin() as connection:
            assert visitors.erase(connection, shop.site.id, asked.json["visitor"]["id"])
        return answer(500)

    with web_server(erase) as server:
        shop.rule(journey(server.url()))
        hooks.deliver(hooks.order())
    assert hooks.all() == []


def test_unsubscribing_does_not_stop_it_for_it_is_no_message(shop: Shop, server: WebServer) -> None:
    hooks = Hooks.of(shop)
    shop.rule(journey(server.url()))
    shop.send(identify("user-1", TRAITS))
    with shop.rt.db.begin() as connection:
        wish = Subscription.email(shop.site.id, TRAITS["email"])
        unsubscribes.add(connection, wish, unsubscribes.WISH, shop.clock())
    ref = hooks.order()
    hooks.deliver(ref)
    assert hooks.get(ref).status == "delivered"


@pytest.mark.parametrize("category", ["promotional", "transactional"])
def test_it_asks_for_the_consent_that_a_mail_would_need(each_shop: Shop, server: WebServer, category: str) -> None:
    shop = each_shop
    shop.site = replace(shop.site, policy=Policy(consent=ConsentPolicy(mail="marketing")))
    with shop.rt.db.begin() as connection:
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()
    shop.restart()
    hooks, document = Hooks.of(shop), journey(server.url(), {"emit": {"event": "Told"}}) | {"category": category}
    shop.rule(document)
    shop.send(call("Order Completed", {"order_id": "o-0"}, messageId="m0"))
    promotional = category == "promotional"
    assert len(hooks.all()) == (0 if promotional else 1)
    assert shop.profile().counts == {"Order Completed": 1, "Told": 1}, "the journey goes on"
    if promotional:
        [note] = [each for each in shop.enrolments()[0].notes if each.result == "skipped"]
        assert (note.reason, note.detail) == ("no_consent", "They have not agreed to marketing.")
    shop.clock.forward(minutes=1)
    shop.send(call("Cart Viewed", context={"consent": {"marketing": True}}))
    withdrawn = hooks.order()
    sent = hooks.order(order_id="o-2")
    hooks.deliver(sent)
    assert hooks.get(sent).status == "delivered"
    shop.clock.forward(minutes=1)
    shop.send(call("Cart Viewed", context={"consent": {"marketing": False}}))
    hooks.deliver(withdrawn)
    ended = hooks.get(withdrawn)
    assert (ended.status, ended.reason) == (("skipped", "no_consent") if promotional else ("delivered", None))
    assert shop.simulate(document).summary["webhooks"] == len(hooks.all()) == (2 if promotional else 3)


def test_a_simulation_counts_them_and_calls_nobody(shop: Shop, server: WebServer) -> None:
    document = journey(server.url(), {"delay": "1h"}, {"webhook": {"url": server.url("/second")}})
    shop.send(call("Order Completed", {}), call("Order Completed", {}, anonymousId="bob"))
    shop.clock.forward(hours=2)
    result = shop.simulate(document)
    assert result.summary["webhooks"] == 4
    assert [each.webhooks for each in result.items] == [2, 2]
    assert Hooks.of(shop).all() == server.asked == []


def test_a_lease_that_lapsed_is_taken_back_and_a_late_answer_still_counts(each_shop: Shop, server: WebServer) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    shop.rule(journey(server.url()))
    ref = hooks.order()
    with shop.rt.db.begin() as connection:
        lost = webhooks.claim(connection, ref, shop.clock())
        assert lost is not None
        assert webhooks.claim(connection, ref, shop.clock()) is None
    upkeep.recover_webhooks(shop.rt)
    assert hooks.states([ref]) == [("sending", 0)]
    shop.clock.now += LEASE
    upkeep.recover_webhooks(shop.rt)
    assert hooks.states([ref]) == [("queued", 1)]
    with shop.rt.db.begin() as connection:
        assert not webhooks.failed(connection, lost, "no", 400, shop.clock())
        assert not webhooks.again(connection, lost, shop.clock(), "no", None)
        assert webhooks.delivered(connection, lost, 200, shop.clock())
    hooks.deliver(ref)
    assert hooks.get(ref).status == "delivered"
    assert server.asked == []


def test_a_webhook_that_kills_every_worker_comes_to_an_end(shop: Shop, server: WebServer) -> None:
    """I5"""
    hooks = Hooks.of(shop)
    shop.rule(journey(server.url()))
    ref = hooks.order()
    for _ in range(50):
        with shop.rt.db.begin() as connection:
            assert webhooks.claim(connection, ref, shop.clock()) is not None
        shop.clock.now += LEASE
        upkeep.recover_webhooks(shop.rt)
    hooks.deliver(ref)
    assert (hooks.get(ref).status, hooks.get(ref).reason) == ("failed", "worker_lost")


def test_the_tick_rings_for_what_is_due_and_the_status_counts_it(each_shop: Shop, server: WebServer) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    shop.rule(journey(server.url()))
    ref = hooks.order()
    assert shop.rt.queue.waiting(WEBHOOKS) == 1, "the bell rang"
    shop.rt.redis.flushall()
    assert status(shop.rt)["pending_jobs"] == 1
    upkeep.ring_webhooks(shop.rt)
    assert shop.rt.queue.waiting(WEBHOOKS) == 0, "its own bell has a moment"
    shop.clock.forward(seconds=4)
    upkeep.ring_webhooks(shop.rt)
    assert shop.rt.queue.waiting(WEBHOOKS) == 1
    hooks.deliver(ref)
    assert status(shop.rt)["pending_jobs"] == 0


def test_what_ended_long_ago_is_forgotten_a_piece_at_a_time(each_shop: Shop, server: WebServer) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    shop.rule(journey(server.url()))
    old = [hooks.order(f"visitor-{number}") for number in range(5)]
    hooks.deliver(*old[:4])
    with shop.rt.db.begin() as connection:
        assert webhooks.requeue(connection, old[4], shop.clock())
        assert webhooks.claim(connection, old[4], shop.clock()) is not None  # and nobody ever answers
    shop.clock.forward(days=29)
    young = hooks.order("late")
    hooks.deliver(young)
    assert upkeep.forget_webhooks(shop.rt) == 0
    shop.clock.forward(days=1, seconds=1)
    with shop.rt.db.begin() as connection:
        moment = shop.clock()
        assert webhooks.forget(connection, shop.site.id, moment - 30 * DAY, 3) == 3, "a piece is no larger"
        assert webhooks.forget(connection, "somebody else's", moment, 3) == 0
    assert upkeep.forget_webhooks(shop.rt) == 1
    assert {(each.visitor_id, each.id) for each in hooks.all()} == {old[4], young}, "what is under way stays"


def test_a_webhook_that_was_sent_again_is_kept_from_its_last_end_on(each_shop: Shop) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    with web_server(answer(400)) as refusing:
        shop.rule(journey(refusing.url()))
        ref = hooks.order()
        hooks.deliver(ref)
        assert hooks.states([ref]) == [("failed", 1)]
        shop.clock.forward(days=29)
        with shop.rt.db.begin() as connection:
            assert webhooks.requeue(connection, ref, shop.clock())
        hooks.deliver(ref)
    shop.clock.forward(days=29)
    assert upkeep.forget_webhooks(shop.rt) == 0
    shop.clock.forward(days=2)
    assert upkeep.forget_webhooks(shop.rt) == 1


def test_each_site_says_how_long_its_webhooks_are_kept_and_many_take_several_pieces(
    each_shop: Shop, server: WebServer
) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    shop.rule(journey(server.url()))
    pattern = hooks.get(hooks.order())
    ended = replace(pattern, status="delivered", ended_at=shop.clock())
    with shop.rt.db.begin() as connection:
        policy = replace(shop.site.policy, webhook_retention=2 * DAY)
        sites.update_site(connection, shop.rt.sites.vault, replace(shop.site, policy=policy))
        webhooks.insert(connection, [replace(ended, id=f"{ended.visitor_id}.{n:032x}") for n in range(1_200)])
    shop.clock.forward(days=2)
    assert upkeep.forget_webhooks(shop.rt) == 0
    shop.clock.forward(seconds=1)
    assert upkeep.forget_webhooks(shop.rt) == 1_200
    assert [each.id for each in hooks.all()] == [pattern.id]


def drained(hooks: Hooks) -> bool:
    return not {each.status for each in hooks.all()} & {"queued", "sending"}


def test_a_slow_target_takes_a_few_threads_and_nobody_else_waits(shop: Shop) -> None:
    """I6: the slow one would take (40 / PER_TARGET) times as long as one call."""
    at_once, most = [0], [0]
    lock = threading.Lock()
    release = threading.Event()

    def slowly(_asked: Asked, _connection: socket.socket) -> bytes:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        release.wait(10)
        with lock:
            at_once[0] -= 1
        return answer()

    hooks = Hooks.of(shop, total_seconds=10)
    with web_server(slowly) as slow, web_server() as quick:
        shop.rule(journey(slow.url()))
        for number in range(40):
            hooks.order(f"s{number}")
        waiting = [(each.visitor_id, each.id) for each in hooks.all()]
        shop.rule(journey(quick.url()) | {"trigger": {"event": "Quick"}})
        shop.send(*(call("Quick", {}, anonymousId=f"q{number}") for number in range(40)))
        others = [(w.visitor_id, w.id) for w in hooks.all() if (w.visitor_id, w.id) not in waiting]
        callers = Callers(shop.rt, hooks.out)
        try:
            callers.add(waiting)
            callers.add(waiting)
            callers.add(others)
            wait_until(lambda: len(quick.asked) == 40)
            assert len(slow.asked) <= PER_TARGET
            release.set()
            wait_until(lambda: drained(hooks))
        finally:
            release.set()
            callers.close()
    assert most[0] == PER_TARGET
    assert {each.status for each in hooks.all()} == {"delivered"}
    assert Counter(each.headers["webhook-id"] for each in slow.asked).most_common(1)[0][1] == 1


def test_a_target_that_hangs_is_left_alone_and_what_waits_for_it_goes_back(shop: Shop) -> None:
    with web_server(hang) as server:
        hooks = Hooks.of(shop, total_seconds=0.5)
        shop.rule(journey(server.url()))
        refs = [hooks.order(f"v{number}") for number in range(MOST_HELD + 30)]
        callers = Callers(shop.rt, hooks.out)
        try:
            callers.add(refs)
            wait_until(lambda: all(each.due_at > shop.clock() for each in hooks.all()))
            assert len(server.asked) <= 2 * PER_TARGET
            assert {each.status for each in hooks.all()} == {"queued"}
            assert sum(each.attempts for each in hooks.all()) == len(server.asked)
            callers.add(refs)
            shop.clock.forward(seconds=70)
            server.script = lambda *_: answer()
            callers.add(refs)
            wait_until(lambda: len([w for w in hooks.all() if w.status == "delivered"]) >= MOST_HELD)
        finally:
            callers.close()


def test_what_a_dead_target_never_took_ends_with_its_day(shop: Shop, server: WebServer) -> None:
    hooks = Hooks.of(shop)
    shop.rule(journey(server.url()))
    first, second = hooks.order("ann"), hooks.order("bob")
    with shop.rt.db.begin() as connection:
        webhooks.defer(connection, [first], shop.clock() + DAY)
        webhooks.defer(connection, [second], shop.clock() + DAY / 2)
    assert (hooks.get(first).status, hooks.get(first).reason) == ("failed", "target_down")
    assert hooks.get(second).status == "queued"


def start(shop: Shop, crash_at: str = "") -> Forked:
    """A `work` process on the shop's database and Redis, whose clock is the wall's."""
    more = {"CHIMEIN_CRASH_AT": crash_at} if crash_at else {}
    environ = process_environ(shop, CHIMEIN_ALLOW_PRIVATE="127.0.0.1", **more)
    return Forked(WORKER, environ=environ)


def later(shop: Shop) -> None:
    """Upkeep, at a time when every lease has lapsed; then what is queued is due."""
    shop.clock.now += timedelta(days=3650)
    upkeep.recover_webhooks(shop.rt)
    shop.clock.now = START


CRASHES = [
    # Where it dies; how often the middle one of three was sent before and after.
    ("before_webhook_claim:2", 1),
    ("after_webhook_claim:2", 1),
    ("before_webhook_outcome:2", 2),
]


@pytest.mark.parametrize(("crash_at", "times"), CRASHES)
def test_a_worker_that_dies_loses_no_webhook_and_repeats_none_that_was_answered(
    crash_at: str, times: int, shop: Shop
) -> None:
    """F4: at least once, with the same id, and never after an answer that was written down."""
    with web_server() as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        refs = [hooks.order(f"v{number}") for number in range(3)]
        # One after another, so that it is the second that dies.
        shop.rt.redis.flushall()
        first = start(shop, crash_at)
        try:
            for ref in refs:
                shop.rt.queue.enqueue([ref], WEBHOOKS)
                wait_until(lambda ref=ref: hooks.get(ref).status == "delivered" or first.poll() is not None, 30)  # type: ignore[misc]
            assert first.wait(10) == 137
        finally:
            first.kill()
            first.wait()
        assert not drained(hooks)
        later(shop)
        second = start(shop)
        try:
            shop.rt.queue.enqueue(refs, WEBHOOKS)
            wait_until(lambda: drained(hooks), 30)
            shop.rt.queue.enqueue(refs, WEBHOOKS)
            wait_until(lambda: shop.rt.queue.waiting(WEBHOOKS) == 0)
            second.terminate()
            assert second.wait(10) == 0
        finally:
            second.kill()
            second.wait()
        sent = Counter(each.headers["webhook-id"] for each in server.asked)
        assert {each.status for each in hooks.all()} == {"delivered"}
        assert [sent[ref[1]] for ref in refs] == [1, times, 1]


def test_a_worker_killed_while_it_waits_for_the_answer_sends_it_again_with_the_same_id(shop: Shop) -> None:
    workers: list[Forked] = []

    def kill(_asked: Asked, _connection: socket.socket) -> bytes:
        if len(workers) == 1:
            workers[0].send_signal(signal.SIGKILL)
            workers[0].wait()
        return answer()

    with web_server(kill) as server:
        hooks = Hooks.of(shop)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        for _ in range(2):
            shop.rt.queue.enqueue([ref], WEBHOOKS)
            workers.append(start(shop))
            try:
                wait_until(lambda: drained(hooks) or workers[-1].poll() is not None, 30)
            finally:
                workers[-1].kill()
                workers[-1].wait()
            later(shop)
        assert [each.headers["webhook-id"] for each in server.asked] == [ref[1]] * 2
    assert hooks.states([ref]) == [("delivered", 2)]


@pytest.mark.parametrize("at", ["after_enrolments", "after_messages", "before_commit", "after_commit", "after_bell"])
def test_the_promise_is_made_with_the_step_or_not_at_all(shop: Shop, server: WebServer, at: str) -> None:
    """I2: the processor dies, and another one goes on."""
    shop.rule(journey(server.url()))
    shop.put(call("Order Completed", {"order_id": "o-1"}))
    worker = Path(__file__).with_name("core_worker.py")
    for crash_at in (at, None):
        environ = process_environ(shop, **({"CHIMEIN_CRASH_AT": crash_at} if crash_at else {}))
        ended = Forked(worker, "drain", shop.clock().isoformat(), environ=environ).wait(60)
        assert ended == (137 if crash_at else 0)
        made = Hooks.of(shop).all()
        assert len(shop.enrolments()) == len(made)
        lapse(shop)
    assert len(made) == 1


def test_an_answer_that_drips_for_ever_counts_by_its_status(shop: Shop) -> None:
    with web_server(drip_body) as server:
        hooks = Hooks.of(shop, total_seconds=1)
        shop.rule(journey(server.url()))
        ref = hooks.order()
        began = time.monotonic()
        hooks.deliver(ref)
        assert time.monotonic() - began < 8
    assert hooks.get(ref).status == "delivered"


def test_texts_that_no_database_likes_are_kept_and_sent(each_shop: Shop, server: WebServer) -> None:
    shop, hooks = each_shop, Hooks.of(each_shop)
    shop.rule(journey(server.url()))
    ref = hooks.order(text="a\u2028b 🍵 \\u0000 </script>")
    hooks.deliver(ref)
    assert server.asked[0].json["event"]["properties"]["text"] == "a\u2028b 🍵 \\u0000 </script>"
    assert server.asked[0].body.isascii()
