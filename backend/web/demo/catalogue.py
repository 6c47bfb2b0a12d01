"""What is on the shelves? The demo shop's products, read once from products.json."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

DATA = Path(__file__).with_name("products.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """One shelf; `line` is the sentence above it."""

    slug: str
    name: str
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One thing on sale; `category` is the shelf's slug, `goes_with` are ids of other products."""

    id: str
    slug: str
    name: str
    category: str
    brand: str
    price: Decimal
    image: str
    alt: str
    summary: str
    description: str
    facts: tuple[str, ...]
    goes_with: tuple[str, ...]

    def says(self, word: str) -> bool:
        """Whether a word, in lower case, occurs in what the page tells about this product."""
        return word in " ".join((self.name, self.brand, self.category, self.summary, self.description)).lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Everything on sale, in the order of the shelves; prices are in `currency`."""

    shop: str
    currency: str
    categories: tuple[Category, ...]
    products: tuple[Product, ...]

    def category(self, slug: str) -> Category | None:
        """The shelf of that slug, or None."""
        return next((category for category in self.categories if category.slug == slug), None)

    def shelf(self, slug: str) -> tuple[Product, ...]:
        """The products on one shelf, empty for an unknown one."""
        return tuple(product for product in self.products if product.category == slug)

    def product(self, slug: str) -> Product | None:
        """The product of that slug, or None."""
        return next((product for product in self.products if product.slug == slug), None)

    def beside(self, product: Product) -> tuple[Product, ...]:
        """What goes well with a product, in its own order."""
        by_id = {other.id: other for other in self.products}
        return tuple(by_id[other] for other in product.goes_with)

    def search(self, query: str) -> tuple[Product, ...]:
        """The products that mention every word of the query; none for an empty query."""
        words = query.lower().split()
        return tuple(product for product in self.products if words and all(product.says(word) for word in words))


@cache
def catalogue() -> Catalogue:
    """The demo shop's catalogue; products.json is part of the package, so a broken one is a bug and raises."""
    raw = json.loads(DATA.read_text(encoding="utf-8"))
    products = [
        Product(
            **(item | {"price": Decimal(item["price"])} | {name: tuple(item[name]) for name in ("facts", "goes_with")})
        )
        for item in raw["products"]
    ]
    return Catalogue(
        shop=raw["shop"],
        currency=raw["currency"],
        categories=tuple(Category(**item) for item in raw["categories"]),
        products=tuple(products),
    )
