"""How can this visitor be reached? The first channel of a rule that leads to them, and why others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.domain.identifier import verified
from backend.domain.message import ON_SITE
from backend.domain.profile import Profile
from backend.domain.site import Policy


@dataclass(frozen=True, slots=True)
class Reach:
    """A channel that leads to the visitor, and the address there (None on the site)."""

    channel: str
    address: str | None = None


def reach(profile: Profile, channels: Sequence[str], policy: Policy) -> Reach | str:
    """The first channel that can carry a message to this visitor, or the reason why none can."""
    reason = "no_address"
    for channel in channels:
        found = _through(profile, channel, policy)
        if isinstance(found, Reach):
            return found
        if found != "no_address":
            reason = found
    return reason


def told_ways(profile: Profile, channels: Sequence[str], policy: Policy) -> list[str]:
    """Of each channel, in order: whether it leads to this visitor, by which address, and where that is from."""
    return [_told_way(profile, channel, _through(profile, channel, policy)) for channel in channels]


def _told_way(profile: Profile, channel: str, found: Reach | str) -> str:
    if isinstance(found, str):
        told = {
            "unsubscribed": f"{channel}: {', '.join(profile.unsubscribed)} took their leave",
            "unverified_contact": f"{channel}: only an address that was typed into a form, which the site does not use",
        }
        return told.get(found, f"{channel}: no address") + "."
    if found.address is None:
        count = len(profile.anonymous_ids)
        return f"{channel}: {count} known browser{'' if count == 1 else 's'}."
    said = profile.traits.get("email")
    if isinstance(said, str) and said.strip() == found.address:
        return f"{channel}: {found.address}, from the trait email."
    source = next((each.source for each in reversed(profile.identifiers) if each.value == found.address), "nowhere")
    return f"{channel}: {found.address}, from {source}."


def _through(profile: Profile, channel: str, policy: Policy) -> Reach | str:
    if channel in ON_SITE:
        return Reach(channel) if profile.anonymous_ids else "no_address"
    if channel == "email":
        return _by_mail(profile, policy)
    return "no_address"


def address_of(profile: Profile, policy: Policy) -> Reach | str:
    """The address at which this visitor may be answered, whatever promotions they took their leave of; or why none."""
    said = profile.traits.get("email")
    if isinstance(said, str) and "@" in said:
        return Reach("email", said.strip())
    typed = [each for each in profile.identifiers if each.kind == "email" and "@" in each.value]
    proven = verified(typed)
    usable = [each for each in typed if each.source != "form_field" or (each.kind, each.value) in proven]
    if not usable and typed:
        if not policy.unverified_email:
            return "unverified_contact"
        usable = typed
    if not usable:
        return "no_address"
    return Reach("email", max(usable, key=lambda each: each.last_seen).value)


def _unless_unsubscribed(profile: Profile, address: str) -> Reach | str:
    return "unsubscribed" if address.lower() in profile.unsubscribed else Reach("email", address)


def receiver_name(traits: Mapping[str, object]) -> str | None:
    """How the receiver is called, as far as their traits tell."""
    for keys in (("name",), ("first_name", "last_name"), ("firstName", "lastName")):
        said = [value for value in map(traits.get, keys) if isinstance(value, str) and value.strip()]
        if said:
            return " ".join(said)
    return None


def _by_mail(profile: Profile, policy: Policy) -> Reach | str:
    found = address_of(profile, policy)
    left = isinstance(found, Reach) and found.address is not None and found.address.lower() in profile.unsubscribed
    return "unsubscribed" if left else found
