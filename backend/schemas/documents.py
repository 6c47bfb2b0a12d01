"""How the JSON columns are written: domain nouns as msgspec encodes dataclasses, datetimes in UTC, money as text."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field, fields, make_dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, get_type_hints

import msgspec

from backend.domain.enrolment import Enrolment
from backend.domain.product import AMOUNTS, Product
from backend.domain.profile import Device, Profile


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
_EMPTY = Profile(id="", site_id="").__dict__
_contents = msgspec.json.Decoder(dict[str, Any])
_products = msgspec.json.Decoder(Product)


def encode_profile(profile: Profile) -> str:
    """The column `visitors.profile`: without what stands as in an empty profile, which is a third of most."""
    told = {name: value for name, value in profile.__dict__.items() if value and value is not _EMPTY[name]}
    return _encoder.encode(told).decode()


def decode_profile(text: str) -> Profile:
    """A profile as it was encoded; raises msgspec's `MsgspecError` for a column that we did not write."""
    profile = _profiles.decode(text)
    object.__setattr__(profile, "__dict__", {**_EMPTY, **profile.__dict__})
    return profile


def profile_reader(parts: Iterable[str]) -> Callable[[str], Profile]:
    """A function that reads of a profile only these parts and its ids; all others stand as in an empty one."""
    hints = get_type_hints(Profile)
    wanted = {"id", "site_id", "person", "members", *parts}
    told = [(name, kind, field(default_factory=_empty(name))) for name, kind in hints.items() if name in wanted]
    shape = make_dataclass("Parts", told, kw_only=True)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape)

    def read(text: str) -> Profile:
        profile = object.__new__(Profile)
        profile.__dict__.update(_EMPTY)
        profile.__dict__.update(decoder.decode(text).__dict__)
        return profile

    return read


_Device = msgspec.defstruct("_Device", [(each.name, str | None, None) for each in fields(Device)], frozen=True)
"""A profile's device; a struct is read in half the time of a dataclass."""

_NO_DEVICE = _Device()


class _Glimpse(msgspec.Struct):
    """What stands for a profile where only some parts of it are asked."""

    id: str
    person: str = ""
    members: tuple[str, ...] = ()

    def is_in(self, segment_id: str) -> bool:
        """As a profile's."""
        return Profile.is_in(self, segment_id)  # type: ignore[arg-type]


def glimpse_reader(parts: Iterable[str], names: Collection[str] | None = None) -> Callable[[str], Any]:
    """As `profile_reader`, several times as fast: what it reads has these parts and ids, and nothing else.

    With `names`, `last_at` tells of those events alone, and only by `get`: reading times is what takes longest.
    """
    hints = get_type_hints(Profile) | {"device": _Device}
    wanted = set(parts) & hints.keys() - {"id", "person", "members"}
    # msgspec makes an empty mapping anew for each that has none.
    told = {each: (hints[each], _NO_DEVICE if each == "device" else _EMPTY[each]) for each in sorted(wanted)}
    if names is not None and "last_at" in wanted:
        keys = {name: f"at{place}" for place, name in enumerate(sorted(names))}
        times = msgspec.defstruct(
            "Times",
            [(key, datetime | None, None) for key in keys.values()],
            bases=(_Times,),
            namespace={"keys": keys},
            frozen=True,
            rename={key: name for name, key in keys.items()},
        )
        told["last_at"] = (times, times())
    shape = msgspec.defstruct("Glimpse", [(each, *kind) for each, kind in told.items()], bases=(_Glimpse,))
    return msgspec.json.Decoder(shape).decode


class _Times(msgspec.Struct, frozen=True):
    """When some events were last, by name."""

    keys: ClassVar[Mapping[str, str]]

    def get(self, name: str) -> datetime | None:
        """As a mapping's."""
        return getattr(self, self.keys[name])  # type: ignore[no-any-return]


def _empty(name: str) -> Callable[[], Any]:
    return lambda: _EMPTY[name]


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
