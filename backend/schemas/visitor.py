"""How a visitor is written in the API: the profile, times in UTC, money as text with its currency beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from marshmallow import fields

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
    """One way to name or reach this person; without `verified_at` it is a mere claim."""

    kind = fields.String(metadata={"example": "email"})
    value = fields.String()
    source = fields.String()
    first_seen = Moment()
    last_seen = Moment()
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
    segments = fields.List(fields.Nested(MembershipOut), metadata={"description": "Those that they are in now."})
    former_segments = fields.List(
        fields.Nested(FormerMembershipOut), metadata={"description": "Those that they are no longer in."}
    )


def visitor_view(profile: Profile, currency: str, segments: Mapping[str, str]) -> dict[str, Any]:
    """The profile as `VisitorOut` dumps it, its money in the site's currency; `segments` are the site's names by id."""
    money = {"currency": currency}
    cart, orders = profile.cart, profile.orders
    plain = {name: getattr(profile, name) for name in _PLAIN}
    return plain | {
        **_memberships(profile, segments),
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
    }


_PLAIN = (
    *("id", "anonymous_ids", "user_id", "identifiers", "stage", "device"),
    *("first_seen", "last_seen", "sessions", "searches", "forms", "groups", "unsubscribed"),
)


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
