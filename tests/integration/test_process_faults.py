"""Repeated, late, poisoned and lost events; workers that meet on one partition (F3, F10, F16, F18, F22, F23, F25)."""

import base64
import json
import threading
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from backend.domain.engine import Ruleset
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.domain.rule.compiled import Part
from backend.pipeline import process, reading, repeats
from backend.pipeline.apply import Effects
from backend.pipeline.dead import drop, list_dead, retry
from backend.pipeline.process import Processor
from backend.pipeline.reading import Read
from backend.pipeline.status import status
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import partitions
from backend.storage.log import START, order, partition_of
from backend.storage.partitions import LostRace
from backend.storage.times import to_micros
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, open_shop, popup_rule

BOOM = "Products Searched"


def append(shop: Shop, events: bytes, key: str = "ann", **fields: Any) -> None:
    """Puts something into the log as no collector would, beside the collector's checks."""
    header = Header(1, shop.site.id, to_micros(shop.clock()), **fields)
    shop.rt.log.append([(partition_of(key, shop.rt.log.partitions), wire.encode_header(header), events)])


def counted(shop: Shop, name: str = "ann") -> dict[str, int]:
    found = shop.find(name)
    return dict(found.counts) if found is not None else {}


# Repetition (F22)


def test_f22_the_same_message_ten_times_in_a_batch_counts_once(each_shop: Shop) -> None:
    one = call("Product Added", {"product_id": "mug"}, messageId="m")
    each_shop.rule(popup_rule(reentry={"policy": "every"}))
    each_shop.send(*[one] * 10)
    assert counted(each_shop) == {"Product Added": 1}
    assert each_shop.profile().cart.items[0].quantity == 1
    assert len(each_shop.messages()) == 1


def test_f22_and_across_batches_requests_and_days_whatever_it_says(each_shop: Shop) -> None:
    shop = each_shop
    shop.put(call("Page Viewed", messageId="m"))
    shop.put(call("Page Viewed", messageId="m"), call("Other", messageId="n"))
    shop.send(call("Something Else", {"x": 1}, messageId="m"))
    shop.clock.forward(days=2)
    shop.restart()
    shop.send(call("Page Viewed", messageId="m"), call("Page Viewed", messageId="o"))
    assert counted(shop) == {"Page Viewed": 2, "Other": 1}
    assert len(shop.stored()) == 3


def test_f22_a_message_that_was_sent_before_the_visitor_was_known_and_again_after_counts_once(each_shop: Shop) -> None:
    """The library adds the user id to what lay in its queue when the visitor signed in."""
    shop = each_shop
    shop.send(call("Page Viewed", messageId="m"))
    shop.send(identify("u"))
    shop.send(call("Page Viewed", messageId="m", anonymousId="ann", userId="u"))
    shop.send(call("Page Viewed", messageId="m"))
    assert shop.profile(user_id="u").counts == {"Page Viewed": 1, "Identify": 1}
    assert len(shop.stored()) == 2


def test_f22_even_within_the_batch_that_links_them(each_shop: Shop) -> None:
    each_shop.send(
        call("Page Viewed", messageId="m"),
        call("Page Viewed", messageId="m", anonymousId="ann", userId="u"),
        call("Page Viewed", messageId="m", userId="u"),
    )
    assert each_shop.profile(user_id="u").counts == {"Page Viewed": 1}


def test_f22_under_a_strangers_name_too(each_shop: Shop) -> None:
    shop = each_shop
    shop.put(call("Page Viewed", messageId="m"))
    time.sleep(0.002)  # what comes in within one millisecond has no order
    shop.send(call("Page Viewed", messageId="m", anonymousId="bob"))
    shop.send(call("Page Viewed", messageId="m", anonymousId="carl"), call("Page Viewed", messageId="n"))
    shop.send(call("Page Viewed", messageId="n", userId="u"), call("Other", messageId="o", anonymousId="bob"))
    assert counted(shop) == {"Page Viewed": 2}
    assert counted(shop, "bob") == {"Other": 1}
    assert (shop.find("carl"), shop.find(user_id="u")) == (None, None)
    assert len(shop.stored()) == 3


def test_f22_a_repeat_under_another_name_of_theirs_makes_it_nobody_elses(shop: Shop) -> None:
    shop.send(call("Page Viewed", messageId="m"))
    shop.send(call("Page Viewed", messageId="m", anonymousId="ann", userId="u"))
    shop.send(call("Page Viewed", messageId="m", anonymousId="bob"))
    assert shop.profile(user_id="u").counts == {"Page Viewed": 1}
    assert shop.find("bob") is None


