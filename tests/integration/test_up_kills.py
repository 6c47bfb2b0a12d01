"""Kill -9 of any process at any time: every acknowledged event takes effect exactly once, no message is sent twice."""

import email
import email.policy
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from backend.errors import ChimeinError
from backend.ops.sender import Sender, encode
from tests.up_process import Up

VISITORS = 60
KILLS = 20
RULE: dict[str, Any] = {
    "name": "Welcome",
    "trigger": {"event": "Signed Up"},
    "reentry": {"policy": "once"},
    "message": {
        "channels": ["email"],
        "variants": [{"name": "A", "weight": 1, "content": {"subject": "Welcome", "body": "Good to see you."}}],
    },
}


def bodies(number: int) -> list[dict[str, Any]]:
    """What visitor `number` does: is known, clicks a few times, signs up."""
    who = f"user-{number}"
    events: list[dict[str, Any]] = [
        {"type": "identify", "userId": who, "traits": {"email": f"{who}@example.com"}},
        *({"type": "track", "event": "Clicked", "userId": who} for _ in range(number % 5 + 1)),
        {"type": "track", "event": "Signed Up", "userId": who},
    ]
    return [event | {"messageId": f"{who}-{index}"} for index, event in enumerate(events)]


@pytest.mark.long
@pytest.mark.timeout(400)
def test_kill_9_of_random_processes_twenty_times_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(20)
    with Up(tmp_path / "var") as up:
        up.wait_until_ready()
        rule = up.call("POST", "/sites/demo/rules", RULE)
        up.call("POST", f"/sites/demo/rules/{rule['id']}/activate")
        failures: list[ChimeinError] = []

        def send() -> None:
            # Sends each visitor's events, and again what was not acknowledged, until every one is.
            sender = Sender(up.url, "demo", timeout=5)
            try:
                for number in range(VISITORS):
                    body = b'{"batch":[' + b",".join(encode(event) for event in bodies(number)) + b"]}"
                    receipt = sender.send(body)
                    assert receipt["rejected"] == []
                    time.sleep(0.35)
            except ChimeinError as error:
                failures.append(error)
            finally:
                sender.close()

        thread = threading.Thread(target=send)
        thread.start()
        killed: Counter[str] = Counter()
        while sum(killed.values()) < KILLS:
            time.sleep(dice.uniform(0.2, 1.6))
            name, pid = dice.choice(sorted(up.state["pids"].items()))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed[name] += 1
        thread.join(240)
        assert not thread.is_alive()
        assert failures == []
        up.wait_until_ready()
        up.wait_until_folded(120)
        for number in range(VISITORS):
            (visitor,) = up.call("GET", f"/sites/demo/visitors?user_id=user-{number}")["items"]
            assert visitor["counts"].get("Clicked") == number % 5 + 1, f"user-{number} after {killed}"
            assert visitor["counts"].get("Signed Up") == 1, f"user-{number} after {killed}"
        deadline = time.monotonic() + 90
        while True:
            messages = up.call("GET", f"/sites/demo/messages?rule={rule['id']}&limit=200")["items"]
            states = Counter(message["status"] for message in messages)
            # A mail whose worker died between handing it over and noting so stays `unknown` and is not sent again.
            if states["sent"] + states["unknown"] == VISITORS or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert states["sent"] + states["unknown"] == len({message["id"] for message in messages}) == VISITORS, states
        mails = received(tmp_path / "var" / "outbox")
        assert set(mails.values()) == {1}
        assert states["sent"] <= len(mails) <= VISITORS


def received(outbox: Path) -> Counter[str]:
    """How many mails each address was sent."""
    found: Counter[str] = Counter()
    for path in outbox.glob("*.eml"):
        found[str(email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["To"])] += 1
    return found
