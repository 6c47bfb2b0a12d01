"""Files of events: REES46's CSV and Segment's events one a line, also packed with gzip, read as bodies of `batch`."""

import csv
import gzip
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any

from backend.errors import Invalid

Event = dict[str, Any]

REES46 = ("event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id")
NAMES = {"view": "Product Viewed", "cart": "Product Added", "remove_from_cart": "Product Removed"}
PURCHASE = "Order Completed"
NAMESPACE = uuid.UUID("6c3f0c57-6a4e-5b0e-9d0b-3f4c2f6c1c1e")
TYPES = frozenset({"track", "page", "screen", "identify", "group", "alias"})


@dataclass
class Source:
    """The events of a file, in its order; what could not be read is counted by its reason."""

    path: Path
    kind: str
    unreadable: Counter[str] = field(default_factory=Counter)

    def events(self) -> Iterator[Event]:
        """Each event with `type`, `messageId` and, where the file tells it, `timestamp` in RFC 3339."""
        with _open(self.path) as file:
            yield from self._rees46(file) if self.kind == "rees46" else self._segment(file)

    def _rees46(self, file: IO[str]) -> Iterator[Event]:
        rows = csv.reader(file)
        header = next(rows)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                self.unreadable[f"not CSV: {error}"] += 1
                continue
            if not row:
                continue
            if len(row) != len(header):
                self.unreadable["cut short" if len(row) < len(header) else "too many fields"] += 1
                continue
            reason, event = _rees46_event(dict(zip(header, row, strict=True)))
            if event is None:
                self.unreadable[reason] += 1
            else:
                yield event

    def _segment(self, file: IO[str]) -> Iterator[Event]:
        for line in file:
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                self.unreadable["not JSON"] += 1
                continue
            if not isinstance(event, dict):
                self.unreadable["not an object"] += 1
                continue
            if event.get("type", "track") not in TYPES:
                self.unreadable["unknown type"] += 1
                continue
            event.setdefault("type", "track")
            # A batch carries the key once, and the moment of sending is ours.
            for name in ("writeKey", "sentAt"):
                event.pop(name, None)
            if not event.get("messageId"):
                digest = hashlib.sha256(json.dumps(event, sort_keys=True).encode("utf-8", "surrogatepass"))
                event["messageId"] = str(uuid.uuid5(NAMESPACE, digest.hexdigest()))
            yield event


def open_source(path: Path) -> Source:
    """What the file is, by its first line; raises Invalid for neither of the two."""
    try:
        with _open(path) as file:
            first = file.readline(65_536)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise Invalid(f"{path} cannot be read: {error}.") from None
    columns = [name.strip() for name in first.lstrip("\ufeff").split(",")]
    if set(REES46) <= set(columns):
        return Source(path, "rees46")
    if first.lstrip("\ufeff \t").startswith("{"):
        return Source(path, "segment")
    raise Invalid(
        f"{path} is neither a CSV of REES46 (its first line names {', '.join(REES46)}) nor events one a line."
    )


def moment(event: Event) -> datetime | None:
    """The event's timestamp, aware; None where it has none that can be read."""
    text = event.get("timestamp")
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _rees46_event(row: dict[str, str]) -> tuple[str, Event | None]:
    try:
        at = datetime.strptime(row["event_time"].removesuffix(" UTC"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return "no time", None
    kind = row["event_type"]
    if kind not in NAMES and kind != "purchase":
        return "unknown event type", None
    if not row["user_id"]:
        return "no user", None
    properties: dict[str, Any] = {"product_id": row["product_id"], "quantity": 1}
    for column, name in (("category_id", "category_id"), ("category_code", "category"), ("brand", "brand")):
        if row[column]:
            properties[name] = row[column]
    if (price := _number(row["price"])) is not None:
        properties["price"] = price
    if kind == "purchase":
        properties |= {"products": [dict(properties)]}
        if price is not None:
            properties["total"] = price
    if kind == "view":
        del properties["quantity"]
    # The same row again is the same event: its id says so, and it is folded once.
    message_id = str(uuid.uuid5(NAMESPACE, "\x1f".join(f"{name}={row[name]}" for name in sorted(row))))
    if kind == "purchase":
        properties["order_id"] = message_id
    event: Event = {
        "type": "track",
        "event": NAMES.get(kind, PURCHASE),
        "messageId": message_id,
        "anonymousId": row["user_id"],
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "properties": properties,
    }
    if row.get("user_session"):
        event["context"] = {"sessionId": row["user_session"]}
    return "", event


def _number(text: str) -> float | int | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="")
    return path.open("rt", encoding="utf-8-sig", errors="replace", newline="")
