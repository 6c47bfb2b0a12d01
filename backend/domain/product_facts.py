"""How are facts of a product read? One reader for API, feeds and events, with a sentence for each mistake."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from backend.domain.cart import money
from backend.domain.mistakes import nearest, quoted
from backend.domain.product import FACTS, LONGEST_ID

Mistake: TypeAlias = tuple[str, str]
"""A field, and a sentence about it."""

LONGEST_NAME = 300
LONGEST_LINK = 2_048
LONGEST_ATTRIBUTE = 1_000
MOST_ATTRIBUTES = 50
MOST_STOCK = 10**9

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AMOUNT = re.compile(r"\s*(?:([A-Z]{3})\s*)?([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Z]{3})?\s*", re.ASCII)
_LINK = re.compile(r"https?://([A-Za-z0-9._~-]|[^\x00-\x7f]|\[[0-9a-fA-F:.]+\])[^\s\\\"'<>]*", re.IGNORECASE)
_PATH = re.compile(r"/(?![/\\])[^\s\\\"'<>]*")

_THERE = {
    **dict.fromkeys(("in_stock", "in stock", "instock", "available", "true", "yes", "1"), True),
    **dict.fromkeys(("preorder", "pre_order", "backorder", "limited_availability", "limited availability"), True),
    **dict.fromkeys(("out_of_stock", "out of stock", "outofstock", "sold_out", "sold out"), False),
    **dict.fromkeys(("discontinued", "unavailable", "false", "no", "0"), False),
}
"""What Google's `availability` and schema.org's, and people, write."""


def read_id(value: object) -> str:
    """The id of a product; a ValueError with a sentence where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise ValueError("A product needs an id: text, or a whole number.")
    if len(text) > LONGEST_ID or _CONTROL.search(text):
        raise ValueError(f"An id is one line of at most {LONGEST_ID} characters.")
    return text


def read_facts(doc: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """The facts that can be read, and a mistake for each that cannot; null takes a fact back.

    Amounts may name their currency ("19.90 EUR"); numbers and yes or no may be text, as CSV has them.
    """
    facts: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for name, value in doc.items():
        read = _READERS.get(name)
        if read is None:
            mistakes.append((str(name)[:100], f"Unknown field {quoted(name)}.{nearest(name, FACTS)}"))
        elif value is None:
            facts[name] = None
        else:
            try:
                facts[name] = read(value)
            except ValueError as error:
                mistakes.append((name, str(error)))
    for name in ("price", "list_price"):
        if isinstance(facts.get(name), tuple):
            facts[name], named = facts[name]
            if named is not None and facts.setdefault("currency", named) != named:
                mistakes.append((name, f"The amount is in {named}, and the currency is {facts['currency']}."))
    return facts, mistakes


def _text(longest: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError("Expected text.")
        text = " ".join(value.split())
        if not text:
            raise ValueError("Expected text; leave it out, or send null, where there is none.")
        if len(text) > longest:
            raise ValueError(f"At most {longest} characters.")
        if _CONTROL.search(text):
            raise ValueError("Expected one line without control characters.")
        return text

    return read


def _amount(value: Any) -> tuple[Decimal, str | None]:
    if isinstance(value, str):
        found = _AMOUNT.fullmatch(value)
        named = None if found is None else found[1] or found[3]
        if found is None or (found[1] and found[3]):
            raise ValueError(f'Expected an amount such as 19.90 or "19.90 EUR", not {quoted(value)}.')
        return money(found[2]) or Decimal(0), named
    amount = money(value)
    if amount is None or amount < 0:
        raise ValueError('Expected an amount such as 19.90 or "19.90 EUR", not less than 0.')
    return amount, None


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value.strip()):
        raise ValueError("Expected the three capital letters of a currency, such as EUR.")
    return value.strip()


def _stock(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,10}(?:\.0+)?\s*", value, re.ASCII):
        value = int(value.strip().partition(".")[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_STOCK:
        raise ValueError(f"Expected a whole number of pieces from 0 to {MOST_STOCK}.")
    return value


def _available(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _THERE.get(value.strip().lower().rpartition("/")[2]) if isinstance(value, str) else None
    if known is None:
        raise ValueError("Expected true or false, or in_stock, out_of_stock, preorder or backorder.")
    return known


def _link(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > LONGEST_LINK:
        raise ValueError(f"An address is at most {LONGEST_LINK} characters long.")
    if _CONTROL.search(text) or not (_LINK.fullmatch(text) or _PATH.fullmatch(text)):
        raise ValueError("Expected an address such as https://shop.example/kettle, or a path such as /kettle.")
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("Name and password do not belong into an address.")
    return text


def _attributes(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError('Expected an object such as {"colour": "red"}.')
    if len(value) > MOST_ATTRIBUTES:
        raise ValueError(f"At most {MOST_ATTRIBUTES} attributes.")
    for name, each in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= 100 or _CONTROL.search(name):
            raise ValueError("The name of an attribute is one line of 1 to 100 characters.")
        if not isinstance(each, str | int | float | bool) or (isinstance(each, str) and _unkept(each)):
            raise ValueError(
                f"The attribute {quoted(name)} is a text of at most {LONGEST_ATTRIBUTE} characters, a number, "
                "true or false."
            )
    return dict(value)


def _unkept(text: str) -> bool:
    return len(text) > LONGEST_ATTRIBUTE or bool(re.search(r"[\x00\ud800-\udfff]", text))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": _text(LONGEST_NAME),
    "price": _amount,
    "list_price": _amount,
    "currency": _currency,
    "stock": _stock,
    "available": _available,
    "url": _link,
    "image_url": _link,
    "category": _text(LONGEST_NAME),
    "brand": _text(LONGEST_NAME),
    "attributes": _attributes,
}