def test_f22_ids_that_only_look_alike_to_the_memory_of_them_are_two(
    each_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "hash", lambda _: 1, raising=False)
    shop = each_shop
    shop.send(call("Page Viewed", messageId="m"), call("Page Viewed", messageId="n", anonymousId="bob"))
    shop.send(call("Page Viewed", messageId="o", anonymousId="carl"))
    assert [counted(shop, name) for name in ("ann", "bob", "carl")] == [{"Page Viewed": 1}] * 3


def test_f22_what_did_not_take_effect_is_not_remembered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.processor.repeats = repeats.Repeats(kept=1)  # so few that the older half is asked too
    shop.put(call("Page Viewed", messageId="m"))
    shop.processor._hold()
    read = shop.processor.reader.next(shop.processor.offsets, 1)
    with monkeypatch.context() as broken:
        broken.setattr(shop.processor.rulesets, "refresh", _refuse)
        with pytest.raises(OperationalError):
            shop.processor.take(read)
    shop.processor.reload()
    shop.processor.drain()
    shop.send(call("Other", messageId="p"))
    shop.send(call("Page Viewed", messageId="m", anonymousId="bob"))
    assert (counted(shop), counted(shop, "bob")) == ({"Page Viewed": 1, "Other": 1}, {})


def _refuse(*_: object) -> None:
    raise OperationalError("SELECT", {}, Exception("gone"))


def test_f22_page_and_backend_tell_the_same_message_in_one_request(each_shop: Shop) -> None:
    """In two partitions, at the same place of each: their order of arrival must differ nevertheless."""
    shop = each_shop
    partition = partition_of("the user", shop.rt.log.partitions)
    browsers = [f"browser{number}" for number in range(20)]
    elsewhere = next(each for each in browsers if partition_of(each, shop.rt.log.partitions) != partition)
    for number in range(20):
        both = {"messageId": f"m{number}", "userId": "the user"}
        shop.send(call("Page Viewed", **both), call("Page Viewed", anonymousId=elsewhere, **both))
    assert shop.profile(user_id="the user").counts == {"Page Viewed": 20}


def test_a_message_without_an_id_gets_one_that_a_second_reading_of_the_log_finds_again(shop: Shop) -> None:
    one = call("Page Viewed")
    del one["messageId"]
    shop.send(one, one, dict(one))
    assert counted(shop) == {"Page Viewed": 3}
    rewind(shop)
    shop.restart().drain()
    assert counted(shop) == {"Page Viewed": 3}


def rewind(shop: Shop) -> None:
    """SQL was restored from a backup: the offsets stand at the beginning again."""
    with shop.rt.db.begin() as connection:
        for partition, offset in partitions.offsets(connection, shop.rt.log.partitions).items():
            partitions.move(connection, partition, offset, START)


# Order and time (F23)


def test_f23_late_and_future_events(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("Ping", reentry={"policy": "every"}))
    shop.send(call("Ping", messageId="late", timestamp=at(days=-3)))
    shop.send(call("Ping", messageId="future", timestamp=at(days=365)))
    shop.send(call("Ping", messageId="no clock", timestamp="1970-01-01T00:00:00Z"))
    shop.send(call("Ping", messageId="the year 2100", timestamp="2100-01-01T00:00:00Z"))
    assert [each.timestamp for each in shop.stored()] == [at(days=-3), at(), at(), at()]
    assert sorted(each.trigger.message_id for each in shop.enrolments()) == ["future", "no clock", "the year 2100"]
    assert shop.profile().first_seen == at(days=-3)
    assert shop.profile().sessions == 2


def test_f23_events_that_arrive_in_reverse_within_a_batch_take_effect_in_order(shop: Shop) -> None:
    shop.rule(popup_rule("Added", delay="1m", cancel=[{"event": "Ordered"}]))
    shop.clock.forward(minutes=5)
    shop.send(
        call("Ordered", timestamp=at(minutes=1)),
        call("Added", timestamp=at(minutes=0.5)),
    )
    assert shop.outcomes() == [("skipped", "cancelled")]


# Poison (F25, F18)


class Trap(dict[str, Any]):
    """Properties that nobody can read."""

    def get(self, *_: Any) -> Any:
        raise ArithmeticError("this event cannot be folded")


