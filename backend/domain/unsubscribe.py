"""What is an unsubscribe link? A sealed name of one subscription, which only this installation can make and read."""

from dataclasses import dataclass
from typing import Self
from unicodedata import normalize

from backend.domain.sealed import seal_text, unseal_text

_SEPARATOR = "\n"
_PURPOSE = b"chimein unsubscribe link 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What someone can turn off: being reached by a site through one kind of address."""

    site_id: str
    kind: str
    value: str

    @classmethod
    def email(cls, site_id: str, address: str) -> Self:
        """The mails of a site to an address, however it is written."""
        return cls(site_id=site_id, kind="email", value=normalised_email(address))


def normalised_email(address: str) -> str:
    """The one spelling under which an address is remembered: mail servers tell no case apart."""
    return normalize("NFC", address.strip().lower())


def seal(secret: str, subscription: Subscription) -> str:
    """The token of a link: opaque, without an address in it that logs could leak, the same each time."""
    return seal_text(secret, _PURPOSE, _SEPARATOR.join((subscription.site_id, subscription.kind, subscription.value)))


def unseal(secret: str, token: str) -> Subscription | None:
    """What a token names; None for whatever this installation did not make."""
    plain = unseal_text(secret, _PURPOSE, token)
    if plain is None:
        return None
    site_id, kind, value = plain.split(_SEPARATOR, 2)
    return Subscription(site_id=site_id, kind=kind, value=value)
