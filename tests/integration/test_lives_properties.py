"""Whatever happens with everything at work: nobody becomes another, and nothing of whoever is erased is left."""

import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, AnyStr

import pytest
import sqlalchemy
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backend.domain.engine.membership import ADDED
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.errors import Conflict
from backend.pipeline import dead
from backend.pipeline.erase import PAUSE, erase, scrub
from backend.pipeline.merge import merge_visitors
from backend.pipeline.signals import send_signals
from backend.pipeline.stock_up import stock_up
from backend.pipeline.sweep import Sweeper
from backend.pipeline.unmerge import unmerge
from backend.storage import merges, visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, open_shop
from tests.integration.lives import USERS, World, drawn_call, files_of, furnish, poison, redis_text, rows_of, stored_of
from tests.redis_server import start_redis

ROUND = count(1)
ACTS = ["call"] * 12 + ["again", "merge", "undo", "undo", "erase", "list", "note", "tick", "price", "retry"]


def many(examples: int) -> settings:
    """So many random lives; what they find is not made smaller, for each is a round of its own."""
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=quiet)


@pytest.fixture
def redis_folder(tmp_path: Path) -> Path:
    return tmp_path / "redis-data"


@pytest.fixture
def shop(tmp_path: Path, database_url: str, redis_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop with one partition, so that what is sent is folded in this order, and a Redis whose file can be read."""
    poison(monkeypatch)
    with start_redis(redis_folder) as url, open_shop(database_url, url, tmp_path, partitions="1") as opened:
        yield opened


class Life(World):
    """One round: what was erased, and the checks."""

    def __init__(self, shop: Shop, listed: str) -> None:
        super().__init__(shop, f"zq{next(ROUND):04d}")
        self.listed = listed
        self.gone: set[str] = set()
        self.erased: set[str] = set()

    def persons(self) -> dict[str, set[str]]:
        """The ids of each person, by that of the person."""
        with self.shop.rt.db.read() as connection:
            rows = visitors.load(connection, self.ids())
        return {key: {key, *row.profile.members} for key, row in rows.items() if row.merged_into is None}

    def journal(self) -> list[merges.Merge]:
        with self.shop.rt.db.read() as connection:
            return merges.list_merges(connection, self.ids(), 500)

    def act(self, number: int, act: dict[str, Any]) -> None:
        shop, rt, kind = self.shop, self.shop.rt, act["kind"]
        first, second = act["picks"]
        everybody = sorted(self.persons())
        picked = everybody[first % len(everybody)] if everybody else ""
        if kind == "call":
            shop.put(self.made(number, act["call"]))
        elif kind == "again" and self.sent:
            start = first % len(self.sent)
            shop.put(*reversed(self.sent[start : start + 1 + second % 4]))
        elif kind == "merge" and len(everybody) > 1:
            others = [each for each in everybody if each != picked]
            merge_visitors(rt, shop.site, picked, others[second % len(others)], "tests")
        elif kind == "undo":
            stands = [each for each in self.journal() if each.undone_at is None]
            if stands:
                chosen = stands[first % len(stands)]
                with suppress(Conflict):
                    unmerge(rt, shop.site, chosen.member_id, chosen.id, "tests")
        elif kind == "erase" and everybody:
            self.erase(picked)
        elif kind in ("list", "note") and everybody:
            with rt.db.read() as connection:
                profile = visitors.load_profile(connection, picked)
            assert profile is not None
            name, told = ADDED, {"segment_id": self.listed}
            if kind == "note":
                value = f"{self.prefix}{USERS[second % len(USERS)]}@mark.example"
                name, told = "Identifier Noted", {"kind": "email", "value": value, "source": "api", "verified": True}
            send_signals(rt, shop.site.id, name, None, [(profile, f"{self.prefix}s{number}", told)])
        elif kind == "tick":
            shop.clock.forward(minutes=11)
            Sweeper(rt).run()
        elif kind == "price":
            stock_up(rt, shop.site.id, [("kettle", {"price": 1 + number % 7})], "api")
        elif kind == "retry":
            dead.retry(rt)

    def erase(self, visitor_id: str) -> None:
        rt = self.shop.rt
        ids = self.persons()[visitor_id]
        stored = stored_of(self.shop, self.prefix)
        self.gone |= {message_id for message_id, (owner, _) in stored.items() if owner in ids}
        assert erase(rt, self.shop.site.id, visitor_id, ("tests", "administrator"))
        self.erased |= ids
        self.check_gone()

    def check_nobody_became_another(self) -> None:
        site = self.shop.site.id
        users = {known_visitor(site, self.prefix + each) for each in USERS}
        said = [each for each in self.journal() if each.undone_at is None and each.source == "api"]
        for group in self.persons().values():
            asked = [each for each in said if each.member_id in group]
            assert len(group & users) <= 1 + len(asked), "two user ids in one visitor, and nobody said so"
        with self.shop.rt.db.read() as connection:
            rows = visitors.load(connection, self.ids())
        for key, row in rows.items():
            if row.merged_into is not None:
                assert key in rows[row.merged_into].profile.members
            for member in row.profile.members if row.merged_into is None else ():
                assert rows[member].merged_into == key

    def check_gone(self) -> None:
        """Whatever is found anywhere was told by an event that is kept, of somebody who is there."""
        stored = stored_of(self.shop, self.prefix)
        assert not self.gone & stored.keys(), "what was erased is back"
        with self.shop.rt.db.read() as connection:
            there = visitors.load(connection, self.erased.union(owner for owner, _ in stored.values())).keys()
        assert {owner for owner, _ in stored.values()} <= there, "an event of nobody"
        known = {each["messageId"] for each in self.sent}
        kept = "\n".join([*(body for key, (_, body) in stored.items() if key in known or key.startswith(self.signals))])
        found = "\n".join(f"{table} {row!r}" for table, row in rows_of(self.shop) if table != "dead_events")
        held = redis_text(self.shop)
        for mark in self.marks():
            if not any(each in kept.lower() for each in mark):
                lines = [line[:3000] for each in mark for line in found.lower().split("\n") if each in line]
                assert lines == [], (mark, kept)
                assert not any(each in held.lower() for each in mark)
        for visitor_id in self.erased - there - self.ids(stored):
            assert [found[at - 200 : at + 100] for at in places(visitor_id, found)] == [], visitor_id
            assert visitor_id not in held

    @property
    def signals(self) -> str:
        return f"{self.prefix}s"

    def marks(self) -> Iterator[list[str]]:
        """Each text that tells of somebody, in all its spellings."""
        for each in self.sent:
            number = each["messageId"].removeprefix(f"{self.prefix}id")
            yield [f"{self.prefix}m{number}q"]
            yield from ([f"{name}"] for key in ("anonymousId", "previousId") if (name := each.get(key)) is not None)
        for place, user in enumerate(USERS):
            yield [f"{self.prefix}{user}"]
            digits = f"{int(self.prefix[2:]):04d}{place}"
            yield [each + digits for each in ("+4366012", "066012", "0660/12", "+43 660 12 ", "0043 (0)660 12")]

    def end(self) -> None:
        """Everybody is erased, everything comes once more, and nothing of it is anywhere."""
        shop = self.shop
        for each in sorted(self.persons()):
            self.erase(each)
        shop.clock.forward(seconds=1)
        dead.retry(shop.rt)
        if self.sent:
            shop.put(*self.sent)
        shop.processor.drain()
        dead.retry(shop.rt)
        shop.processor.drain()
        # Whose only event was a poisonous one was never known, and so not erased.
        for each in shop.dead():
            names = [call["anonymousId"] for call in self.sent if f'"{call["messageId"]}"' in each.payload]
            assert not {anonymous_visitor(shop.site.id, name) for name in names} & self.erased, each.payload
        dead.drop(shop.rt, [each.id for each in shop.dead()])
        strangers = sorted(self.persons())
        for each in strangers:
            self.erase(each)
        assert stored_of(shop, self.prefix) == {}
        shop.processor.names.write()
        found = [f"{table} {row!r}"[:300] for table, row in rows_of(shop) if self.prefix in repr(row).lower()]
        assert found == []
        assert self.prefix not in redis_text(shop).lower()


@st.composite
def drawn_act(draw: st.DrawFn) -> dict[str, Any]:
    """Something that happens; whom it happens to is picked out of those who are there then."""
    kind = draw(st.sampled_from(ACTS))
    return {
        "kind": kind,
        "call": draw(drawn_call()) if kind == "call" else None,
        "picks": draw(st.tuples(st.integers(0, 59), st.integers(0, 59))),
        "after": draw(st.sampled_from([1, 1, 40])),
        "folded": draw(st.sampled_from([True, True, True, False])),
    }


def live(shop: Shop, listed: str, acts: list[dict[str, Any]]) -> None:
    life = Life(shop, listed)
    for number, act in enumerate(acts):
        shop.clock.forward(seconds=act["after"])
        life.act(number, act)
        if act["folded"]:
            shop.processor.drain()
            life.check_nobody_became_another()
    shop.processor.drain()
    life.check_nobody_became_another()
    life.check_gone()
    life.end()


def assert_nothing_lies_about(shop: Shop, folder: Path) -> None:
    """What was erased is in no file any more, once the log is trimmed and what lies below was scrubbed."""
    shop.clock.forward(seconds=PAUSE.total_seconds() + 10)
    client = shop.rt.log.client
    for partition in range(shop.rt.log.partitions):
        shop.rt.log.trim(partition, shop.rt.log.last_id(partition).partition("-")[0] + "-99999")
    pause = threading.Event()
    for _ in range(100):
        if scrub(shop.rt):
            break
        pause.wait(0.1)
    else:
        raise AssertionError("it is never scrubbed")
    while client.info("persistence")["aof_rewrite_in_progress"] or client.info("persistence")["aof_rewrite_scheduled"]:
        pause.wait(0.05)
    for name, content in files_of(shop):
        assert [content[at : at + 60] for at in places(rb"zq\d{4}", content)] == [], name
    files = [each for each in folder.rglob("*") if each.is_file()]
    assert any("aof" in each.name for each in files)
    pause.wait(1.0)  # Redis takes the old files away in a thread
    for each in folder.rglob("*"):
        if each.is_file():
            assert places(rb"zq\d{4}", each.read_bytes()) == [], each.name


def places(text: AnyStr, content: AnyStr) -> list[int]:
    return [match.start() for match in re.finditer(text, content, re.IGNORECASE)]


def lives(shop: Shop, folder: Path, examples: int, longest: int) -> None:
    listed = furnish(shop)

    @many(examples)
    @given(acts=st.lists(drawn_act(), min_size=3, max_size=longest))
    def whatever_happens(acts: list[dict[str, Any]]) -> None:
        live(shop, listed, acts)

    whatever_happens()
    with shop.rt.db.read() as connection:
        number = connection.scalar(sqlalchemy.text("SELECT count(*) FROM tombstones"))
    assert number
    assert_nothing_lies_about(shop, folder)


def test_nobody_becomes_another_and_nothing_of_the_erased_is_left(shop: Shop, redis_folder: Path) -> None:
    lives(shop, redis_folder, examples=10 if shop.rt.db.dialect == "sqlite" else 3, longest=25)


@pytest.mark.long
def test_nor_in_many_long_lives(shop: Shop, redis_folder: Path) -> None:
    lives(shop, redis_folder, examples=300 if shop.rt.db.dialect == "sqlite" else 60, longest=60)