class Handler(Processor):
    """A worker to which some messages come with a trap in them."""

    trapped: Collection[str] = ()

    def take(self, read: Read) -> Effects:
        arrived = [
            replace(each, event=replace(each.event, properties=Trap()))
            if each.event.message_id in self.trapped
            else each
            for each in read.arrived
        ]
        return super().take(replace(read, arrived=arrived))


def test_f25_one_event_among_a_thousand_that_cannot_be_folded_is_set_aside_with_the_reason(each_shop: Shop) -> None:
    shop = each_shop
    shop.processor.leave()
    worker = Handler(shop.rt)
    worker.trapped = {"m417"}
    shop.put(
        *(call(BOOM, {"query": f"q{each}"}, messageId=f"m{each}", anonymousId=f"v{each % 50}") for each in range(1_000))
    )
    assert worker.drain() == 999
    assert status(shop.rt)["pending_events"] == 0
    assert status(shop.rt)["dead_events"] == 1
    [dead] = list_dead(shop.rt)
    assert dead.reason == "ArithmeticError: this event cannot be folded"
    assert dead.site_id == shop.site.id
    assert json.loads(dead.payload)["messageId"] == "m417"
    assert counted(shop, f"v{417 % 50}") == {BOOM: 19}
    worker.trapped = ()
    assert retry(shop.rt) == 1
    worker.drain()
    assert counted(shop, f"v{417 % 50}") == {BOOM: 20}
    assert list_dead(shop.rt) == []


def test_f25_what_the_database_refuses_is_found_among_its_neighbours(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    """PostgreSQL takes no NUL; the collector lets none in, so here it comes another way."""
    with open_shop(postgres_url, redis_url, tmp_path) as shop:
        good = [call("Page Viewed", messageId=f"m{each}") for each in range(99)]
        bad = [call("Bad \0 name", messageId="bad one"), call("Page Viewed", messageId="bad \0 id")]
        append(shop, json.dumps([*good[:40], bad[0], *good[40:70], bad[1], *good[70:]]).encode())
        shop.processor.drain()
        assert counted(shop) == {"Page Viewed": 99}
        assert [each.site_id for each in shop.dead()] == [shop.site.id] * 2
        assert all("NUL" in each.reason or "0x00" in each.reason for each in shop.dead()), shop.dead()


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"track","event":"Bad","anonymousId":"ann","timestamp":"never"}',
        b'{"type":"track","event":7,"anonymousId":"ann"}',
        b'"no event at all"',
    ],
)
def test_f25_an_event_that_cannot_be_read_costs_no_neighbour(shop: Shop, bad: bytes) -> None:
    good = json.dumps(call("Page Viewed", messageId="good")).encode()
    append(shop, b"[" + good + b"," + bad + b"," + good.replace(b'"good"', b'"too"') + b"]")
    assert status(shop.rt)["pending_events"] >= 1
    shop.processor.drain()
    assert counted(shop) == {"Page Viewed": 2}
    [dead] = shop.dead()
    assert dead.payload == bad.decode()
    assert dead.site_id == shop.site.id
    shop.send(call("Page Viewed"))
    assert counted(shop) == {"Page Viewed": 3}
    assert retry(shop.rt) == 0 or bad.startswith(b'{"type":"track","event":7')
    shop.processor.drain()
    assert len(shop.dead()) == 1, "it stays until somebody drops it"
    assert drop(shop.rt, [each.id for each in shop.dead()]) == 1


@pytest.mark.parametrize("events", [b"no json", b"", b"[{]", b"\xff\xfe", b"[" * 9_000 + b"]" * 9_000])
def test_f25_an_entry_that_cannot_be_read_at_all_is_set_aside_whole(shop: Shop, events: bytes) -> None:
    append(shop, events)
    shop.put(call("Page Viewed"))
    shop.processor.drain()
    assert counted(shop) == {"Page Viewed": 1}
    assert len(shop.dead()) == 1


def test_f18_an_entry_of_a_newer_version_is_kept_as_it_is_until_this_one_understands_it(shop: Shop) -> None:
    events = json.dumps([call("Page Viewed", messageId="m1"), call("Page Viewed", messageId="m2")]).encode()
    header = wire.encode_header(Header(2, shop.site.id, to_micros(shop.clock()), kind="track"))
    shop.rt.log.append([(0, header, events)])
    shop.put(call("Page Viewed"))
    shop.processor.drain()
    assert counted(shop) == {"Page Viewed": 1}
    [parked] = shop.dead()
    assert "Version 2" in parked.reason
    assert retry(shop.rt) == 1, "put into the log as it was"
    shop.processor.drain()
    [parked] = shop.dead()
    told = json.loads(parked.payload)
    assert base64.b64decode(told["events"]) == events
    assert base64.b64decode(told["header"]) == header


