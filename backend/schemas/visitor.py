"""How a visitor is written in the API: the profile, times in UTC, money as text with its currency beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from marshmallow import fields

from backend.domain.consent import standing
from backend.domain.identifier import verified
from backend.domain.profile import STAGES_KEPT, CartItem, Profile, StageAt, Touch
from backend.schemas.fields import Moment, Money, StrictSchema


class CartItemOut(StrictSchema):
    """One product in the cart; `price` is per piece."""

    product_id = fields.String()
    quantity = fields.Integer()
    price = Money(allow_none=True, metadata={"example": "19.90"})
    currency = fields.String(metadata={"example": "EUR"})
    name = fields.String(allow_none=True)
    category = fields.String(allow_none=True)
    brand = fields.String(allow_none=True)
    variant = fields.String(allow_none=True)
    url = fields.String(allow_none=True)
    image_url = fields.String(allow_none=True)


class CartOut(StrictSchema):
    """What lies in the cart now."""

    items = fields.List(fields.Nested(CartItemOut))
    total = Money(metadata={"example": "39.80"})
    currency = fields.String(metadata={"example": "EUR"})
    cart_id = fields.String(allow_none=True)
    updated_at = Moment(allow_none=True)


class OrdersOut(StrictSchema):
    """What was bought so far."""

    count = fields.Integer()
    revenue = Money(metadata={"example": "120.00"})
    currency = fields.String(metadata={"example": "EUR"})
    last_at = Moment(allow_none=True)


class DeviceOut(StrictSchema):
    """The device seen last."""

    type = fields.String(allow_none=True, metadata={"example": "mobile"})
    browser = fields.String(allow_none=True)
    os = fields.String(allow_none=True)
    locale = fields.String(allow_none=True)
    timezone = fields.String(allow_none=True)
    screen = fields.String(allow_none=True)


class SearchOut(StrictSchema):
    """One search on the site."""

    query = fields.String()
    at = Moment()


class TouchOut(StrictSchema):
    """Where a visit came from."""

    at = Moment()
    campaign = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"example": {"source": "newsletter"}})
    referrer = fields.String(allow_none=True)
    landing = fields.String(allow_none=True)


class SourceOut(StrictSchema):
    """The origin of the first visit, and of the latest that had one."""

    first = fields.Nested(TouchOut, allow_none=True)
    last = fields.Nested(TouchOut, allow_none=True)


class FormFieldOut(StrictSchema):
    """The last value typed into a form field, sent or not."""

    form = fields.String(allow_none=True)
    field = fields.String()
    value = fields.String()
    page = fields.String(allow_none=True)
    at = Moment()


class IdentifierOut(StrictSchema):
    """One way to name or reach this person, and where it is from; what is not `verified` is a mere claim."""

    kind = fields.String(
        metadata={"description": "anonymous_id, user_id, email, phone, telegram, whatsapp, viber", "example": "email"}
    )
    value = fields.String(metadata={"description": "Normalised; as it was typed where it cannot be."})
    source = fields.String(
        metadata={
            "description": "event (the browser's own id), form_field (typed, sent or not), identify, signed, api, "
            "operator, reply, double_opt_in",
            "example": "form_field",
        }
    )
    page = fields.String(allow_none=True, metadata={"description": "Where it was typed last.", "example": "/checkout"})
    field = fields.String(allow_none=True, metadata={"example": "email"})
    first_seen = Moment()
    last_seen = Moment()
    verified = fields.Boolean(
        metadata={"description": "Whether it is proven, by whatever source, that the value is this person's."}
    )
    verified_at = Moment(allow_none=True)


class MembershipOut(StrictSchema):
    """A segment that the visitor is in; `left_at` is when they had left it before."""

    id = fields.String()
    name = fields.String(metadata={"example": "Bought lately"})
    entered_at = Moment()
    left_at = Moment(allow_none=True)


class FormerMembershipOut(StrictSchema):
    """A segment that the visitor was in."""

    id = fields.String()
    name = fields.String()
    left_at = Moment()


class RfmOut(StrictSchema):
    """Scores from 1 to 5, by the site's thresholds (`policy.rfm`)."""

    recency = fields.Integer()
    frequency = fields.Integer()
    money = fields.Integer()
    score = fields.String(metadata={"example": "543"})


