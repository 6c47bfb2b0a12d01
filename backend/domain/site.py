"""What is a site? One shop or page that reports here, with its keys and its policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backend.domain.funnel import BUILT_IN, Funnel


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a site allows: `max_event_age` is how old an event may be and still start something, live.

    `require_signature`: an `identify` from a page must carry a valid `userHash` to link its visitor to the user.
    `unverified_email`: an address that was only typed into a form field may be written to. `caps` and `quiet_hours` are
    documents as in a rule, for all rules together; `dismiss_backoff` is how long nothing pops up after somebody waved a
    message away, twice as long after each further time; `holdout` percent of the people get nothing at all.
    """

    max_event_age: timedelta = timedelta(minutes=10)
    require_signature: bool = False
    unverified_email: bool = False
    honour_gpc: bool = True
    caps: tuple[Mapping[str, Any], ...] = ()
    quiet_hours: Mapping[str, Any] | None = None
    dismiss_backoff: timedelta = timedelta(days=1)
    holdout: float = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """What a site's pages mind before a pop-up comes into sight.

    None in the first moments of a page (`settle`), nor right after something went wrong (`after_error`), nor on paths
    like those of `checkout`. `teaser_first`: where the rule does not say, a small bubble comes before the window.
    """

    settle: timedelta = timedelta(seconds=2)
    after_error: timedelta = timedelta(seconds=5)
    checkout: tuple[str, ...] = ("*/checkout*",)
    teaser_first: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One site; `secret_key` signs user ids and never leaves towards a page."""

    id: str
    name: str
    write_key: str
    secret_key: str = field(repr=False)
    origins: tuple[str, ...] = ()
    timezone: str = "UTC"
    currency: str = "USD"
    funnel: Funnel = BUILT_IN
    policy: Policy = Policy()
    capture: Mapping[str, Any] = field(default_factory=dict)
    attention: Attention = Attention()