def test_events_that_are_tried_again_are_what_they_were(shop: Shop) -> None:
    """The path told the type, the batch the clock's skew and the context, the collector the id: all of it is kept."""
    shop.clock.forward(hours=1)
    shop.processor.leave()
    worker = Handler(shop.rt)
    skewed = call(BOOM, {"query": "tea"}, messageId="skewed", timestamp=at(), anonymousId="bob")
    shop.put(skewed, sentAt=at(minutes=1).isoformat(), context={"locale": "de"})
    shop.post("/v1/identify", {"anonymousId": "ann", "userId": "u", "traits": {"plan": "paid"}, "messageId": "who"})
    worker.trapped = {"skewed", "who"}
    worker.drain()
    shop.clock.forward(hours=5)
    assert [each.reason for each in shop.dead()] == ["ArithmeticError: this event cannot be folded"]
    worker.trapped = ()
    assert retry(shop.rt, [each.id for each in shop.dead()]) == 1
    worker.drain()
    [event] = [each for each in shop.stored() if each.message_id == "skewed"]
    assert event.timestamp == at(minutes=59)
    assert event.received_at == at(hours=1)
    assert event.context == {"locale": "de"}
    assert shop.profile("bob").device.locale == "de"


def test_a_whole_batch_of_poison_leaves_nothing_behind_and_stops_nobody(shop: Shop) -> None:
    shop.processor.leave()
    worker = Handler(shop.rt)
    worker.trapped = {f"m{each}" for each in range(100)}
    shop.put(*(call(BOOM, messageId=f"m{each}", anonymousId=f"v{each}") for each in range(100)))
    shop.put(call("Page Viewed"))
    worker.drain()
    assert counted(shop) == {"Page Viewed": 1}
    assert len(shop.dead()) == 100
    assert shop.find("v7") is None


def test_retrying_and_dropping_are_for_the_events_that_are_named(shop: Shop) -> None:
    shop.processor.leave()
    worker = Handler(shop.rt)
    worker.trapped = {"a", "b", "c"}
    shop.put(*(call(BOOM, messageId=each) for each in ("a", "b", "c")))
    worker.drain()
    ids = {json.loads(each.payload)["messageId"]: each.id for each in shop.dead()}
    worker.trapped = ()
    assert retry(shop.rt, [ids["a"]]) == 1
    assert drop(shop.rt, [ids["b"]]) == 1
    worker.drain()
    assert {each.message_id for each in shop.stored()} == {"a"}
    assert [each.id for each in shop.dead()] == [ids["c"]]
    assert retry(shop.rt, ["unknown"]) == 0


def test_a_rule_that_raises_costs_neither_the_event_nor_the_other_rules(shop: Shop) -> None:
    """I6: at the trigger, at a cancel and at firing."""

    def broken(_: Any) -> bool:
        raise ZeroDivisionError("a mistake of ours")

    def made(name: str, **fields: Any) -> Any:
        return compile_rule(
            Rule(id=name, site_id=shop.site.id, spec=parse_rule(popup_rule("Ping", **fields)), status="active")
        )

    at_trigger = replace(made("at trigger"), audience=broken, parts=(Part(test=broken, cost=1),))
    late = made("at firing", delay="1m", cancel=[{"event": "Stop"}])
    calls = {"left": 1}

    def only_once(_: Any) -> bool:
        calls["left"] -= 1
        return calls["left"] >= 0 or broken(_)

    at_firing = replace(late, audience=only_once, parts=(Part(test=only_once, cost=1),))
    stop = late.cancels["Stop"][0]
    at_cancel = replace(late, cancels={"Stop": (replace(stop, where=broken),)}, rule=replace(late.rule, id="at cancel"))
    good = made("good")
    fixed = Ruleset.of(shop.site, [at_trigger, at_firing, at_cancel, good])
    shop.processor.rulesets.of = lambda _: fixed  # type: ignore[method-assign]
    shop.send(call("Ping"))
    shop.clock.forward(seconds=30)
    shop.send(call("Stop", anonymousId="ann"))
    shop.wait(minutes=1)
    assert counted(shop) == {"Ping": 1, "Stop": 1}
    ended = {each.rule_id: (each.outcome, each.reason) for each in shop.enrolments()}
    assert ended == {
        "good": ("sent", None),
        "at firing": ("skipped", "cancelled"),
        "at cancel": ("skipped", "rule_failed"),
    }
    assert shop.dead() == []
    calls["left"] = 1
    shop.send(call("Ping", anonymousId="bob"))
    shop.wait(minutes=1)
    assert {each.rule_id: each.reason for each in shop.enrolments("bob")}["at firing"] == "rule_failed"


