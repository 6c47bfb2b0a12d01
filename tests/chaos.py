"""Clients that never give up, and what they were promised: for tests that kill processes under them."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.stack import Shop

NAMES = ("Product Viewed", "Product Added", "Product Removed", "Wish", "Page Seen")


@dataclass
class Promises:
    """What the collector has answered 200 to: by visitor, the names of the events, each messageId once."""

    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, batch: list[dict[str, Any]]) -> None:
        """This batch was acknowledged."""
        with self.lock:
            for call in batch:
                self.acknowledged[call["messageId"]] = (call["anonymousId"], call["event"])
            self.batches.append(batch)

    def counts(self) -> dict[str, Counter[str]]:
        """How often each visitor must have done what."""
        counted: dict[str, Counter[str]] = {}
        with self.lock:
            for visitor, name in self.acknowledged.values():
                counted.setdefault(visitor, Counter())[name] += 1
        return counted


class Client(threading.Thread):
    """Sends batch after batch, each until it is acknowledged; now and then one that was acknowledged long ago."""

    def __init__(self, shop: Shop, promises: Promises, seed: int, pause: float = 0.01) -> None:
        super().__init__(daemon=True, name=f"client-{seed}")
        self.shop = shop
        self.promises = promises
        self.chance = random.Random(seed)
        self.pause = pause
        self.stop = threading.Event()
        self.gave_up: str | None = None
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        people = [f"{self.name}-{number}" for number in range(10)]
        while not self.stop.is_set():
            self.until_acknowledged([self._call(self.chance.choice(people)) for _ in range(self.chance.randint(1, 20))])
            if self.chance.random() < 0.1:
                with self.promises.lock:
                    again = self.chance.choice(self.promises.batches)
                self.until_acknowledged(again)
            time.sleep(self.pause)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _call(self, person: str) -> dict[str, Any]:
        name = self.chance.choices(NAMES, (50, 20, 5, 2, 23))[0]
        product = {"product_id": str(self.chance.randint(1, 5)), "price": 10, "name": "A thing"}
        return {
            "type": "track",
            "event": name,
            "anonymousId": person,
            "messageId": uuid4().hex,
            "properties": product,
            "context": {"traits": {}},
        }

    def until_acknowledged(self, batch: list[dict[str, Any]], seconds: float = 180) -> None:
        """Sends these events, as often as it takes."""
        body = json.dumps({"batch": batch, "writeKey": self.shop.key})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status, text = self._post(body)
            if status == 200:
                receipt = json.loads(text)
                if receipt["accepted"] != len(batch):
                    self.gave_up = text
                    return
                self.promises.keep(batch)
                return
            self.promises.refusals[str(status)] += 1
            if status not in (0, 429, 500, 502, 503):
                self.gave_up = f"{status}: {text}"
                return
            time.sleep(self.chance.uniform(0.02, 0.3))
        self.gave_up = f"not acknowledged within {seconds} s: {text}"

    def _post(self, body: str) -> tuple[int, str]:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.shop.chimein.port, timeout=20)
            self._connection.request("POST", "/v1/batch", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            return 0, repr(error)


def differences(shop: Shop, promises: Promises) -> dict[str, Any]:
    """Where what took effect is not what was acknowledged, by visitor: (expected, found)."""
    wrong: dict[str, Any] = {}
    for visitor, expected in promises.counts().items():
        found = shop.visitors(anonymous_id=visitor)
        counts = (
            Counter({name: number for name, number in found[0]["counts"].items() if name != "Identify"})
            if found
            else None
        )
        if counts != expected:
            wrong[visitor] = (expected, counts)
    return wrong
