"""The verb `confirm`: a mail asks whether an address is this visitor's, and whoever can read it says so."""

from collections.abc import Mapping
from datetime import timedelta

from backend.domain.confirmation import LIFETIME, STEP, Confirmation, seal
from backend.domain.identifier import NOTED, normalised, verified
from backend.domain.identity import derive
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.domain.unsubscribe import Subscription
from backend.errors import Conflict, Invalid, NotFound
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.storage import messages, unsubscribes, visitors

PAUSE = timedelta(hours=1)
"""One mail an hour to a visitor's address, however often it is asked for: it may be a stranger's."""

TEXTS = {
    "subject": "Is this your address?",
    "title": "Please confirm your address",
    "body": "Somebody entered this address at {site}. If that was you, please confirm it; otherwise do nothing.",
    "button": "Confirm",
}


def ask(rt: Runtime, site: Site, profile: Profile, value: str, texts: Mapping[str, str]) -> Message:
    """Queues the mail with the link, and returns it; the one of this hour where there is one already.

    Raises NotFound for an address that this visitor is not known by, Invalid where it is none, Conflict where it is
    confirmed or must not be written to.
    """
    address = normalised("email", value)
    if address is None:
        raise Invalid("This is no address that could be confirmed.", {"value": ["Is no e-mail address."]})
    if not any(each.kind == "email" and each.value == address for each in profile.identifiers):
        raise NotFound("This visitor is not known by this address.")
    if ("email", address) in verified(profile.identifiers):
        raise Conflict("This address is confirmed already.")
    now = rt.clock()
    message = _message(rt, site, profile, address, texts)
    with rt.db.begin() as connection:
        if unsubscribes.reason(connection, Subscription.email(site.id, address)) is not None:
            raise Conflict("Nothing may be sent to this address.")
        asked = messages.get(connection, profile.id, message.id)
        if asked is None:
            messages.insert(connection, [message])
    if asked is None or asked.expires_at <= now:
        rt.queue.enqueue([(message.visitor_id, message.id)])
    return asked or message


def confirm(rt: Runtime, confirmation: Confirmation) -> bool:
    """Lets the address be verified, by an event in the log; False where the visitor is gone."""
    with rt.db.read() as connection:
        profile = visitors.load_profile(connection, confirmation.visitor_id)
    if profile is None or profile.site_id != confirmation.site_id:
        return False
    told = {"kind": confirmation.kind, "value": confirmation.value, "source": "double_opt_in", "verified": True}
    parts = (confirmation.visitor_id, confirmation.kind, confirmation.value, confirmation.expires_at.isoformat())
    return send_signals(rt, profile.site_id, NOTED, None, [(profile, derive("confirmed", *parts), told)]) > 0


def _message(rt: Runtime, site: Site, profile: Profile, address: str, texts: Mapping[str, str]) -> Message:
    now = rt.clock()
    expires_at = now + LIFETIME
    asked = Confirmation(site_id=site.id, visitor_id=profile.id, kind="email", value=address, expires_at=expires_at)
    said = {name: texts.get(name) or text.replace("{site}", site.called) for name, text in TEXTS.items()}
    link = {"text": said["button"], "url": f"{rt.settings.public_url}/c/{seal(rt.settings.secret_key, asked)}"}
    hour = str(int(now.timestamp() // PAUSE.total_seconds()))
    return Message(
        id=derive("confirmation", profile.id, address, hour),
        site_id=site.id,
        visitor_id=profile.id,
        rule_id="",
        enrolment_id="",
        channel="email",
        variant="",
        content={**said, "button": link},
        created_at=now,
        expires_at=expires_at,
        due_at=now,
        address=address,
        step=STEP,
    )
