"""How is a trigger written? The kinds by the key that tells them apart, each with its mistakes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, cast

from backend.domain.calendar import read_clock
from backend.domain.condition import Condition, read_condition
from backend.domain.condition.parse import read_event_name, read_window
from backend.domain.condition.values import read_time
from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.product_facts import MOST_STOCK
from backend.domain.profile import STAGES
from backend.domain.rule.trigger import (
    ANY_VALUE,
    ApiTrigger,
    BroadcastTrigger,
    DateTrigger,
    EventTrigger,
    InactiveTrigger,
    MessageMoment,
    MessageTrigger,
    ProductChange,
    ProductTrigger,
    ReplenishmentTrigger,
    SegmentTrigger,
    SessionTrigger,
    StageTrigger,
    TraitTrigger,
    Trigger,
)

Path: TypeAlias = tuple[str | int, ...]
Document: TypeAlias = Mapping[Any, Any]

MOMENTS = ("sent", "shown", "clicked", "replied", "dismissed", "answered", "not_shown")
CHANGES = ("entered", "left")
OF_PRODUCTS = ("price_dropped", "back_in_stock", "low_stock")
SHOWN_BY = ("viewed", "carted")
LONGEST_INTEREST = timedelta(days=180)
HERE: Path = ("trigger",)
FARTHEST_DAYS = 366
HIGHEST_RATE = 100_000
MOST_PRODUCTS = 1_000
MOST_MESSAGES = 100_000_000


def read_trigger(value: object, mistakes: Mistakes) -> Trigger | None:
    """Read what starts a rule; None where it noted a mistake that leaves nothing to read."""
    if not isinstance(value, dict):
        mistakes.add(HERE, 'A trigger is an object: {"event": "…"} or {"stage": "…"}.')
        return None
    kinds = [key for key in _READERS if key in value]
    if len(kinds) != 1:
        names = f"{', '.join(list(_READERS)[:-1])} and {list(_READERS)[-1]}"
        wrong = (
            f"A trigger has one of {names}, not several." if kinds else f"A trigger has one of {names}.{_hint(value)}"
        )
        mistakes.add(HERE, wrong)
        return None
    noted = mistakes.total
    trigger = _READERS[kinds[0]](value, mistakes)
    return trigger if mistakes.total == noted else None


def _hint(value: Document) -> str:
    return next(filter(None, (nearest(key, _READERS) for key in list(value)[:5])), "")


def read_where(value: Document, path: Path, mistakes: Mistakes, *, entered: bool) -> Condition | None:
    """The condition at `where`, if there is one."""
    if value.get("where") is None:
        return None
    return read_condition(value["where"], (*path, "where"), mistakes, entered=entered)


def _event(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("event", "where"), HERE)
    event = mistakes.attempt(read_event_name, value["event"], (*HERE, "event"))
    return EventTrigger(event=event or "", where=read_where(value, HERE, mistakes, entered=False))


def _stage(value: Document, mistakes: Mistakes) -> Trigger:
    if "where" in value:
        mistakes.add((*HERE, "where"), "Only an event has a where; put conditions into the rule's audience.")
    mistakes.known_keys(value, ("stage", "where"), HERE)
    stage, stages = value["stage"], mistakes.stages or STAGES
    if stage not in stages and not (mistakes.lenient and isinstance(stage, str)):
        known = ", ".join(stages)
        mistakes.add((*HERE, "stage"), f"Unknown stage {quoted(stage)}; there are {known}.{nearest(stage, stages)}")
    return StageTrigger(stage=stage)


def _segment(value: Document, mistakes: Mistakes) -> Trigger | None:
    mistakes.known_keys(value, ("segment", "change"), HERE)
    found = mistakes.segment(value["segment"], (*HERE, "segment"))
    change = value.get("change", "entered")
    if change not in CHANGES:
        wrong = f"Expected entered or left, not {quoted(change)}.{nearest(change, CHANGES)}"
        mistakes.add((*HERE, "change"), wrong)
    return None if found is None else SegmentTrigger(segment=found[0], entered=change == "entered")


def _trait(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("trait", "to", "from"), HERE)
    return TraitTrigger(
        trait=_name(value["trait"], "trait", mistakes),
        to=value.get("to", ANY_VALUE),
        before=value.get("from", ANY_VALUE),
    )


def _session(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("session",), HERE)
    kind = value["session"]
    if kind not in ("started", "returned"):
        wrong = f"Expected started (any) or returned (not the first), not {quoted(kind)}."
        mistakes.add((*HERE, "session"), wrong + nearest(kind, ("started", "returned")))
    return SessionTrigger(returning=kind == "returned")


def _inactive(value: Document, mistakes: Mistakes) -> Trigger | None:
    mistakes.known_keys(value, ("inactive",), HERE)
    span = mistakes.attempt(read_window, value["inactive"], (*HERE, "inactive"))
    return None if span is None else InactiveTrigger(span=span)


def _date(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("date", "days", "at", "every"), HERE)
    days, every = value.get("days", 0), value.get("every")
    if isinstance(days, bool) or not isinstance(days, int) or abs(days) > FARTHEST_DAYS:
        mistakes.add(
            (*HERE, "days"), f"Expected whole days from -{FARTHEST_DAYS} to {FARTHEST_DAYS}; -3 is 3 days before."
        )
        days = 0
    if every not in (None, "year"):
        mistakes.add((*HERE, "every"), f"Expected year, or leave it out, not {quoted(every)}.")
    return DateTrigger(
        trait=_name(value["date"], "date", mistakes),
        offset_days=days,
        at=read_clock(value.get("at", "09:00"), (*HERE, "at"), mistakes) or time(0),
        yearly=every == "year",
    )


def _replenishment(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("replenishment",), HERE)
    told, path = value["replenishment"], (*HERE, "replenishment")
    if not isinstance(told, dict):
        mistakes.add(path, 'Expected an object such as {"product": "COFFEE-1KG", "before": "3d"}, or {}.')
        return ReplenishmentTrigger()
    mistakes.known_keys(told, ("product", "before", "at"), path)
    named = told.get("product", [])
    products = [named] if isinstance(named, str) else named
    if not isinstance(products, list) or not all(isinstance(each, str) and 0 < len(each) <= 255 for each in products):
        mistakes.add((*path, "product"), "Expected the id of a product, or a list of them; left out: any product.")
        products = []
    if len(products) > MOST_PRODUCTS:
        mistakes.add((*path, "product"), f"At most {MOST_PRODUCTS} products.")
    before = mistakes.attempt(parse_duration, told.get("before", "3d"), (*path, "before"))
    if before is not None and before > timedelta(days=FARTHEST_DAYS):
        mistakes.add((*path, "before"), f"At most {FARTHEST_DAYS} days before.")
    return ReplenishmentTrigger(
        products=tuple(products),
        before=before or timedelta(0),
        at=read_clock(told.get("at", "09:00"), (*path, "at"), mistakes) or time(0),
    )


def _message(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("message", "rule", "within"), HERE)
    moment, rule_id, within = value["message"], value.get("rule"), value.get("within")
    if moment not in MOMENTS:
        known = ", ".join(MOMENTS)
        mistakes.add((*HERE, "message"), f"Expected one of {known}, not {quoted(moment)}.{nearest(moment, MOMENTS)}")
    if not isinstance(rule_id, str) or not 0 < len(rule_id) <= 100:
        mistakes.add((*HERE, "rule"), "Expected the id of the rule whose message it is.")
    if (moment == "not_shown") is (within is None):
        wrong = (
            "not_shown needs within: so long after it was sent." if within is None else "Only not_shown takes within."
        )
        mistakes.add((*HERE, "within"), wrong)
    span = mistakes.attempt(read_window, within, (*HERE, "within")) if within is not None else None
    return MessageTrigger(moment=cast(MessageMoment, moment), rule_id=str(rule_id), within=span)


def _product(value: Document, mistakes: Mistakes) -> Trigger:
    known = ("product", "percent", "most", "interest", "within", "rate", "learned")
    mistakes.known_keys(value, known, HERE)
    change = value["product"]
    if change not in OF_PRODUCTS:
        wrong = f"Expected one of {', '.join(OF_PRODUCTS)}, not {quoted(change)}.{nearest(change, OF_PRODUCTS)}"
        mistakes.add((*HERE, "product"), wrong)
    percent, most, learned = value.get("percent"), value.get("most"), value.get("learned", False)
    if change != "price_dropped" and percent is not None:
        mistakes.add((*HERE, "percent"), "Only price_dropped takes percent: by how much it fell at least.")
    elif percent is not None and not _is_share(percent):
        mistakes.add((*HERE, "percent"), "Expected a number above 0 and up to 100: by how much it fell at least.")
    if (change == "low_stock") is (most is None):
        wrong = "low_stock needs most: so many pieces are left at most." if most is None else "Only low_stock takes it."
        mistakes.add((*HERE, "most"), wrong)
    if not isinstance(learned, bool):
        mistakes.add((*HERE, "learned"), "Expected true or false: whether changes count that only events told of.")
    told = mistakes.attempt(read_window, value.get("within", "30d"), (*HERE, "within"))
    if told is not None and told > LONGEST_INTEREST:
        mistakes.add((*HERE, "within"), f"At most {LONGEST_INTEREST.days}d: an interest is not remembered for longer.")
    return ProductTrigger(
        change=cast(ProductChange, change),
        interests=_interests(value.get("interest"), mistakes),
        within=told or timedelta(days=30),
        percent=Decimal(str(percent)) if _is_share(percent) else Decimal(0),
        most=_whole(most, MOST_STOCK, (*HERE, "most"), mistakes) if most is not None else 0,
        rate=_whole(value.get("rate", 1_000), HIGHEST_RATE, (*HERE, "rate"), mistakes),
        learned=learned is True,
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 100


def _interests(value: object, mistakes: Mistakes) -> tuple[Any, ...]:
    """The kinds of interest, one or a list; both where nothing is said."""
    told = SHOWN_BY if value is None else value if isinstance(value, list) else [value]
    if not told or any(each not in SHOWN_BY for each in told):
        wrong = next((each for each in told if each not in SHOWN_BY), "nothing")
        mistakes.add((*HERE, "interest"), f"Expected viewed, carted, or a list of both, not {quoted(wrong)}.")
    return tuple(each for each in SHOWN_BY if each in told)


def _api(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("api",), HERE)
    if value["api"] is not True:
        mistakes.add((*HERE, "api"), "Expected true: a backend starts the rule by POST rules/{id}/trigger.")
    return ApiTrigger()


def _broadcast(value: Document, mistakes: Mistakes) -> Trigger:
    mistakes.known_keys(value, ("broadcast",), HERE)
    told, path = value["broadcast"], (*HERE, "broadcast")
    if not isinstance(told, dict):
        mistakes.add(path, 'Expected an object such as {"at": "2030-01-31T09:00:00Z", "rate": 600}, or {}.')
        return BroadcastTrigger()
    mistakes.known_keys(told, ("at", "every", "rate", "most", "segment"), path)
    at = told.get("at")
    moment = read_time(at) if isinstance(at, str) else None
    if at is not None and not isinstance(moment, datetime):
        mistakes.add((*path, "at"), "Expected a moment, such as 2030-01-31T09:00:00Z.")
    every = mistakes.attempt(read_window, told["every"], (*path, "every")) if told.get("every") is not None else None
    rate = _whole(told.get("rate", 1_000), HIGHEST_RATE, (*path, "rate"), mistakes)
    most = _whole(told["most"], MOST_MESSAGES, (*path, "most"), mistakes) if told.get("most") is not None else None
    segment = mistakes.segment(told["segment"], (*path, "segment")) if told.get("segment") is not None else None
    return BroadcastTrigger(
        at=moment.astimezone(UTC) if moment is not None else None,
        every=every,
        rate=rate,
        most=most,
        segment=None if segment is None else segment[0],
    )


def _name(value: object, key: str, mistakes: Mistakes) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        mistakes.add((*HERE, key), "Expected the name of a trait, such as plan.")
        return ""
    return value.removeprefix("profile.traits.")


def _whole(value: object, most: int, path: Path, mistakes: Mistakes) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        mistakes.add(path, f"Expected a whole number from 1 to {most}.")
        return 1
    return value


_READERS: dict[str, Callable[[Document, Mistakes], Trigger | None]] = {
    "event": _event,
    "stage": _stage,
    "segment": _segment,
    "trait": _trait,
    "session": _session,
    "inactive": _inactive,
    "date": _date,
    "replenishment": _replenishment,
    "message": _message,
    "product": _product,
    "api": _api,
    "broadcast": _broadcast,
}
