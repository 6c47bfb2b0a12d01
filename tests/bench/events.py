"""Events to measure with: the mix of a real shop's morning where its file is at hand, else one of the same shape."""

import csv
import os
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

DATA = Path(
    os.environ.get("CHIMEIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data" / "rees46_2019-10-01.csv")
)
NAMES = {"view": "Product Viewed", "cart": "Product Added", "purchase": "Order Completed"}
BROWSERS = 40


def mix(count: int) -> Iterator[dict[str, Any]]:
    """`count` calls of about 650 bytes, ending now; visitors come again with other ids when the file is used up."""
    rows = _real() if DATA.exists() else _made()
    now = datetime.now(UTC)
    turn = 0
    for number, row in enumerate(cycle(rows)):
        if number >= count:
            return
        turn = number // len(rows)
        yield _call(row, turn, now - timedelta(milliseconds=5 * (count - number)))


def origin() -> str:
    """Where the mix comes from, for the report."""
    return "the real file" if DATA.exists() else "made up, in the proportions of a real shop"


def _call(row: dict[str, str], turn: int, moment: datetime) -> dict[str, Any]:
    product = row["product_id"]
    properties: dict[str, Any] = {
        "product_id": product,
        "category_id": row["category_id"],
        "category": row["category_code"],
        "brand": row["brand"],
        "price": float(row["price"]),
    }
    if row["event_type"] == "purchase":
        properties["total"] = float(row["price"])
    version = 100 + int(row["user_id"]) % BROWSERS
    return {
        "type": "track",
        "event": NAMES[row["event_type"]],
        "anonymousId": f"{row['user_id']}-{turn}",
        "messageId": uuid.uuid4().hex,
        "timestamp": moment.isoformat(),
        "properties": properties,
        "context": {
            "sessionId": row["user_session"],
            "userAgent": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{version}.0",
            "page": {
                "url": f"https://shop.example/p/{product}",
                "path": f"/p/{product}",
                "title": "A product",
                "referrer": "",
            },
            "locale": "en",
            "timezone": "Europe/Berlin",
        },
    }


def _real() -> list[dict[str, str]]:
    with DATA.open(newline="") as file:
        rows = csv.DictReader(file)
        return [row for row in rows if row["event_type"] in NAMES and row["price"] and row["user_session"]]


def _made() -> list[dict[str, str]]:
    chance = random.Random(1)
    kinds = ["view"] * 980 + ["cart"] * 10 + ["purchase"] * 10
    brands = [f"brand{number}" for number in range(80)]
    return [
        {
            "event_type": chance.choice(kinds),
            "product_id": str(chance.randrange(1_000_000, 1_020_000)),
            "category_id": str(chance.randrange(10**6)),
            "category_code": chance.choice(["electronics.smartphone", "appliances.kitchen", "", "computers.notebook"]),
            "brand": chance.choice(brands),
            "price": f"{chance.lognormvariate(5, 1):.2f}",
            "user_id": str(chance.randrange(1_755)),
            "user_session": str(chance.randrange(3_000)),
        }
        for _ in range(5_000)
    ]
