"""What has a visitor agreed to? Their answers by category in order of time, and what an answer allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

NECESSARY, ANALYTICS, MARKETING = "necessary", "analytics", "marketing"
CATEGORIES = (NECESSARY, ANALYTICS, MARKETING)

_ALIASES = {"advertising": MARKETING, "targeting": MARKETING, "statistics": ANALYTICS, "performance": ANALYTICS}
"""Other names for the same, as consent managers write them."""

SOURCES = ("page", "api", "operator", "import")
EVENT = "Consent Updated"
"""The event by which an answer becomes part of the history: a refusal in a page, or as a signal one given elsewhere."""

KEPT = 30
"""Changes of mind of each category that are remembered; the oldest go first."""

TEXT_LIMIT = 1_000
TOLERANCE = timedelta(seconds=10)
"""How far clocks may be apart between an answer and an event beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsentPolicy:
    """Which category a site asks for before it stores events, shows messages, or writes mails; None: none.

    Transactional messages need no consent. Who has refused what is asked before storing gets no promotional message
    either, unless they agreed to the message's own category at the same moment or later.
    """

    store: str | None = None
    show: str | None = None
    mail: str | None = None


NOTHING_ASKED = ConsentPolicy()


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One answer: given `at`, the same again up to `last`; `text` is what was shown, `source` one of SOURCES."""

    category: str
    granted: bool
    at: datetime
    last: datetime
    source: str = "page"
    text: str | None = None


def answers(consent: Any) -> dict[str, bool]:
    """The answers in an event's `context.consent` by category, as Segment writes them; what is no answer is left out.

    Our own SDK writes the categories without `categoryPreferences` around them, and a bare 1 for a yes that an earlier
    version remembered. `necessary` is no question: it is always granted.
    """
    if consent.__class__ is int and consent == 1:
        return {ANALYTICS: True}
    told = consent.get("categoryPreferences", consent) if isinstance(consent, Mapping) else None
    if not isinstance(told, Mapping):
        return {}
    found: dict[str, bool] = {}
    for name, value in told.items():
        category = name.strip().lower()
        category = _ALIASES.get(category, category)
        if category in CATEGORIES and isinstance(value, bool):
            # Two names for one category: what is refused under one of them is refused.
            found[category] = (value or category == NECESSARY) and found.get(category, True)
    return found


def choices_of(consent: Any, at: datetime, source: str) -> list[Choice]:
    """The answers in `context.consent` as choices; only who is no page may say where an answer is from."""
    told = consent if isinstance(consent, Mapping) else {}
    text = told.get("text")
    text = text.strip()[:TEXT_LIMIT] or None if isinstance(text, str) else None
    return [
        Choice(category=category, granted=granted, at=at, last=at, source=source, text=text)
        for category, granted in answers(consent).items()
    ]


def with_choice(log: tuple[Choice, ...], told: Choice) -> tuple[Choice, ...]:
    """The log with one more answer, in whatever order answers arrive; an answer repeated only lasts longer."""
    mine = [each for each in log if each.category == told.category]
    grown = _placed(mine, told)
    if grown is mine:
        return log
    others = [each for each in log if each.category != told.category]
    return tuple(sorted((*others, *grown[-KEPT:]), key=lambda each: (each.at, each.category)))


def _placed(runs: list[Choice], told: Choice) -> list[Choice]:
    """The runs of one category with this answer where it belongs; the very same list where it tells nothing new."""
    moment = told.at
    for index, run in enumerate(runs):
        if run.at <= moment <= run.last:
            if run.granted == told.granted or (told.granted and moment in (run.at, run.last)):
                return runs  # of two answers at one moment the refusal counts
            before = [replace(run, last=run.at)] if run.at < moment else []
            after = [replace(run, at=run.last)] if run.last > moment else []
            return [*runs[:index], *before, told, *after, *runs[index + 1 :]]
    index = sum(run.last < moment for run in runs)
    if index and runs[index - 1].granted == told.granted:
        return [*runs[: index - 1], replace(runs[index - 1], last=moment), *runs[index:]]
    if index < len(runs) and runs[index].granted == told.granted:
        return [*runs[:index], replace(told, last=runs[index].last), *runs[index + 1 :]]
    return [*runs[:index], told, *runs[index:]]


def merged(a: tuple[Choice, ...], b: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The answers of two visitors who are one person."""
    joined = a
    for each in b:
        joined = with_choice(joined, replace(each, last=each.at))
        if each.last > each.at:
            joined = with_choice(joined, replace(each, at=each.last))
    return joined


def latest(log: Iterable[Choice], category: str) -> Choice | None:
    """The answer that holds now; None where nobody has asked."""
    found = None
    for each in log:
        if each.category == category:
            found = each
    return found


def standing(log: Iterable[Choice]) -> dict[str, bool]:
    """What holds now, by category; without those that were never answered. `necessary` always is."""
    return {NECESSARY: True} | {each.category: each.granted for each in log if each.category != NECESSARY}


def answer(log: Iterable[Choice], category: str) -> bool | None:
    """What holds now for this category; None where nobody has asked."""
    if category == NECESSARY:
        return True
    found = latest(log, category)
    return None if found is None else found.granted


def granted(log: Iterable[Choice], category: str) -> bool:
    """Whether this category is agreed to."""
    return answer(log, category) is True


def may_store(
    policy: ConsentPolicy, told: Mapping[str, bool], log: Iterable[Choice], at: datetime, *, objects: bool
) -> bool:
    """Whether an event that happened `at` may be kept: by what it tells itself, else by what is known of its visitor.

    `objects`: the browser sends a privacy signal that the site honours; an explicit yes outweighs it.
    """
    if policy.store is None and not objects:
        return True
    category = policy.store or ANALYTICS
    if category == NECESSARY and not objects:
        return True
    own = told.get(category)
    if own is not None:
        return own or (policy.store is None and not objects)
    known = latest(log, category)
    if known is None or not known.granted:
        return policy.store is None and not objects
    return known.at - TOLERANCE <= at


def lacking(policy: ConsentPolicy, log: Sequence[Choice], *, on_site: bool) -> str | None:
    """The category that is asked for before anything is said this way, and not agreed to; None where all is well."""
    category = policy.show if on_site else policy.mail
    if category == NECESSARY:
        return None
    if category is not None and not granted(log, category):
        return category
    refusal = latest(log, policy.store) if log and policy.store is not None else None
    if refusal is None or refusal.granted:
        return None
    agreed = latest(log, category) if category is not None else None
    return policy.store if agreed is None or agreed.last < refusal.at else None


def answer_only(context: Any) -> dict[str, Any]:
    """Of an event's context what it answers about consent and the text that was shown, and nothing else."""
    told = context.get("consent") if isinstance(context, Mapping) else None
    text = told.get("text") if isinstance(told, Mapping) else None
    only: dict[str, Any] = {"categoryPreferences": answers(told)}
    return {"consent": only | ({"text": text[:TEXT_LIMIT]} if isinstance(text, str) else {})}
