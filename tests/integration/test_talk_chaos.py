"""Operators and visitors talk while processes die under them: no part lost, none twice, order kept on both sides."""

import asyncio
import http.cookiejar
import json
import os
import random
import re
import signal
import statistics
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.integration.test_chaos import everything
from tests.stack import Shop, Stack, stack, wait_for
from tests.talkers import Measured, Operator, Told, Visitor

PASSWORD = "kettle on the quiet stove"
KILLED = ("live", "web", "process", "live", "web", "process", "work", "redis")


class Room:
    """One site with so many visitors and operators."""

    def __init__(self, chimein: Stack, visitors: int, operators: int, pause: float) -> None:
        self.chimein, self.shop = chimein, chimein.site()
        self.measured = Measured()
        self.kills: Counter[str] = Counter()
        common = (lambda: chimein.live_url, chimein.url, self.measured)
        self.visitors = [
            Visitor(f"v{number}", *common, number, key=self.shop.key, pause=pause) for number in range(visitors)
        ]
        self.operators = []
        for number in range(operators):
            cookie, token = seat(chimein, self.shop, f"o{number}")
            own = {f"v{each}" for each in range(visitors) if each % operators == number}
            made = Operator(f"o{number}", *common, number, site=self.shop.id, cookie=cookie, token=token, mine=_of(own))
            self.operators.append(made)

    async def run(self, seconds: float, calm: float, every: tuple[float, float], seed: int) -> None:
        """Everybody talks; after `calm` seconds, processes are killed one after the other; then all falls silent."""
        tasks = [asyncio.create_task(each.listen()) for each in (*self.visitors, *self.operators)]
        tasks += [asyncio.create_task(each.catch_up()) for each in self.visitors]
        tasks += [asyncio.create_task(each.answer()) for each in self.operators]
        talks = [asyncio.create_task(each.talk()) for each in self.visitors]
        await asyncio.sleep(calm)
        self.usual = {way: sorted(found) for way, found in self.measured.latencies.items()}
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        until = loop.time() + seconds - calm
        while loop.time() < until:
            self._kill(chance.choice(KILLED))
            await asyncio.sleep(chance.uniform(*every))
        for visitor in self.visitors:
            visitor.talking = False
        await asyncio.wait_for(asyncio.gather(*talks), 120)
        await asyncio.to_thread(self.chimein.settle, 120)
        await self._silent()
        for each in (*self.visitors, *self.operators):
            each.over = True
        pending = set(tasks)
        while pending:  # one that has just got what it waited for is not cancelled by the first call
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=1)
        assert [each.exception() for each in tasks if not each.cancelled() and each.exception()] == []

    def _kill(self, name: str) -> None:
        with suppress(KeyError, ProcessLookupError):  # dead already, and not yet started again
            os.kill(self.chimein.pids[name], signal.SIGKILL)
            self.kills[name] += 1

    async def _silent(self, seconds: float = 60) -> None:
        """Waits until nobody is shown anything new for a while, and every operator has answered."""
        before, calm = -1, 0
        for each in self.operators:
            each.reloading = False
        for _ in range(int(seconds)):
            shown = sum(len(each.shown) for each in self.visitors)
            shown += sum(len(thread) for each in self.operators for thread in each.shown.values())
            calm = calm + 1 if shown == before else 0
            before = shown
            if calm == 6:  # longer than a stream takes to come back
                return
            await asyncio.sleep(1)


def _of(own: set[str]) -> Any:
    return lambda text: text.split(" ")[0] in own


def seat(chimein: Stack, shop: Shop, name: str) -> tuple[str, str]:
    """An operator of the shop who has logged in: the cookie, and the token for forms."""
    given = [{"site": shop.id, "role": "operator"}]
    made = chimein.api("POST", "/operators", {"email": f"{name}@{shop.id}.example", "name": name, "memberships": given})
    assert made.status == 201, made.text
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def send(path: str, **fields: str) -> None:
        page = browser.open(chimein.url + path, timeout=30).read().decode()
        token = re.search(r'name="csrf_token" value="(\w+)"', page)
        assert token
        body = urlencode({"csrf_token": token[1], **fields}).encode()
        asked = urllib.request.Request(chimein.url + path, body, {"Origin": chimein.url})
        with browser.open(asked, timeout=30) as answer:
            assert answer.status == 200

    send(re.sub(r"^https?://[^/]+", "", made.json["link"]), password=PASSWORD)
    send("/console/login", email=made.json["email"], password=PASSWORD)
    page = browser.open(f"{chimein.url}/console/{shop.id}/inbox", timeout=30).read().decode()
    token = re.search(r'name="csrf-token" content="(\w+)"|name="csrf_token" value="(\w+)"', page)
    assert token, page
    return "; ".join(f"{each.name}={each.value}" for each in jar), token[1] or token[2]


