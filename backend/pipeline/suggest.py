"""The verb `suggest`: products that may be of use in a talk, and what is put of them into a reply."""

from collections.abc import Sequence

from backend.domain.event import Event
from backend.domain.offer import MOST_IN_A_PART, offer_of, ranked
from backend.domain.product import product_id_of
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.domain.web_address import parse_web_address
from backend.errors import Invalid
from backend.storage import events, products, visitors
from backend.storage.database import Connection

MOST = 6
LOOKED_AT = 12
EVENTS = 60
"""Events in which is looked for what they looked at."""

SHOWN_INTEREST = frozenset({"Product Viewed", "Product Added", "Product Clicked", "Product Added to Wishlist"})


def suggest(connection: Connection, site: Site, profile: Profile, words: str = "") -> list[dict[str, str]]:
    """The products to suggest to a visitor, the best first; with `words` those of the catalogue that have them all."""
    origins = origins_of(site, profile)
    if words:
        found = products.find(connection, site.id, words=words, available=True, limit=MOST * 2)
        told = [offer_of(each, origins, site.currency) for each in found]
        return [each for each in told if each is not None][:MOST]
    listed = events.list_events(connection, visitors.members_of(profile), EVENTS)
    looked_at = _looked_at(profile, listed)
    related = {
        product_id: (each.similar, each.bought_together)
        for product_id, each in products.related(connection, site.id, looked_at).items()
    }
    ids = ranked(looked_at, related, {each.product_id for each in profile.cart.items})[: MOST * 3]
    known = products.load(connection, site.id, ids)
    told = [offer_of(known[each], origins, site.currency) for each in ids if each in known]
    return [each for each in told if each is not None][:MOST]


def offered(connection: Connection, site: Site, visitor_id: str, ids: Sequence[str]) -> list[dict[str, str]]:
    """These products, as a reply to this visitor holds them. Invalid where one is not to be had."""
    if len(ids) > MOST_IN_A_PART:
        raise Invalid(f"At most {MOST_IN_A_PART} products in one reply.", {"products": ["Too many."]})
    profile = visitors.load_profile(connection, visitor_id)
    origins = () if profile is None else origins_of(site, profile)
    known = products.load(connection, site.id, ids)
    told = [offer_of(known[each], origins, site.currency) if each in known else None for each in ids]
    found = [each for each in told if each is not None]
    if len(found) < len(ids):
        raise Invalid("A product is not to be had any more.", {"products": ["Must be products of the catalogue."]})
    return found


def origins_of(site: Site, profile: Profile) -> Sequence[str]:
    """Where products that only events tell of may lead: to the site's pages, or (it names none) to where they are.

    Whoever makes pages up then leads nobody but themselves there.
    """
    if site.origins:
        return site.origins
    try:
        page = parse_web_address(str(profile.page.get("url") or ""))
    except ValueError:
        return ()
    return (page.origin,)


def _looked_at(profile: Profile, listed: Sequence[Event]) -> list[str]:
    """Ids of products, the latest first: seen or taken, then what lies in the cart."""
    seen = [product_id_of(each.properties) for each in listed if each.name in SHOWN_INTEREST]
    named = [*filter(None, seen), *(each.product_id for each in reversed(profile.cart.items))]
    return list(dict.fromkeys(named))[:LOOKED_AT]
