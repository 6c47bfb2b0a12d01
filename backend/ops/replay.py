"""`chimein replay FILE`: reads a file of events and sends them to the collector, in their order."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from backend.ops.sender import Sender, batches, encode
from backend.ops.sources import Event, Source, moment, open_source

REMEMBERED = 2_000_000
"""So many ids are remembered, to tell how many events are repeated; the collector folds each once anyway."""


@dataclass
class Report:
    """What happened to the events of a file."""

    events: int = 0
    accepted: int = 0
    repeated: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)
    visitors: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    shift: timedelta = timedelta(0)
    seconds: float = 0.0
    waited: float = 0.0

    def __str__(self) -> str:
        rows = [
            ("events", f"{self.events:,}"),
            ("accepted", f"{self.accepted:,}"),
            ("repeated", f"{self.repeated:,} (the same id again: taken, but folded once)" if self.repeated else "0"),
            *(("rejected", f"{count:,} {code}{self.examples[code]}") for code, count in self.rejected.most_common()),
            *(("not read", f"{count:,} {reason}") for reason, count in self.unreadable.most_common()),
            ("visitors", f"{len(self.visitors):,}"),
        ]
        if self.first is not None and self.last is not None:
            rows.append(("from", _time(self.first + self.shift)))
            rows.append(("until", _time(self.last + self.shift)))
        waited = f", {self.waited:.1f} s of it waiting" if self.waited >= 0.1 else ""
        rows.append(("took", f"{self.seconds:.1f} s{waited} ({self.events / max(self.seconds, 1e-9):,.0f} events/s)"))
        return "\n".join(f"{label:<10} {value}" for label, value in rows)

    def refused(self, sent: int, rejections: Iterable[Mapping[str, Any]]) -> None:
        """Counts what the collector did not take of a batch after so many events, with one example of each code."""
        for each in rejections:
            code = str(each.get("code"))
            self.rejected[code] += 1
            self.examples.setdefault(code, f" (event {sent + int(each['index']) + 1}: {each.get('message')})")


def replay(path: Path, url: str, key: str, *, rebase: bool = False) -> Report:
    """Sends the events of the file and prints a summary; with `rebase` all times move so that the last is now."""
    source = open_source(path)
    sender = Sender(url, key)
    sender.check()
    click.echo(f"{path.name}: {source.kind}. Filling the site behind the key {key} at {url} ...", err=True)
    report = _look_through(source)
    source.unreadable.clear()
    if rebase and report.last is not None:
        report.shift = datetime.now(UTC) - report.last
    began, sent = time.monotonic(), 0
    try:
        with click.progressbar(length=report.events, label="Sending", file=sys.stderr, show_pos=True) as bar:
            for count, body in batches(encode(_shifted(event, report.shift)) for event in source.events()):
                receipt = sender.send(body)
                report.accepted += int(receipt["accepted"])
                report.refused(sent, receipt.get("rejected", ()))
                sent += count
                bar.update(count)
    finally:
        sender.close()
    report.seconds = time.monotonic() - began
    report.waited = sender.waited
    click.echo(str(report))
    return report


def _look_through(source: Source) -> Report:
    """What the file holds: needed before the first event can be moved, and for the bar."""
    report = Report(unreadable=source.unreadable.copy())
    seen: set[str] = set()
    for event in source.events():
        report.events += 1
        message_id = str(event["messageId"])
        if message_id in seen:
            report.repeated += 1
        elif len(seen) < REMEMBERED:
            seen.add(message_id)
        who = event.get("userId") or event.get("anonymousId")
        if who:
            report.visitors.add(str(who))
        at = moment(event)
        if at is not None:
            report.first = min(report.first or at, at)
            report.last = max(report.last or at, at)
    report.unreadable = source.unreadable.copy()
    return report


def _shifted(event: Event, shift: timedelta) -> Event:
    if shift and (at := moment(event)) is not None:
        event["timestamp"] = (at + shift).isoformat().replace("+00:00", "Z")
    return event


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