def threads(shop: Shop) -> dict[str, tuple[dict[str, Any], dict[int, Told]]]:
    """Every conversation of the site with its messages by number, as the database has them."""
    found: dict[str, tuple[dict[str, Any], dict[int, Told]]] = {}
    for each in everything(shop, "/conversations?"):
        told: list[Any] = []
        before = ""
        while True:
            page = shop.api("GET", f"/conversations/{each['id']}/parts?limit=200{before}").json
            told = page["items"] + told
            if not page["more"]:
                break
            before = f"&before={told[0]['number']}"
        numbers = [part["number"] for part in told]
        assert numbers == list(range(1, len(numbers) + 1)), "a place is empty, or taken twice"
        found[each["id"]] = (
            each,
            # That nobody is free is said by no person, and at any time.
            {
                part["number"]: (part["author"], part["text"])
                for part in told
                if part["author"] in ("visitor", "operator") and part["kind"] == "message"
            },
        )
    return found


def check(room: Room) -> int:
    """What was acknowledged is there once, in order; and all see it so. Returns how many messages there are."""
    stored = threads(room.shop)
    said = Counter(text for _, thread in stored.values() for _, text in thread.values())
    expected = Counter(text for each in (*room.visitors, *room.operators) for text in each.acknowledged)
    assert expected - said == Counter(), "lost"
    assert said - expected == Counter(), "said twice, or by nobody"
    assert room.measured.twice == []
    for thread in (thread for _, thread in stored.values()):
        in_order = [text for _, (_, text) in sorted(thread.items())]
        for name in {text.split(" ")[0] for text in in_order}:
            mine = [text for text in in_order if text.split(" ")[0] == name]
            assert mine == sorted(mine, key=lambda text: int(re.findall(r"\d+", text)[-1])), "out of order"
    by_visitor = {next(text for _, text in thread.values()).split(" ")[0]: thread for _, thread in stored.values()}
    assert len(by_visitor) == len(stored) == len(room.visitors), "each visitor has one conversation"
    for visitor in room.visitors:
        assert differing(visitor.shown, by_visitor[visitor.name]) == {}, f"what {visitor.name} sees"
    seen = 0
    for operator in room.operators:
        for conversation, thread in operator.shown.items():
            assert differing(thread, stored[conversation][1]) == {}, f"what {operator.name} sees"
            seen += 1
    assert seen == len(stored), "each conversation is somebody's"
    return said.total()


def differing(shown: dict[int, Told], stored: dict[int, Told]) -> dict[int, tuple[Told | None, Told | None]]:
    """Where what is shown is not what there is; who loaded the page anew sees from some part on."""
    shown = {number: told for number, told in shown.items() if told[0] in ("visitor", "operator")}
    first = min(shown, default=0)
    numbers = {number for number in shown | stored if number >= first}
    return {
        each: (shown.get(each), stored.get(each)) for each in sorted(numbers) if shown.get(each) != stored.get(each)
    }


def told_of(latencies: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    if len(latencies) < 2:
        return "none"
    p95 = statistics.quantiles(latencies, n=20)[-1]
    return f"median {statistics.median(latencies) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms of {len(latencies)}"


@pytest.mark.parametrize(
    ("visitors", "operators", "pause", "seconds", "calm"),
    [
        pytest.param(12, 2, 2.0, 22, 6, id="a few", marks=pytest.mark.timeout(240)),
        pytest.param(200, 10, 15.0, 300, 60, id="many", marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_while_processes_are_killed_no_part_is_lost_none_comes_twice_and_order_is_kept(
    tmp_path: Path, visitors: int, operators: int, pause: float, seconds: float, calm: float
) -> None:
    with stack(tmp_path / "var", check_output=False) as chimein:
        room = Room(chimein, visitors, operators, pause)
        seed = int(os.environ.get("CHAOS_SEED", uuid4().int % 1_000))
        asyncio.run(room.run(seconds, calm, (2, 4) if seconds < 60 else (6, 14), seed))
        wait_for(lambda: chimein.status("/readyz") == 200, 60)
        measured = room.measured
        print(
            json.dumps(
                {
                    "seed": seed,
                    "kills": dict(room.kills),
                    "retries": dict(measured.retries),
                    "reconnects": dict(measured.reconnects),
                    "looks": measured.refetched,
                    "undisturbed": {way: told_of(found) for way, found in room.usual.items()},
                    "whole": {way: told_of(found) for way, found in measured.latencies.items()},
                },
                indent=1,
            )
        )
        print("messages:", check(room))
        assert chimein.set_aside() == 0
