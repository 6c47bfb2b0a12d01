"""What the editors of conditions offer: events, fields, stages and segments that the site knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.condition.fields import EVENT_FIELDS, PROFILE_FIELDS
from backend.domain.condition.operators import OPERATORS
from backend.domain.site import Site
from backend.domain.vocabulary import EVENT, PROPERTY, TRAIT
from backend.storage import segments, vocabularies
from backend.web.context import runtime

NAMES = 2_000
USUAL_EVENTS = (
    *("Product Viewed", "Product Added", "Product Removed", "Products Searched", "Product List Viewed", "Cart Viewed"),
    *("Checkout Started", "Order Completed", "Page Viewed", "Form Field Filled", "Identify"),
)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of events and paths of fields, in order, and what the script of an editor is told."""

    events: list[str]
    fields: list[str]
    told: Mapping[str, Any]


def names_of(site: Site, *, events: bool = False) -> Names:
    """The names that the site knows; `events`: also the fields of the event at hand, which only rules can ask for."""
    with runtime().db.read() as connection:
        seen = [name for name, _ in vocabularies.find(connection, site.id, limit=NAMES)]
        known = segments.known(connection, site.id)
    return Names(
        events=sorted({*USUAL_EVENTS, *(each.name for each in seen if each.kind == EVENT)}),
        fields=_fields(seen, events),
        told={"operators": list(OPERATORS), "funnel": list(site.funnel.names), "segments": known},
    )


def _fields(seen: Any, events: bool) -> list[str]:
    """Paths that conditions may read: what there always is, and what the site has reported."""
    plain = [f"profile.{each}" for each in PROFILE_FIELDS if each not in ("traits", "counts", "last_at", "facts")]
    below = ["profile.cart.total", "profile.orders.count", "profile.orders.revenue", "profile.device.type"]
    traits = [f"profile.traits.{each.name}" for each in seen if each.kind == TRAIT]
    if not events:
        return sorted({*plain, *below, *traits})
    said = [f"event.properties.{each.name}" for each in seen if each.kind == PROPERTY]
    return sorted({*plain, *below, *traits, *said, *(f"event.{each}" for each in EVENT_FIELDS if each != "properties")})
