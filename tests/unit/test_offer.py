"""What of a product may stand in a reply, in which order products are suggested, and whom a note mentions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backend.domain.mention import mentioned, pieces
from backend.domain.offer import lines, offer_of, ranked
from backend.domain.product import Learned, Product

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SHOP = ("https://shop.example",)


def product(told: dict[str, Any], learned: dict[str, Any]) -> Product:
    facts = {name: Learned(value=value, at=NOW) for name, value in learned.items()}
    by = dict.fromkeys(told, "api")
    return Product(id="p", told=told, told_by=by, learned=facts, created_at=NOW, updated_at=NOW)  # type: ignore[arg-type]


def test_beside_what_the_site_told_of_a_product_nothing_stands_that_anybody_may_report() -> None:
    forged = {"price": Decimal("0.01"), "url": "https://evil.example/p", "image_url": "https://evil.example/p.png"}
    assert offer_of(product({"name": "Kettle"}, forged), SHOP, "EUR") == {"product_id": "p", "name": "Kettle"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://shop.example/p", "https://shop.example/p"),
        ("/p", "https://shop.example/p"),
        ("https://shop.example.evil.example/p", None),
        ("https://evil.example/p", None),
        ("http://[", None),
    ],
)
def test_what_only_events_tell_of_counts_where_it_leads_to_the_site(url: str, found: str | None) -> None:
    told = offer_of(product({}, {"name": "Kettle", "url": url, "price": Decimal("5")}), SHOP, "EUR")
    assert (told or {}).get("url") == found
    assert told is None or (told["price"], told["currency"]) == ("5.00", "EUR")


def test_what_cannot_be_bought_or_has_no_name_is_not_offered() -> None:
    assert offer_of(product({"name": "Kettle", "stock": 0}, {}), SHOP, "EUR") is None
    assert offer_of(product({"price": Decimal("1")}, {}), SHOP, "EUR") is None


def test_what_goes_with_what_they_look_at_now_comes_first_and_what_they_have_not_at_all() -> None:
    related = {"tea": ([("mint", 0.9)], [("pot", 1.0)]), "cup": ([], [("spoon", 1.0)])}
    assert ranked(["tea", "cup"], related, {"cup"}) == ["pot", "tea", "mint", "spoon"]


def test_offers_are_told_in_lines_where_no_picture_is_seen() -> None:
    told = {"name": "Kettle", "price": "5.00", "currency": "EUR", "url": "https://shop.example/p"}
    assert lines({"products": [told, {"name": "Tea"}, "junk"]}) == ["Kettle · 5.00 EUR · https://shop.example/p", "Tea"]


def test_a_mention_is_a_whole_name_and_the_longer_one_wins() -> None:
    names = {"a": "Ann", "b": "Ann Berg", "c": "Ann", "d": "C++ (Dev)"}
    told = {each["id"] for each in mentioned("@ann berg, ask @C++ (Dev)!", names)}
    assert told == {"b", "d"}
    assert {each["id"] for each in mentioned("@Ann: look", names)} == {"a", "c"}, "who share a name"
    assert mentioned("mail@Ann, @Anna, @@Ann", names) == []
    assert "".join(piece for piece, _ in pieces("x @Ann y", names.values())) == "x @Ann y"
