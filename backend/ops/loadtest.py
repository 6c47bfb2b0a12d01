"""`chimein loadtest`: sends made-up events at a steady rate and tells how the collector answered."""

import ipaddress
import random
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import click

from backend.errors import ChimeinError, Forbidden
from backend.ops.sender import Sender, batches, encode

SENDERS = 4
MIX = (("Product Viewed", 94), ("Product Added", 4), ("Product Removed", 1), ("Order Completed", 1))
CATEGORIES = ("lamps", "tables", "chairs", "shelves", "rugs")


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much: `rate` events a second, `batch` of them a request, for `seconds`, from `visitors`."""

    rate: int
    seconds: int
    visitors: int
    batch: int


@dataclass
class _Tally:
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    waited: float = 0.0
    latencies: list[float] = field(default_factory=list)
    error: str = ""


def run(load: Load, url: str, key: str, *, anywhere: bool = False) -> str:
    """Sends the load and answers a table; refuses an address that is not this machine unless `anywhere`.

    Raises at once where nobody answers.
    """
    if not anywhere and not _is_here(url):
        raise Forbidden(f"{url} is not this machine; add --yes if it is yours to load.")
    Sender(url, key).check()
    click.echo(f"Filling the site behind the key {key} at {url} for {load.seconds} s ...", err=True)
    tallies = [_Tally() for _ in range(SENDERS)]
    began = time.monotonic()
    threads = [
        threading.Thread(target=_send, args=(load, url, key, index, began, tally), daemon=True)
        for index, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _table(load, tallies, time.monotonic() - began)


def _send(load: Load, url: str, key: str, index: int, began: float, tally: _Tally) -> None:
    """One sender's share: requests number index, index + SENDERS, … each at its moment."""
    sender = Sender(url, key)
    dice = random.Random(index)  # noqa: S311 - events, not secrets
    pause = load.batch / load.rate
    try:
        for number in range(index, max(1, int(load.seconds / pause)), SENDERS):
            due = began + number * pause
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            for _, body in batches(_event(dice, load.visitors) for _ in range(load.batch)):
                start = time.perf_counter()
                receipt = sender.send(body)
                tally.latencies.append(time.perf_counter() - start)
                tally.accepted += int(receipt["accepted"])
                tally.rejected += len(receipt.get("rejected", ()))
    except ChimeinError as error:
        tally.failed += 1
        tally.error = error.message
    finally:
        tally.waited = sender.waited
        sender.close()


def _event(dice: random.Random, visitors: int) -> bytes:
    name = dice.choices([each for each, _ in MIX], [weight for _, weight in MIX])[0]
    product = dice.randrange(1000)
    properties = {
        "product_id": f"p{product}",
        "name": f"Product {product}",
        "category": CATEGORIES[product % len(CATEGORIES)],
        "price": product + 0.5,
        "quantity": 1,
    }
    if name == "Order Completed":
        properties |= {"order_id": uuid.uuid4().hex, "total": product + 0.5}
    return encode(
        {
            "type": "track",
            "event": name,
            "messageId": uuid.uuid4().hex,
            "anonymousId": f"load-{dice.randrange(visitors)}",
            "properties": properties,
            "context": {"page": {"url": f"http://localhost/p/{product}"}, "locale": "en-GB"},
        }
    )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(addresses) and all(ipaddress.ip_address(str(each)).is_loopback for each in addresses)


def _table(load: Load, tallies: Sequence[_Tally], seconds: float) -> str:
    latencies = sorted(latency for tally in tallies for latency in tally.latencies)
    accepted = sum(tally.accepted for tally in tallies)
    rows = [
        ("asked for", f"{load.rate:,} events/s for {load.seconds} s, {load.batch} a request"),
        ("accepted", f"{accepted:,} ({accepted / seconds:,.0f}/s)"),
        ("rejected", f"{sum(tally.rejected for tally in tallies):,}"),
        ("requests", f"{len(latencies):,}"),
    ]
    if latencies:
        marks = ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
        shown = [f"{name} {1000 * latencies[int(share * (len(latencies) - 1))]:.1f} ms" for share, name in marks]
        rows.append(("answers", ", ".join([*shown, f"longest {1000 * latencies[-1]:.1f} ms"])))
    if (waited := sum(tally.waited for tally in tallies)) >= 0.1:
        rows.append(("waited", f"{waited:.1f} s for the collector, the {SENDERS} senders together"))
    if error := next((tally.error for tally in tallies if tally.error), ""):
        rows.append(("failed", error))
    return "\n".join(f"{label:<10} {value}" for label, value in rows)
