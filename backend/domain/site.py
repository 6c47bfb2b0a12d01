"""What is a site? One shop or page that reports here, with its keys and its policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from backend.domain.consent import NOTHING_ASKED, ConsentPolicy
from backend.domain.desk_policy import ANSWERED_BY_MAIL, DeskPolicy
from backend.domain.funnel import BUILT_IN, Funnel


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a site allows: `max_event_age` is how old an event may be and still start something, live.

    `require_signature`: an `identify` from a page must carry a valid `userHash` to link its visitor to the user.
    `unverified_email`: an address that was only typed into a form field may be written to. `phone_region` is the
    country (such as AT) of phone numbers that name none, `placeholders` are further values that identify nobody. `caps`
    and `quiet_hours` are documents as in a rule, for all rules together; `dismiss_backoff` is how long nothing pops up
    after somebody waved a message away, twice as long after each further time; `holdout` percent get nothing at all.
    `webhook_retention` is how long webhooks that came to their end are kept. `rfm` and `loyalty` are documents too:
    thresholds of scores, and levels (see `domain/fact/standards`).

    `honour_gpc` and `honour_dnt`: browsers that send Global Privacy Control or Do Not Track are not observed, unless
    their visitor has agreed. `retention` is how long events are kept, by name (`*`: all others), `access_log_kept` how
    long it is remembered who looked at whom. `hide_query` names parameters of addresses whose values are not kept,
    beside those that always carry secrets. `desk` is a document: working hours, routing and what is said to who waits
    (see `domain/desk`). `texts` are words of the chat by language (`*`: any) that say it otherwise. `conversation` says
    how the site's operators answer.
    """

    max_event_age: timedelta = timedelta(minutes=10)
    require_signature: bool = False
    unverified_email: bool = False
    honour_gpc: bool = True
    honour_dnt: bool = False
    consent: ConsentPolicy = NOTHING_ASKED
    retention: Mapping[str, timedelta] = field(default_factory=dict)
    hide_query: tuple[str, ...] = ()
    access_log_kept: timedelta = timedelta(days=400)
    phone_region: str | None = None
    placeholders: tuple[str, ...] = ()
    caps: tuple[Mapping[str, Any], ...] = ()
    quiet_hours: Mapping[str, Any] | None = None
    dismiss_backoff: timedelta = timedelta(days=1)
    holdout: float = 0
    webhook_retention: timedelta = timedelta(days=30)
    rfm: Mapping[str, Any] | None = None
    loyalty: tuple[Mapping[str, Any], ...] = ()
    desk: Mapping[str, Any] | None = None
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    conversation: DeskPolicy = ANSWERED_BY_MAIL


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """What a site's pages mind before a pop-up comes into sight.

    None in the first moments of a page (`settle`), nor right after something went wrong (`after_error`), nor on paths
    like those of `checkout`. `teaser_first`: where the rule does not say, a small bubble comes before the window.
    `launcher`: the chat's button stands on every page, `sound`: a soft one tells of an answer.
    """

    settle: timedelta = timedelta(seconds=2)
    after_error: timedelta = timedelta(seconds=5)
    checkout: tuple[str, ...] = ("*/checkout*",)
    teaser_first: bool = False
    launcher: bool = False
    sound: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One site; `secret_key` signs user ids and never leaves towards a page. `title` is its name as people read it."""

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
    title: str | None = None

    @property
    def called(self) -> str:
        """Its name where people read it: in mails, and on pages that they lead to."""
        return self.title or self.name
