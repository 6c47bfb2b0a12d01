"""What is told to open pages: nothing that comes after a stream has begun is missed, and what may be is told again."""

import threading
import time
from pathlib import Path

import redis

from backend.domain.identity import anonymous_visitor
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.send_on import make_good
from backend.pipeline.tell import desk_of
from backend.storage.live import LiveBus
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop
from tests.integration.test_conversations import ANNA, all_of, chat
from tests.redis_server import start_redis

LONG = 30.0


def test_what_is_published_once_a_stream_has_begun_reaches_it_though_it_is_the_first(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    for number in range(20):
        bus = LiveBus(client)
        stream = bus.subscribe([f"first-{number}"])
        assert not stream.closed
        LiveBus(client).publish([(f"first-{number}", {"event": "part"})])
        assert stream.next(LONG) == {"event": "part"}, number
        bus.close()


def test_when_redis_is_lost_streams_end_at_once_and_begin_only_when_it_is_heard_again(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url:
        bus = LiveBus(redis.Redis.from_url(url))
        stream = bus.subscribe(["ann"])
        assert not stream.closed
    assert stream.next(LONG) is None, "woken, not left until the next beat"
    assert stream.closed
    assert bus.subscribe(["ann"]).closed, "nobody would be told what comes now"
    with start_redis(tmp_path):
        for _ in range(30):
            again = bus.subscribe(["ann"])
            if not again.closed:
                break
        bus.publish([("ann", {"event": "part"})])
        assert again.next(LONG) == {"event": "part"}
    bus.close()


def test_streams_end_where_the_connection_broke_although_the_client_mends_it_by_itself(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    bus = LiveBus(client)
    stream = bus.subscribe(["v"])
    waits = threading.Thread(target=stream.next, args=(60,), daemon=True)
    waits.start()
    client.client_kill_filter(_type="pubsub")
    waits.join(10)
    assert not waits.is_alive(), "whoever waits is woken"
    assert stream.closed
    fresh = bus.subscribe(["v"])
    until = time.monotonic() + 10
    while fresh.closed and time.monotonic() < until:
        fresh = bus.subscribe(["v"])
    bus.publish([("v", {"event": "part", "data": 2})])
    assert fresh.next(5) == {"event": "part", "data": 2}
    bus.close()


def test_what_a_processor_that_died_did_not_tell_is_told_when_the_next_one_begins(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(chat("long ago", anonymousId="ann"))
    shop.clock.forward(minutes=5)
    shop.send(chat("just now", anonymousId="ann"), chat("from bob", anonymousId="bob"))
    ann = next(each for each in all_of(shop) if each.anonymous_id == "ann")
    converse.say(shop.rt, shop.site, ann.id, "a note", ANNA, kind="note")
    desk = shop.rt.live.subscribe([desk_of(shop.site.id)])
    page = shop.rt.live.subscribe([anonymous_visitor(shop.site.id, "ann")])
    make_good(shop.rt)
    told = [desk.next(LONG) for _ in range(3)]
    texts = [each["data"]["part"]["text"] for each in told if each is not None]
    assert sorted(texts) == ["a note", "from bob", "just now"]
    assert [each["data"]["again"] for each in told if each is not None] == [False] * 3
    note = page.next(LONG)
    assert note is not None
    assert (note["data"]["text"], note["data"]["number"]) == ("just now", 2)
    assert page.next(0.5) is None, "neither notes nor what others say"


def test_an_answer_that_is_sent_again_is_told_again_in_the_name_of_who_gave_it_alone(shop: Shop) -> None:
    shop.send(chat("Hello?", anonymousId="ann"))
    [found] = all_of(shop)
    converse.say(shop.rt, shop.site, found.id, "Hi", ANNA, part_id="answer-1")
    page = shop.rt.live.subscribe([anonymous_visitor(shop.site.id, "ann")])
    converse.say(shop.rt, shop.site, found.id, "Hi", ANNA, part_id="answer-1")
    note = page.next(LONG)
    assert note is not None
    assert (note["data"]["text"], note["data"]["name"]) == ("Hi", "Anna")
    converse.say(shop.rt, shop.site, found.id, "Hi", Speaker("b" * 32, "Bert"), part_id="answer-1")
    assert page.next(0.5) is None
