"""What is an offer? A product of the catalogue that an operator puts into a reply: as it stood when it was said."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from backend.domain.product import Product, is_available

MOST_IN_A_PART = 5


def offer_of(product: Product, origins: Sequence[str], currency: str) -> dict[str, str] | None:
    """The product as a part holds it; None where it cannot be bought, or only strangers tell of it.

    Anybody may report events, so what those told counts where it leads to the site itself, and nowhere else.
    """
    # Beside what the API or a feed told of a product nothing stands that anybody may have reported.
    facts = product.told or product.facts
    if not is_available(product.facts) or not facts.get("name"):
        return None
    links = {name: _link(facts.get(name), origins, trusted=bool(product.told)) for name in ("url", "image_url")}
    if not product.told and not links["url"]:
        return None
    told = {"product_id": product.id, "name": str(facts["name"])}
    if facts.get("price") is not None:
        told |= {"price": f"{facts['price']:.2f}", "currency": str(facts.get("currency") or currency)}
    return told | {name: link for name, link in links.items() if link}


def _link(told: object, origins: Sequence[str], *, trusted: bool) -> str:
    if not isinstance(told, str) or not told:
        return ""
    try:
        address = urljoin(origins[0], told) if origins else told
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return ""  # a path, and nobody knows of which site
    return address if trusted or f"{parts.scheme}://{parts.netloc}" in origins else ""


def offers_of(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The offers in a part's content."""
    told = content.get("products")
    return [each for each in told if isinstance(each, Mapping) and each.get("name")] if isinstance(told, list) else []


def lines(content: Mapping[str, Any]) -> list[str]:
    """The offers as text, for whoever sees no pictures: mails, lists, files."""
    return [
        " · ".join(filter(None, (str(each["name"]), priced(each), str(each.get("url") or ""))))
        for each in offers_of(content)
    ]


def priced(offer: Mapping[str, Any]) -> str:
    """The price with its currency; empty where there is none."""
    return f"{offer['price']} {offer.get('currency') or ''}".strip() if offer.get("price") else ""


def ranked(
    looked_at: Sequence[str],
    related: Mapping[str, tuple[Iterable[tuple[str, float]], Iterable[tuple[str, float]]]],
    had: Collection[str],
) -> list[str]:
    """Ids to suggest to who looked at these products (the latest first), the best first.

    `related` tells what is (similar to, bought together with) each; what they have already (`had`) is not suggested,
    except that it goes with something. What they looked at themselves comes in between: they may ask about that.
    """
    scores: dict[str, float] = {}
    for place, product_id in enumerate(looked_at):
        fresh = 1 / (1 + place)
        scores[product_id] = scores.get(product_id, 0) + 0.9 * fresh
        for links, weight in zip(related.get(product_id, ((), ())), (0.7, 1.0), strict=True):
            for other, how_much in links:
                scores[other] = scores.get(other, 0) + weight * fresh * how_much
    return [each for each, _ in sorted(scores.items(), key=lambda item: (-item[1], item[0])) if each not in had]
