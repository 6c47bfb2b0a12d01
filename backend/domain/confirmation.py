"""What is a confirmation link? The sealed question whether an address is this visitor's, good until a moment."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.domain.sealed import seal_text, unseal_text

LIFETIME = timedelta(days=2)
"""So long after it was asked for, a link can be followed."""

STEP = "confirmation"
"""The step of the messages that carry such links; they are of no rule."""

_SEPARATOR = "\n"
_PURPOSE = b"chimein confirmation link 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """Whether `value` is an address (of this `kind`) of the visitor; nobody can say so after `expires_at`."""

    site_id: str
    visitor_id: str
    kind: str
    value: str
    expires_at: datetime


def seal(secret: str, confirmation: Confirmation) -> str:
    """The token of a link."""
    moment = str(int(confirmation.expires_at.timestamp()))
    parts = (confirmation.site_id, confirmation.visitor_id, moment, confirmation.kind, confirmation.value)
    return seal_text(secret, _PURPOSE, _SEPARATOR.join(parts))


def unseal(secret: str, token: str) -> Confirmation | None:
    """What a token asks; None for whatever this installation did not make."""
    plain = unseal_text(secret, _PURPOSE, token)
    if plain is None:
        return None
    site_id, visitor_id, moment, kind, value = plain.split(_SEPARATOR, 4)
    expires_at = datetime.fromtimestamp(int(moment), UTC)
    return Confirmation(site_id=site_id, visitor_id=visitor_id, kind=kind, value=value, expires_at=expires_at)
