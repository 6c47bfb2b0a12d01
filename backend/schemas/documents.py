"""How the JSON columns are written: domain nouns as msgspec encodes dataclasses, datetimes in UTC, money as text."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import make_dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, get_type_hints

import msgspec

from backend.domain.enrolment import Enrolment
from backend.domain.product import AMOUNTS, Product
from backend.domain.profile import Profile


class ProfileHead(msgspec.Struct):
    """So much of a profile as tells whose it is, and what they ever did: reading no more of it is quick."""

    id: str
    person: str = ""
    members: tuple[str, ...] = ()
    anonymous_ids: tuple[str, ...] = ()
    user_id: str | None = None
    counts: dict[str, int] = {}
    last_at: dict[str, datetime] = {}


_encoder = msgspec.json.Encoder(decimal_format="string")
_profiles = msgspec.json.Decoder(Profile)
_heads = msgspec.json.Decoder(ProfileHead)
_enrolments = msgspec.json.Decoder(Enrolment)
_contents = msgspec.json.Decoder(dict[str, Any])
_products = msgspec.json.Decoder(Product)


def encode_profile(profile: Profile) -> str:
    """The column `visitors.profile`."""
    return _encoder.encode(profile).decode()


def decode_profile(text: str) -> Profile:
    """A profile as it was encoded; raises msgspec's `MsgspecError` for a column that we did not write."""
    return _profiles.decode(text)


def profile_reader(parts: Iterable[str]) -> Callable[[str], Profile]:
    """A function that reads of a profile only these parts and its ids; all others stand as in an empty one."""
    hints = get_type_hints(Profile)
    wanted = {"id", "site_id", "person", "members", *parts}
    shape = make_dataclass("Parts", [(name, kind) for name, kind in hints.items() if name in wanted], kw_only=True)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape)
    empty = Profile(id="", site_id="").__dict__

    def read(text: str) -> Profile:
        profile = object.__new__(Profile)
        profile.__dict__.update(empty)
        profile.__dict__.update(decoder.decode(text).__dict__)
        return profile

    return read


def decode_head(text: str) -> ProfileHead:
    """The head of a profile as it was encoded."""
    return _heads.decode(text)


def encode_enrolment(enrolment: Enrolment) -> str:
    """The column `enrolments.document`."""
    return _encoder.encode(enrolment).decode()


def decode_enrolment(text: str) -> Enrolment:
    """An enrolment as it was encoded."""
    return _enrolments.decode(text)


def encode_content(content: Mapping[str, Any]) -> str:
    """The column `messages.content`."""
    return _encoder.encode(content).decode()


def decode_content(text: str) -> dict[str, Any]:
    """A message's rendered content as it was encoded."""
    return _contents.decode(text)


def encode_product(product: Product) -> str:
    """The column `products.document`."""
    return _encoder.encode(product).decode()


def decode_product(text: str) -> Product:
    """A product as it was encoded."""
    product = _products.decode(text)
    told = {name: Decimal(value) if name in AMOUNTS else value for name, value in product.told.items()}
    learned = {
        name: replace(each, value=Decimal(each.value)) if name in AMOUNTS else each
        for name, each in product.learned.items()
    }
    return replace(product, told=told, learned=learned)
