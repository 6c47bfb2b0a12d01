"""Working hours as a form: one line a day, holidays and exceptions one a line; and the document that it makes."""

import re
from collections.abc import Mapping
from typing import Any

from backend.domain.calendar.read import WEEKDAYS

DAYS: Mapping[str, str] = dict(
    zip(WEEKDAYS, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), strict=True)
)
ALL_DAY = "all day"
LIKE = "Write it like 09:00–13:00, 14:00–18:00, or all day."
LIKE_THAT = "Write it like 2026-12-24 09:00–12:00, or 2026-12-26 closed."

_SPAN = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*(?:-|–|—|to)\s*(\d{1,2})(?:[:.](\d{2}))?", re.ASCII)


def fields_of(hours: Mapping[str, Any] | None) -> dict[str, str]:
    """What stands in the fields for these hours (a document that was checked when it was kept)."""
    told = hours or {}
    days: dict[str, list[str]] = {day: [] for day in WEEKDAYS}
    for window in told.get("windows") or ():
        for day in window.get("weekdays") or WEEKDAYS:
            days[day].append(_span(window))
    exceptions = [
        f"{each['date']} {', '.join(map(_span, each['windows'])) or 'closed'}" for each in told.get("exceptions") or ()
    ]
    return {
        **{f"day-{day}": ", ".join(sorted(spans)) for day, spans in days.items()},
        "zone": str(told.get("zone") or ""),
        "holidays": "\n".join(map(str, told.get("holidays") or ())),
        "exceptions": "\n".join(exceptions),
    }


def document_of(typed: Mapping[str, str], path: str) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """The document that the fields make, the field of each of its places below `path`, and the mistakes by field."""
    places = {f"{path}.{name}": name for name in ("zone", "holidays", "exceptions")} | {path: "zone"}
    mistakes: dict[str, str] = {}
    days: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for day in WEEKDAYS:
        spans = _spans(typed.get(f"day-{day}", ""))
        if spans is None:
            mistakes[f"day-{day}"] = LIKE
        for span in spans or ():
            days.setdefault(tuple(span.items()), []).append(day)
    windows: list[dict[str, Any]] = []
    for told, on in days.items():
        places[f"{path}.windows.{len(windows)}"] = f"day-{on[0]}"
        windows.append({**dict(told), "weekdays": on})
    exceptions, wrong = _exceptions(typed.get("exceptions", ""))
    if wrong:
        mistakes["exceptions"] = wrong
    document: dict[str, Any] = {"zone": typed.get("zone", "").strip() or None, "windows": windows}
    if holidays := re.split(r"[\s,;]+", typed.get("holidays", "").strip()):
        document["holidays"] = [each for each in holidays if each]
    document["exceptions"] = exceptions
    places[f"{path}.windows"] = "day-mon"
    return {name: each for name, each in document.items() if each not in ([], None)}, places, mistakes


def _exceptions(text: str) -> tuple[list[dict[str, Any]], str]:
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        day, _, told = line.strip().partition(" ")
        spans = [] if told.strip().lower() == "closed" else _spans(told) or None
        if spans is None:
            return [], f"{line.strip()[:60]}: {LIKE_THAT}"
        found.append({"date": day, "windows": spans})
    return found, ""


def _spans(text: str) -> list[dict[str, str]] | None:
    """The spans of a line; None where it cannot be read."""
    told = text.strip().lower()
    if told in ("", "closed", "-", "–"):
        return []
    if told in (ALL_DAY, "24h", "always"):
        return [{"from": "00:00", "to": "24:00"}]
    found = []
    for each in re.split(r"[,;]", told):
        span = _SPAN.fullmatch(each.strip())
        if span is None:
            return None
        begins, ends = (f"{int(span[n]):02}:{span[n + 1] or '00'}" for n in (1, 3))
        found.append({"from": begins, "to": ends})
    return found


def _span(window: Mapping[str, Any]) -> str:
    begins, ends = window.get("from"), window.get("to")
    return ALL_DAY if begins is None or (begins, ends) == ("00:00", "24:00") else f"{begins}–{ends}"