class SupplyOut(StrictSchema):
    """A product that they buy again and again, and when it will run out."""

    product_id = fields.String()
    purchases = fields.Integer(metadata={"description": "How often it was bought; purchases within a day are one."})
    bought_at = Moment()
    quantity = fields.Integer(metadata={"description": "How many pieces, then."})
    lasts_days = fields.Float(metadata={"description": "How long these last, by the habit that `by` tells of."})
    runs_out_at = Moment()
    by = fields.String(metadata={"description": "person, or site where they bought too seldom or too irregularly."})


_LIKED = (
    "The best liked, by what was viewed and put into the cart within 90 days, and by purchases; null in a list of many "
    "visitors."
)


class FactsOut(StrictSchema):
    """What follows from what they did, at the moment of asking; null where it cannot be told."""

    days_since_order = fields.Integer(allow_none=True)
    days_since_visit = fields.Integer(allow_none=True)
    rfm = fields.Nested(RfmOut, allow_none=True)
    loyalty = fields.String(allow_none=True, metadata={"description": "The level, by `policy.loyalty`."})
    loyalty_rank = fields.Integer(metadata={"description": "Its number from 1; 0 for none."})
    favourite_category = fields.String(allow_none=True, metadata={"description": _LIKED})
    favourite_brand = fields.String(allow_none=True, metadata={"description": _LIKED})
    categories = fields.List(fields.String(), allow_none=True, metadata={"description": f"At most five. {_LIKED}"})
    brands = fields.List(fields.String(), allow_none=True, metadata={"description": f"At most five. {_LIKED}"})
    average_order_value = fields.Float(allow_none=True)
    average_order_items = fields.Float(allow_none=True)
    usual_order_days = fields.Float(allow_none=True, metadata={"description": "Between their orders: the median."})
    usual_visit_days = fields.Float(allow_none=True, metadata={"description": "Between their visits: the median."})
    churn_days = fields.Integer(
        allow_none=True,
        metadata={"description": "Days beyond the usual time between orders, or visits; 0 while it is not over."},
    )
    runs_out_next = Moment(allow_none=True)
    products = fields.List(fields.Nested(SupplyOut), metadata={"description": "The soonest to run out first."})


class StageEntryOut(StrictSchema):
    """A stage that the visitor came into; `left_at` is when they came into the next."""

    stage = fields.String(metadata={"example": "cart"})
    entered_at = Moment()
    left_at = Moment(allow_none=True)


class VisitorOut(StrictSchema):
    """One visitor: everything folded from their events."""

    id = fields.String()
    anonymous_ids = fields.List(fields.String())
    user_id = fields.String(allow_none=True)
    traits = fields.Dict(keys=fields.String(), metadata={"example": {"first_name": "Ada"}})
    identifiers = fields.List(fields.Nested(IdentifierOut))
    stage = fields.String(metadata={"example": "cart"})
    stage_history = fields.List(
        fields.Nested(StageEntryOut),
        metadata={"description": f"The last {STAGES_KEPT} stages that they came into, in order."},
    )
    device = fields.Nested(DeviceOut)
    first_seen = Moment(allow_none=True)
    last_seen = Moment(allow_none=True)
    sessions = fields.Integer()
    counts = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"example": {"Page Viewed": 7, "Product Viewed": 3}}
    )
    last_at = fields.Dict(
        keys=fields.String(), values=Moment(), metadata={"description": "When each event was seen last, by its time."}
    )
    cart = fields.Nested(CartOut)
    orders = fields.Nested(OrdersOut)
    searches = fields.List(fields.Nested(SearchOut))
    forms = fields.List(fields.Nested(FormFieldOut))
    source = fields.Nested(SourceOut)
    groups = fields.List(fields.String())
    page = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"description": "The page seen last."})
    unsubscribed = fields.List(fields.String(), metadata={"description": "Addresses that must not be written to."})
    consent = fields.Dict(
        keys=fields.String(),
        values=fields.Boolean(),
        metadata={
            "description": "What they have agreed to, by category; one that is not named was never answered.",
            "example": {"necessary": True, "analytics": True, "marketing": False},
        },
    )
    segments = fields.List(fields.Nested(MembershipOut), metadata={"description": "Those that they are in now."})
    former_segments = fields.List(
        fields.Nested(FormerMembershipOut), metadata={"description": "Those that they are no longer in."}
    )
    facts = fields.Nested(FactsOut, metadata={"description": "What rules read as `profile.facts.…`."})


