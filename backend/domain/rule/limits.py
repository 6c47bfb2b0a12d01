"""How much may this rule say, and when? Its own caps, quiet hours and send windows, read from JSON."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast, get_args

from backend.domain.budget import Cap, Per
from backend.domain.calendar import QuietHours, SendWindow, never_open, read_quiet_hours, read_send_windows
from backend.domain.condition.parse import read_window
from backend.domain.message import CHANNELS
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.site import Policy

Category: TypeAlias = Literal["promotional", "transactional"]
Overflow: TypeAlias = Literal["drop", "defer"]
Path: TypeAlias = tuple[str | int, ...]

PERS = ("day", "session", "page")
CATEGORIES = get_args(Category)
MOST_CAPS = 20
MOST_MESSAGES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`caps` of this rule alone; `overflow` tells what becomes of a message that a cap holds back.

    With `ignore_caps` neither the site's caps nor the distance after a dismissal hold it back. `quiet` replaces the
    site's quiet hours; `quiet_off`: none hold. `windows` are the only times at which it may speak.
    """

    caps: tuple[Cap, ...] = ()
    overflow: Overflow = "drop"
    ignore_caps: bool = False
    quiet: QuietHours | None = None
    quiet_off: bool = False
    windows: tuple[SendWindow, ...] = ()


NO_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteLimits:
    """What holds for all rules of a site together, ready to be asked."""

    caps: tuple[Cap, ...] = ()
    quiet: QuietHours | None = None
    dismiss_backoff: timedelta = timedelta(0)
    holdout: float = 0

    @classmethod
    def of(cls, policy: Policy) -> "SiteLimits":
        """The limits that a site's policy writes down; they were checked when it was saved."""
        mistakes = Mistakes()
        quiet = policy.quiet_hours
        return cls(
            caps=read_caps(list(policy.caps), ("caps",), mistakes),
            quiet=None if quiet is None else read_quiet_hours(quiet, ("quiet_hours",), mistakes),
            dismiss_backoff=policy.dismiss_backoff,
            holdout=policy.holdout,
        )


LIMIT_KEYS = ("caps", "overflow", "ignore_caps", "quiet_hours", "send_windows")


def read_limits(doc: dict[str, Any], mistakes: Mistakes) -> Limits:
    """The limits in a rule's document, noting each mistake."""
    overflow = doc.get("overflow", "drop")
    if overflow not in ("drop", "defer"):
        mistakes.add(
            ("overflow",), f"Expected drop or defer, not {quoted(overflow)}.{nearest(overflow, ('drop', 'defer'))}"
        )
    ignore = doc.get("ignore_caps", False)
    if not isinstance(ignore, bool):
        mistakes.add(("ignore_caps",), "Expected true or false.")
    quiet = doc.get("quiet_hours")
    off = quiet is False
    windows = doc.get("send_windows")
    hours = None if quiet is None or off else read_quiet_hours(quiet, ("quiet_hours",), mistakes)
    open_at = (read_send_windows(windows, ("send_windows",), mistakes) or ()) if windows is not None else ()
    if hours is not None and open_at and not hours.channels and never_open(hours, open_at):
        wrong = "These windows lie wholly within the quiet hours: nothing would ever be sent."
        mistakes.add(("send_windows",), wrong)
    return Limits(
        caps=read_caps(doc["caps"], ("caps",), mistakes) if doc.get("caps") is not None else (),
        overflow=cast(Overflow, overflow),
        ignore_caps=ignore is True,
        quiet=hours,
        quiet_off=off,
        windows=open_at,
    )


def read_caps(value: object, path: Path, mistakes: Mistakes) -> tuple[Cap, ...]:
    """A list of caps, of a rule or of a site."""
    if not isinstance(value, list):
        mistakes.add(path, 'Expected a list such as [{"count": 2, "within": "7d"}].')
        return ()
    if len(value) > MOST_CAPS:
        mistakes.add(path, f"There are at most {MOST_CAPS} caps.")
        return ()
    found = [_read_cap(each, (*path, position), mistakes) for position, each in enumerate(value)]
    return tuple(cap for cap in found if cap is not None)


def _read_cap(value: object, path: Path, mistakes: Mistakes) -> Cap | None:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"count": 2, "within": "7d"} or {"count": 1, "per": "day"}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("count", "within", "per", "channels", "category"), path)
    count, within, per, category = (value.get(name) for name in ("count", "within", "per", "category"))
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_MESSAGES:
        mistakes.add((*path, "count"), f"Expected a whole number from 1 to {MOST_MESSAGES}.")
    if (within is None) is (per is None):
        mistakes.add(path, "A cap has either within (a duration) or per (day, session or page).")
    if per is not None and per not in PERS:
        mistakes.add((*path, "per"), f"Expected day, session or page, not {quoted(per)}.{nearest(per, PERS)}")
    if category is not None and category not in CATEGORIES:
        wrong = f"Expected promotional or transactional, not {quoted(category)}.{nearest(category, CATEGORIES)}"
        mistakes.add((*path, "category"), wrong)
    elif category == "transactional":
        mistakes.add((*path, "category"), "Transactional messages are never held back by a cap.")
    channels = _read_channels(value.get("channels"), (*path, "channels"), mistakes)
    span = mistakes.attempt(read_window, within, (*path, "within")) if within is not None else None
    if mistakes.total != noted:
        return None
    return Cap(count=cast(int, count), within=span, per=cast(Per | None, per), channels=channels, category=category)


def _read_channels(value: object, path: Path, mistakes: Mistakes) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        mistakes.add(path, 'Expected a list of channels, such as ["popup", "chat"].')
        return None
    for position, channel in enumerate(value[:100]):
        if channel not in CHANNELS:
            mistakes.add((*path, position), f"Unknown channel {quoted(channel)}.{nearest(channel, CHANNELS)}")
    return frozenset(each for each in value if isinstance(each, str))
