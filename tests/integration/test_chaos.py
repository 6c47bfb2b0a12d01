"""Processes die, disks fill up: each acknowledged event takes effect once, no mail is sent twice (I1, I4, I12)."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.chaos import Client, Promises, differences
from tests.integration.mail_world import MailServer, mail_server
from tests.postgres import start_postgres
from tests.stack import Shop, Stack, basic, request, stack, track, wait_for
from tests.up_process import wait_until_gone

PARTS = ("web", "live", "process", "work", "tick", "redis", "supervisor")

MAIL = {
    "name": "A wish",
    "trigger": {"event": "Wish"},
    "reentry": {"policy": "every"},
    "message": {
        "channels": ["email"],
        "variants": [{"name": "A", "content": {"subject": "Noted", "body": "We have noted {{ product.name }}."}}],
    },
}
LATER = {
    "name": "Left",
    "trigger": {"event": "Product Added"},
    "delay": "2s",
    "reentry": {"policy": "every"},
    "message": {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "Still yours", "body": "…"}}]},
}


def everything(shop: Shop, path: str) -> Iterator[Any]:
    """Every item of a list, page by page."""
    cursor = ""
    while True:
        page = shop.api("GET", f"{path}limit=200{cursor}").json
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def known(name: str) -> dict[str, Any]:
    """A visitor who can be written to."""
    traits = {"email": f"{name}@example.com"}
    return {"type": "identify", "anonymousId": name, "messageId": uuid4().hex, "traits": traits}


class Chaos:
    """A running chimein that is killed piece by piece while clients send."""

    def __init__(self, directory: Path, mails: MailServer, database_url: str | None) -> None:
        self.directory = directory
        self.environ = {"CHIMEIN_SMTP_URL": mails.url} | (
            {"CHIMEIN_DATABASE_URL": database_url} if database_url else {}
        )
        self.mails = mails
        self.chimein = Stack(directory, None, **self.environ)
        self.chimein.wait_until_ready(120)
        self.shop = self.chimein.site()
        for document in (MAIL, LATER):
            self.shop.rule(document)
        self.promises = Promises()
        self.clients = [Client(self.shop, self.promises, seed) for seed in range(3)]
        for client in self.clients:
            people = [f"{client.name}-{number}" for number in range(10)]
            self.shop.send(*[known(name) for name in people])

    def kill(self, name: str) -> None:
        """Kills one process with SIGKILL; the supervisor takes all along, and everything is started anew."""
        if name != "supervisor":
            with suppress(KeyError, ProcessLookupError):  # dead already, and not yet started again
                os.kill(self.chimein.pids[name], signal.SIGKILL)
            return
        pids = list(self.chimein.pids.values())
        self.chimein.process.kill()
        self.chimein.process.wait()
        again = Stack(self.directory, self.chimein.port, **self.environ)
        self.chimein = self.shop.chimein = again
        again.wait_until_ready(120)
        assert set(wait_until_gone(pids, 30)) <= set(again.pids.values())

    def run(self, kills: int, seed: int, chance_of: tuple[str, ...] = PARTS) -> None:
        """So many kills at random moments; then the clients end, and everything takes effect."""
        chance = random.Random(seed)
        for client in self.clients:
            client.start()
        for _ in range(kills):
            time.sleep(chance.uniform(0.2, 2.5))
            self.kill(chance.choice(chance_of))
        time.sleep(1)
        for client in self.clients:
            client.stop.set()
        for client in self.clients:
            client.join(200)
            assert client.gave_up is None
        wait_for(lambda: self.chimein.status("/readyz") == 200, 60)
        self.chimein.settle(120)
        wait_for(lambda: self.chimein.api("GET", "/status").json["waiting_timers"] == 0, 60)

    def check(self) -> None:
        """Each acknowledged event was counted once; each wish led to one message, and none of them was sent twice."""
        acknowledged = self.promises.acknowledged
        assert len(acknowledged) > 100
        assert differences(self.shop, self.promises) == {}
        assert self.chimein.set_aside() == 0
        stored = [
            event["id"] for visitor in everything(self.shop, "/visitors?") for event in self._events(visitor["id"])
        ]
        assert len(stored) == len(set(stored))
        assert set(stored) >= set(acknowledged)
        wishes = [message_id for message_id, (_, name) in acknowledged.items() if name == "Wish"]
        messages = list(everything(self.shop, "/messages?channel=email&"))
        assert len(messages) == len(wishes)
        received = Counter(self.mails.ids())
        assert [mail for mail, times in received.items() if times > 1] == []
        assert len(received) >= sum(message["status"] == "sent" for message in messages)

    def check_ends(self) -> None:
        """Every mail has come to an end, and those that count as sent are those that arrived, but for the unknown."""
        finished = {"sent", "unknown"}

        def statuses() -> Counter[str]:
            return Counter(message["status"] for message in everything(self.shop, "/messages?channel=email&"))

        wait_for(lambda: set(statuses()) <= finished, 600, pause=2)
        found = statuses()
        assert found["sent"] <= len(self.mails.ids()) <= found["sent"] + found["unknown"]
        assert found["unknown"] <= 10

    def _events(self, visitor: str) -> Iterator[Any]:
        for event in everything(self.shop, f"/visitors/{visitor}/events?"):
            if event["type"] != "identify":
                yield event


@contextmanager
def chaos(directory: Path, database_url: str | None = None) -> Iterator[Chaos]:
    with mail_server() as mails:
        world: Chaos | None = None
        try:
            world = Chaos(directory, mails, database_url)
            yield world
            assert world.chimein.stop(signal.SIGTERM, 30) < 15
        except BaseException:
            if world is not None:
                for log in sorted(directory.parent.glob("*.log")):
                    print(f"---- {log.name}\n{log.read_text(errors='replace')[-6_000:]}")
            raise
        finally:
            if world is not None:
                for client in world.clients:
                    client.stop.set()
                if world.chimein.process.poll() is None:
                    world.chimein.stop(signal.SIGTERM, 30)


@pytest.mark.timeout(240)
def test_five_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    with chaos(tmp_path / "var") as world:
        world.run(5, seed=time.time_ns() % 1_000, chance_of=("process", "redis", "work", "web", "process"))
        world.check()


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_twenty_kills_at_random_moments_lose_nothing_and_repeat_nothing(
    tmp_path: Path, database: str, seed: int
) -> None:
    with ExitStack() as exits:
        url = exits.enter_context(start_postgres()) if database == "postgresql" else None
        world = exits.enter_context(chaos(tmp_path / "var", url))
        world.run(20, seed=seed)
        world.check()
        world.check_ends()


@pytest.mark.long
def test_f8_sigterm_during_two_hundred_requests_answers_or_leaves_them_to_be_repeated(tmp_path: Path) -> None:
    with stack(tmp_path / "var") as chimein:
        shop = chimein.demo()
        calls = [track("In Flight", f"v{number % 7}") for number in range(200)]
        answers: dict[str, int] = {}
        begun = threading.Semaphore(0)

        def send(call: dict[str, Any]) -> None:
            begun.release()
            try:
                answers[call["messageId"]] = shop.post("track", call, basic("demo")).status
            except OSError:
                answers[call["messageId"]] = 0

        with ThreadPoolExecutor(200) as pool:
            for call in calls:
                pool.submit(send, call)
            for _ in range(100):
                begun.acquire()
            began = time.monotonic()
            chimein.process.send_signal(signal.SIGTERM)
            assert chimein.process.wait(30) == 0
            assert time.monotonic() - began < 10
    assert set(answers.values()) <= {200, 503, 0}
    acknowledged = {message_id for message_id, status in answers.items() if status == 200}
    with stack(tmp_path / "var") as again:
        shop = again.demo()
        again.settle()
        counted = sum(visitor["counts"]["In Flight"] for visitor in shop.visitors())
        assert counted >= len(acknowledged)
        shop.send(*calls)
        assert sum(visitor["counts"]["In Flight"] for visitor in shop.visitors()) == 200


@pytest.mark.long
@pytest.mark.timeout(300)
def test_f9_while_redis_is_away_or_loading_the_collector_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    with stack(tmp_path / "var", check_output=False) as chimein:
        shop = chimein.demo()
        shop.send(*[track("Before", "ann") for _ in range(500)])
        redis = chimein.pids["redis"]
        os.kill(redis, signal.SIGSTOP)  # as good as away, and the supervisor does not start another
        try:
            away = shop.post("track", track("Away", "ann"), basic("demo"))
            assert away.status == 503
            assert int(away.headers["Retry-After"]) > 0
            assert away.json.keys() == {"code", "status", "message", "errors"}
            began = time.monotonic()
            for _ in range(20):
                assert shop.post("track", track("Away", "ann"), basic("demo")).status == 503
            assert time.monotonic() - began < 40, "only the first waits for a server that hangs"
            assert chimein.status("/readyz") == 503
            assert chimein.status("/healthz") == 200
        finally:
            os.kill(redis, signal.SIGCONT)
        wait_for(lambda: chimein.status("/readyz") == 200)
        promises = Promises()
        client = Client(shop, promises, 1, pause=0)
        process = chimein.pids["process"]
        os.kill(process, signal.SIGSTOP)  # so that what is accepted lies in Redis alone
        try:
            client.start()
            time.sleep(2)
            os.kill(redis, signal.SIGKILL)
            wait_for(lambda: chimein.pids.get("redis") not in (None, redis))
            wait_for(lambda: chimein.status("/readyz") == 200)
            time.sleep(1)
            client.stop.set()
            client.join(120)
        finally:
            os.kill(process, signal.SIGCONT)
        assert client.gave_up is None
        assert promises.refusals, "the kill was not noticed"
        chimein.settle()
        assert differences(shop, promises) == {}
        [ann] = shop.visitors(anonymous_id="ann")
        assert ann["counts"]["Before"] == 500
        assert ann["counts"].get("Away", 0) <= 21, "they may have been taken, but were not promised"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_f19_a_processor_that_slept_drains_its_backlog_and_says_nothing_late(tmp_path: Path) -> None:
    with stack(tmp_path / "var") as chimein:
        shop = chimein.site(policy={"max_event_age": "3s"})
        shop.rule({**LATER, "delay": "0s"})
        process = chimein.pids["process"]
        os.kill(process, signal.SIGSTOP)
        try:
            calls = [
                track("Product Added", f"v{number % 50}", properties={"product_id": "K"}) for number in range(10_000)
            ]
            for start in range(0, len(calls), 500):
                answer = shop.post("batch", {"batch": calls[start : start + 500]}, basic(shop.key))
                assert answer.json["accepted"] == 500
            assert chimein.pending() == 10_000
            time.sleep(4)
        finally:
            os.kill(process, signal.SIGCONT)
        chimein.settle(120)
        assert sum(visitor["counts"]["Product Added"] for visitor in everything(shop, "/visitors?")) == 10_000
        assert list(everything(shop, "/messages?")) == []


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own, or a skip with the reason."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.2)


def grow(place: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_f14_a_full_disk_refuses_events_and_heals_when_there_is_room_again(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    with small_disk(tmp_path / "disk", "96m") as disk, stack(disk / "var", check_output=False) as chimein:
        shop = chimein.demo()
        promises = Promises()
        client = Client(shop, promises, 1, pause=0)
        client.start()
        wait_for(lambda: len(promises.acknowledged) > 200)
        # What is left of the disk goes to somebody else.
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65_536)
                    file.flush()
            except OSError:
                pass
        wait_for(lambda: promises.refusals["503"] > 3, 120)
        wait_for(lambda: chimein.status("/readyz") == 503, 60)
        full = request("POST", f"{chimein.url}/v1/track", track("Full", "ann"), basic("demo"))
        assert (full.status, int(full.headers["Retry-After"]) > 0) == (503, True)
        grow(disk, "256m")
        filler.unlink()
        wait_for(lambda: chimein.status("/readyz") == 200, 90)
        more = len(promises.acknowledged) + 200
        wait_for(lambda: len(promises.acknowledged) > more, 90)
        client.stop.set()
        client.join(120)
        assert client.gave_up is None
        chimein.settle(120)
        assert differences(shop, promises) == {}
        assert chimein.set_aside() == 0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_f20_one_visitor_with_fifty_thousand_events_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with stack(tmp_path / "var") as chimein:
        shop = chimein.site()
        shop.rule({**LATER, "delay": "0s", "trigger": {"event": "Hello"}})
        batches = [
            [{"type": "track", "event": "Noise", "anonymousId": "noisy", "messageId": f"{n}-{m}"} for m in range(500)]
            for n in range(100)
        ]

        def send(batch: list[dict[str, Any]]) -> int:
            return shop.post("batch", {"batch": batch}, basic(shop.key)).status

        with ThreadPoolExecutor(4) as pool:
            sent = [pool.submit(send, batch) for batch in batches]
            waits = []
            number = 0
            while not all(each.done() for each in sent) or chimein.pending() > 0 or number < 5:
                name = f"quiet-{number}"
                began = time.monotonic()
                shop.post("track", track("Hello", name), basic(shop.key))
                wait_for(lambda name=name: shop.inbox(name).json["items"], 120, pause=0.05)
                waits.append(time.monotonic() - began)
                number += 1
            assert [each.result() for each in sent] == [200] * 100
        print(f"{number} others waited at most {max(waits):.1f} s")
        chimein.settle(120)
        assert shop.visitor("noisy")["counts"] == {"Noise": 50_000}
        assert max(waits) < 20, "seconds, on a machine that does other things as well"
