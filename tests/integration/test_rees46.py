"""A real shop's morning: replayed through the collector, and checked against a computation from the raw rows.

The file is not part of this repository: it is looked for where CHIMEIN_TEST_DATA says, and beside the checkout.
"""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.ops.sources import open_source
from backend.storage import visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, open_shop

DATA = Path(
    os.environ.get("CHIMEIN_TEST_DATA") or Path(__file__).parents[2] / "../shared/data/rees46_2019-10-01.csv"
).resolve()
NAMES = {"view": "Product Viewed", "cart": "Product Added", "purchase": "Order Completed"}
HALF_AN_HOUR = timedelta(minutes=30)

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason=f"there is no {DATA}; see CHIMEIN_TEST_DATA")


@dataclass(frozen=True)
class Row:
    """One row of the file as this test reads it."""

    user: str
    at: datetime
    name: str
    price: Decimal


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Every whole row of the file once, in its order: read by nobody's code but this test's."""
    found: list[Row] = []
    seen: set[tuple[str, ...]] = set()
    with DATA.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader)
        for fields in reader:
            if len(fields) != len(header) or tuple(fields) in seen:
                continue
            seen.add(tuple(fields))
            row = dict(zip(header, fields, strict=True))
            moment = datetime.strptime(row["event_time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
            found.append(Row(row["user_id"], moment, NAMES[row["event_type"]], Decimal(row["price"] or 0)))
    return found


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, redis_url: str) -> Iterator[Shop]:
    """A shop that was told the whole file, batch by batch, over HTTP."""
    folder = tmp_path_factory.mktemp("rees46")
    (folder / "chimein.db").write_bytes(sqlite_template.read_bytes())
    with open_shop(f"sqlite:///{folder / 'chimein.db'}", redis_url, folder) as shop:
        batch: list[dict[str, Any]] = []
        for event in open_source(DATA).events():
            batch.append(event)
            if len(batch) == 500:
                tell(shop, batch)
        tell(shop, batch)
        shop.processor.drain()
        yield shop


def tell(shop: Shop, batch: list[dict[str, Any]]) -> None:
    """Sends a batch; none of it may be refused."""
    answer = shop.post("/v1/batch", {"batch": batch})
    assert answer.status_code == 200, answer.text
    assert answer.json == {"success": True, "accepted": len(batch), "rejected": []}
    batch.clear()


def test_each_visitor_has_the_counts_orders_and_revenue_of_their_rows(replayed: Shop, rows: list[Row]) -> None:
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    seen: dict[str, list[datetime]] = defaultdict(list)
    for row in rows:
        expected[row.user][row.name] += 1
        seen[row.user].append(row.at)
        if row.name == "Order Completed":
            revenue[row.user] += row.price
    with replayed.rt.db.read() as connection:
        ids = visitors.ids_after(connection, replayed.site.id, "", 100_000)
        profiles = [each.profile for each in visitors.load(connection, ids).values()]
    assert {profile.anonymous_ids[0]: dict(profile.counts) for profile in profiles} == expected
    for profile in profiles:
        user = profile.anonymous_ids[0]
        assert profile.orders.count == expected[user]["Order Completed"]
        assert profile.orders.revenue == revenue.get(user, 0)
        assert (profile.first_seen, profile.last_seen) == (min(seen[user]), max(seen[user]))
    assert sum(profile.orders.count for profile in profiles) > 40
    assert len(replayed.stored()) == len(rows)


def test_nothing_so_old_started_anything_live(replayed: Shop) -> None:
    assert replayed.messages() == []


def abandoned(rows: list[Row]) -> list[tuple[str, datetime, datetime, str]]:
    """Who put something into the cart and did not order within half an hour: (user, entered, ended, outcome)."""
    found = []
    by_user: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_user[row.user].append(row)
    for user, theirs in by_user.items():
        waiting: datetime | None = None
        for row in sorted(theirs, key=lambda each: each.at):  # stable: the file's order within a second
            if waiting is not None and row.at > waiting + HALF_AN_HOUR:
                found.append((user, waiting, waiting + HALF_AN_HOUR, "sent"))
                waiting = None
            if waiting is not None and row.name == "Order Completed":
                found.append((user, waiting, row.at, "cancelled"))
                waiting = None
            if waiting is None and row.name == "Product Added":
                waiting = row.at
        if waiting is not None:
            found.append((user, waiting, waiting + HALF_AN_HOUR, "sent"))
    return sorted(found)


def test_the_abandoned_carts_that_a_simulation_finds_are_those_of_the_raw_rows(replayed: Shop, rows: list[Row]) -> None:
    rule = {
        "trigger": {"event": "Product Added"},
        "delay": "30m",
        "cancel": [{"event": "Order Completed"}],
        "reentry": {"policy": "every"},
    }
    found = replayed.simulate(rule)
    assert found.summary["pending"] == 0
    told = sorted((each.anonymous_id, each.entered_at, each.at, each.reason or each.outcome) for each in found.items)
    expected = abandoned(rows)
    assert told == expected
    outcomes = Counter(outcome for *_, outcome in expected)
    assert outcomes["sent"] > 5
    assert outcomes["cancelled"] > 5
    assert found.summary["sent"] == outcomes["sent"]
    assert found.summary["reasons"] == {"cancelled": outcomes["cancelled"]}


def test_the_end_of_the_morning_leaves_the_last_carts_pending(replayed: Shop, rows: list[Row]) -> None:
    end = max(row.at for row in rows) + timedelta(seconds=1)
    rule = {"trigger": {"event": "Product Added"}, "delay": "30m", "reentry": {"policy": "every"}}
    found = replayed.simulate(rule, until=end)
    late = {each.anonymous_id for each in found.items if each.outcome == "pending"}
    assert late
    assert all(each.entered_at + HALF_AN_HOUR > end for each in found.items if each.outcome == "pending")
    assert all(each.at <= end for each in found.items if each.outcome == "sent")


def test_telling_it_all_again_changes_nothing(replayed: Shop, rows: list[Row]) -> None:
    """Every message id is known already."""
    before = replayed.stored()
    batch = list(open_source(DATA).events())
    for start in range(0, len(batch), 500):
        tell(replayed, batch[start : start + 500])
    replayed.restart().drain()
    assert replayed.stored() == before
    assert len(before) == len(rows)