def visitor_view(
    profile: Profile, currency: str, segments: Mapping[str, str], facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The profile as `VisitorOut` dumps it, its money in the site's currency; `segments` are the site's names by id.

    `facts` as `facts_of` gives them.
    """
    money = {"currency": currency}
    cart, orders = profile.cart, profile.orders
    plain = {name: getattr(profile, name) for name in _PLAIN}
    return plain | {
        **_memberships(profile, segments),
        "consent": standing(profile.consents),
        "identifiers": _identifiers(profile),
        "stage_history": _stages(profile.stage_history),
        "traits": dict(profile.traits),
        "counts": dict(profile.counts),
        "last_at": dict(profile.last_at),
        "page": dict(profile.page),
        "cart": {
            "items": [_item(item, currency) for item in cart.items],
            "total": cart.total,
            "cart_id": cart.cart_id,
            "updated_at": cart.updated_at,
            **money,
        },
        "orders": {"count": orders.count, "revenue": orders.revenue, "last_at": orders.last_at, **money},
        "source": {"first": _touch(profile.source.first), "last": _touch(profile.source.last)},
        **({} if facts is None else {"facts": facts}),
    }


_PLAIN = (
    *("id", "anonymous_ids", "user_id", "stage", "device"),
    *("first_seen", "last_seen", "sessions", "searches", "forms", "groups", "unsubscribed"),
)


def _identifiers(profile: Profile) -> list[dict[str, Any]]:
    """Each as it is kept; what one source has proven of a value is so for all."""
    proven = verified(profile.identifiers)
    return [
        {**asdict(each), "verified": (key := (each.kind, each.value)) in proven, "verified_at": proven.get(key)}
        for each in profile.identifiers
    ]


def _stages(history: Sequence[StageAt]) -> list[dict[str, Any]]:
    left = [*(each.at for each in history[1:]), None]
    return [
        {"stage": each.stage, "entered_at": each.at, "left_at": until}
        for each, until in zip(history, left, strict=False)
    ]


def _memberships(profile: Profile, segments: Mapping[str, str]) -> dict[str, Any]:
    now: list[dict[str, Any]] = []
    former: list[dict[str, Any]] = []
    for key, each in profile.segments.items():
        if key in segments and each.entered_at is not None:
            shown = {"id": key, "name": segments[key], "entered_at": each.entered_at, "left_at": each.left_at}
            now.append(shown)
        elif key in segments and each.left_at is not None:
            former.append({"id": key, "name": segments[key], "left_at": each.left_at})
    return {"segments": now, "former_segments": former}


def _item(item: CartItem, currency: str) -> Mapping[str, Any]:
    return {**asdict(item), "currency": currency}


def _touch(touch: Touch | None) -> Mapping[str, Any] | None:
    if touch is None:
        return None
    return {"at": touch.at, "campaign": dict(touch.campaign), "referrer": touch.referrer, "landing": touch.landing}
