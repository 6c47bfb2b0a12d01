"""What is a profile? Everything folded from one visitor's events, as the API shows it and as rules read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from backend.domain.attention import Contact
from backend.domain.consent import Choice
from backend.domain.exposure import Exposure
from backend.domain.habit import Purchases
from backend.domain.trait import Logs

STAGES = ("new", "browsing", "interested", "cart", "checkout", "customer")
"""The built-in funnel, in order."""

STAGES_KEPT = 20
"""Stages that a profile remembers to have entered, the latest: reports know of all."""

NAME_LIMIT = 250
"""Event names counted for one visitor; further names are stored but not counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CartItem:
    """One product in the cart; `price` is per piece, in the site's currency, None when never told."""

    product_id: str
    quantity: int
    price: Decimal | None = None
    name: str | None = None
    category: str | None = None
    brand: str | None = None
    variant: str | None = None
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CartChange:
    """One remembered change of the cart: `add`, `remove`, or `set` (the cart was shown or told whole)."""

    at: datetime
    order: int
    kind: str
    items: tuple[CartItem, ...]
    cart_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cart:
    """What lies in the cart now; `total` is the sum of price times quantity."""

    items: tuple[CartItem, ...] = ()
    total: Decimal = Decimal("0")
    cart_id: str | None = None
    updated_at: datetime | None = None
    emptied_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What was bought so far; `revenue` is in the site's currency."""

    count: int = 0
    revenue: Decimal = Decimal("0")
    last_at: datetime | None = None
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """One search on the site."""

    query: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Touch:
    """Where a visit came from: campaign tags and the referring page."""

    at: datetime
    campaign: Mapping[str, str] = field(default_factory=dict)
    referrer: str | None = None
    landing: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The first visit's origin, and that of the latest visit that had one."""

    first: Touch | None = None
    last: Touch | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The device of the latest event that told of one."""

    type: str | None = None
    browser: str | None = None
    os: str | None = None
    locale: str | None = None
    timezone: str | None = None
    screen: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FormField:
    """The last value typed into one form field, sent or not."""

    form: str | None
    field: str
    value: str
    page: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Identifier:
    """One way to name or reach this person, and where we have it from; `verified_at` is None for a mere claim.

    `page` and `field` are where it was typed last, for what comes from a form.
    """

    kind: str
    value: str
    source: str
    first_seen: datetime
    last_seen: datetime
    verified_at: datetime | None = None
    page: str | None = None
    field: str | None = None


class StageAt(NamedTuple):
    """When a visitor came into a stage of the funnel."""

    stage: str
    at: datetime


class Standing(NamedTuple):
    """How a visitor stands with a segment; a tuple, since every profile carries many.

    A member since `entered_at` (None: is none), left last at `left_at`; at `due_at` time alone may change that.
    """

    entered_at: datetime | None = None
    left_at: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One visitor. Shapes as in the API; every datetime is aware UTC, money is Decimal.

    `unsubscribed` holds addresses that must not be written to, `consents` their answers in order of time.

    The last group of fields holds what folding needs and
    the API does not show: `person` (whom choices by hash are made for; it outlives a merge), `members` (ids of the
    visitors that were merged into this one), `refused` (ids of visitors that somebody took out again, with when: no
    browser's word merges them once more), `trait_times` (when each trait was last said), `trait_logs` (operations on
    traits, for late ones), `session_spans` (the latest sessions, for counting late events into the right one),
    `cart_log` (the cart's changes since the last order, so that a late one finds its place), `page_at` and `device_at`
    (when those were told of), `page_since` (when the page was opened), `contacts` (what was said to them), `exposures`
    (what they are compared by), `attended_until` (up to when a further event belongs to a session in which they were
    exposed), `woken_at` (up to when moments that no event marks, such as a pause, have been noticed) and `wake_at`
    (when the next of them comes), `segments` (how they stand with those of the site, by id; without those that never
    concerned them), `segments_at` (the moment at which these were asked last; None: all are to be asked anew),
    `segments_built` (the newest version of the site's segments that has been asked), and what facts are derived from:
    `purchases` (the latest; all since `purchases_since`, where that is told). A stage of the site's own stands among
    `segments` too, under a key of its own; `stages_built` is the definition of the site's funnel that `stage_history`
    follows.
    """

    id: str
    site_id: str
    anonymous_ids: tuple[str, ...] = ()
    user_id: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    identifiers: tuple[Identifier, ...] = ()
    stage: str = "new"
    device: Device = Device()
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    sessions: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    last_at: Mapping[str, datetime] = field(default_factory=dict)
    cart: Cart = Cart()
    orders: Orders = Orders()
    searches: tuple[Search, ...] = ()
    forms: tuple[FormField, ...] = ()
    source: Source = Source()
    groups: tuple[str, ...] = ()
    page: Mapping[str, str] = field(default_factory=dict)
    unsubscribed: tuple[str, ...] = ()
    consents: tuple[Choice, ...] = ()
    stage_history: tuple[StageAt, ...] = ()

    person: str = ""
    members: tuple[str, ...] = ()
    refused: Mapping[str, datetime] = field(default_factory=dict)
    trait_times: Mapping[str, datetime] = field(default_factory=dict)
    trait_logs: Logs = field(default_factory=dict)
    session_spans: tuple[tuple[datetime, datetime], ...] = ()
    cart_log: tuple[CartChange, ...] = ()
    page_at: datetime | None = None
    page_since: datetime | None = None
    device_at: datetime | None = None
    contacts: tuple[Contact, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    attended_until: datetime | None = None
    woken_at: datetime | None = None
    wake_at: datetime | None = None
    segments: Mapping[str, Standing] = field(default_factory=dict)
    segments_at: datetime | None = None
    segments_built: int = 0
    purchases: Purchases = ()
    purchases_since: datetime | None = None
    stages_built: int = 0

    def is_in(self, segment_id: str) -> bool:
        """Whether this visitor is a member of the segment with this id."""
        standing = self.segments.get(segment_id)
        return standing is not None and standing.entered_at is not None


def new_profile(visitor_id: str, site_id: str) -> Profile:
    """The empty profile of somebody new, without what a frozen dataclass's constructor of so many fields costs."""
    profile = object.__new__(Profile)
    told = _EMPTY.copy()
    told["id"] = told["person"] = visitor_id
    told["site_id"] = site_id
    object.__setattr__(profile, "__dict__", told)
    return profile


_EMPTY = dict(vars(Profile(id="", site_id="")))