# Several workers (F3, F16)


def test_f3_of_two_workers_on_one_partition_one_loses_and_leaves_nothing(each_shop: Shop) -> None:
    shop = each_shop
    first = shop.processor
    first._hold()
    shop.rt.redis.flushdb()  # the leases are gone, and both believe to hold everything
    second = Processor(shop.rt)
    second._hold()
    shop.rule(popup_rule())
    shop.put(call("Product Added"))
    read = second.reader.next(second.offsets, 0)
    assert first.drain() == 1
    with pytest.raises(LostRace):
        second.take(read)
    assert counted(shop) == {"Product Added": 1}
    assert len(shop.messages()) == 1
    second.reload()
    second.drain()
    assert counted(shop) == {"Product Added": 1}


def test_two_workers_share_the_partitions_and_finish_what_is_there(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    a, b = Processor(shop.rt), Processor(shop.rt)
    a._hold()
    b._hold()
    for each in (a, b):
        each._leased_at = 0.0
        each._hold()
        each._leased_at = 0.0
    b._hold()
    assert a.held | b.held == set(range(4))
    assert not a.held & b.held
    assert len(a.held) == len(b.held) == 2
    shop.put(*(call("Product Added", anonymousId=f"v{each}") for each in range(40)))
    a.drain()
    b.drain()
    assert len(shop.messages()) == 40


def test_timers_wait_for_what_the_other_worker_has_not_folded_yet(shop: Shop) -> None:
    """The known person's order came through the backend, into a partition that another worker reads."""
    shop.clock.now = shop.clock.now.replace(year=2030)  # after the log's own clock
    backend, browsers = "the user", [f"b{n}" for n in range(50)]
    theirs = partition_of(backend, shop.rt.log.partitions)
    browser = next(each for each in browsers if partition_of(each, shop.rt.log.partitions) != theirs)
    shop.rule(popup_rule(delay="1m", cancel=[{"event": "Order Completed"}]))
    shop.send(identify(backend, anonymousId=browser), call("Product Added", anonymousId=browser))
    ordered_at = shop.clock.forward(seconds=30)
    shop.put(call("Order Completed", {"total": 1}, userId=backend))
    shop.clock.forward(minutes=1)
    worker = shop.processor
    worker.held -= {theirs}
    del worker.offsets[theirs]
    worker.drain()
    assert shop.outcomes(user_id=backend) == [(None, None)], "it may not fire yet"
    shop.restart().drain()
    assert shop.outcomes(user_id=backend) == [("skipped", "cancelled")]
    assert ordered_at < shop.clock.now


@pytest.mark.postgres
def test_f16_workers_that_write_the_same_people_at_the_same_time_end_as_one_would(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    """People with browsers and backends in all partitions; each worker tries again what the database refused."""
    with open_shop(postgres_url, redis_url, tmp_path) as shop:
        shop.rule(popup_rule(reentry={"policy": "every"}))
        for turn in range(30):
            shop.put(
                *(
                    call("Product Added", anonymousId=f"b{(turn * 7 + person) % 40}", userId=f"u{person}")
                    for person in range(10)
                ),
                *(call("Product Viewed", userId=f"u{person}") for person in range(10)),
            )
        stop = threading.Event()
        workers = [threading.Thread(target=process.run, args=(shop.rt, stop)) for _ in range(2)]
        for worker in workers:
            worker.start()
        wait_until_processed(shop)
        stop.set()
        for worker in workers:
            worker.join(30)
        assert shop.dead() == []
        for person in range(10):
            counts = shop.profile(user_id=f"u{person}").counts
            assert counts == {"Product Added": 30, "Product Viewed": 30}
            assert len(shop.enrolments(user_id=f"u{person}")) == 30


def wait_until_processed(shop: Shop) -> None:
    """Returns when nothing is pending; other helpers may keep this machine busy, so it waits long."""
    for _ in range(1_200):
        if status(shop.rt)["pending_events"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"still pending: {status(shop.rt)}")


# The log (F10, I3)


def test_f10_a_log_that_lost_everything_does_not_hide_new_events_behind_the_offset(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"))
    partition = partition_of("ann", shop.rt.log.partitions)
    with shop.rt.db.begin() as connection:
        [offset] = [partitions.offsets(connection, 4)[partition]]
        ahead = f"{order(offset)[0] + 3_600_000}-5"  # as if the clock had been an hour ahead
        partitions.move(connection, partition, offset, ahead)
    shop.rt.redis.flushall()
    shop.restart()._hold()
    shop.send(call("Page Viewed"))
    assert counted(shop) == {"Page Viewed": 2}
    assert order(shop.rt.log.last_id(partition)) > order(ahead)


def test_f10_an_older_log_beside_a_newer_database_does_not_repeat_anything(shop: Shop) -> None:
    shop.send(call("Page Viewed"), call("Product Added"))
    partition = partition_of("ann", shop.rt.log.partitions)
    key = shop.rt.log.keys[partition]
    entries = shop.rt.redis.xrange(key)
    with shop.rt.db.begin() as connection:
        offset = partitions.offsets(connection, 4)[partition]
        partitions.move(connection, partition, offset, f"{order(offset)[0] + 3_600_000}-0")
    assert len(entries) == 1
    shop.restart()._hold()
    shop.send(call("Page Viewed"))
    assert counted(shop) == {"Page Viewed": 2, "Product Added": 1}


def test_f11_a_newer_log_beside_an_older_database_is_read_again_to_the_same_end(shop: Shop) -> None:
    shop.rule(popup_rule(reentry={"policy": "every"}))
    shop.send(call("Product Added"), call("Product Added"))
    rewind(shop)
    shop.restart().drain()
    assert counted(shop) == {"Product Added": 2}
    assert len(shop.messages()) == 1 + 1


def test_i3_nothing_is_trimmed_that_has_not_taken_effect(shop: Shop) -> None:
    """Even when the log is crowded; what has taken effect goes."""
    shop.send(*(call("Page Viewed", {"x": "y" * 1_000}) for _ in range(50)))
    partition = partition_of("ann", shop.rt.log.partitions)
    for _ in range(300):
        shop.put(call("Page Viewed", {"x": "y" * 1_000}))
    object.__setattr__(shop.rt.log, "max_bytes", 1)
    shop.processor._trim()
    object.__setattr__(shop.rt.log, "max_bytes", 2**30)
    shop.processor.drain()
    assert counted(shop) == {"Page Viewed": 350}
    shop.rt.log.max_bytes = 1
    shop.processor._trim()
    assert shop.rt.log.length(partition) < 200


def test_f13_a_full_log_is_refused_with_a_moment_to_come_back_and_heals_itself(shop: Shop) -> None:
    shop.send(call("Page Viewed"))
    shop.rt.log.max_bytes = 1
    shop.rt.log._checked_at = 0.0
    answer = shop.post("/v1/track", call("Page Viewed"))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json["code"] == "unavailable"
    shop.rt.log.max_bytes = 2**30
    shop.rt.log._checked_at = 0.0
    assert shop.post("/v1/track", call("Page Viewed")).status_code == 200


def test_a_backlog_of_large_batches_is_taken_in_pieces_that_fit_into_memory(shop: Shop) -> None:
    """F19: and timers do not run ahead of what is still unread."""
    padding = "x" * 7_000
    for number in range(60):
        shop.put(
            *(call("Page Viewed", {"x": padding, "y": padding, "z": padding}) for _ in range(20)), messageId=f"{number}"
        )
    sizes = []
    worker = shop.processor
    worker.reader.count = 500
    worker._hold()
    while True:
        read = worker.reader.next(worker.offsets, 0)
        if not read.entries:
            break
        sizes.append(sum(len(entry.events) for entry in read.entries))
        worker.take(read)
    assert len(sizes) > 2
    assert max(sizes) <= reading.LARGEST_BYTES
    assert counted(shop) == {"Page Viewed": 1_200}


def test_f19_after_a_long_standstill_events_are_folded_and_start_nothing(shop: Shop) -> None:
    shop.rule(popup_rule("Ping", reentry={"policy": "every"}))
    shop.put(call("Ping", messageId="before"))
    shop.clock.forward(minutes=11)
    shop.put(call("Ping", messageId="after"))
    shop.processor.drain()
    assert counted(shop) == {"Ping": 2}
    assert [each.trigger.message_id for each in shop.enrolments()] == ["after"]
