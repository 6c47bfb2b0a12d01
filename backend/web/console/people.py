"""What the console calls visitors and operators, and who looked at whom."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from flask import g

from backend.domain.conversation import Conversation, Part
from backend.domain.operator import Operator
from backend.domain.photo import Face
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.pipeline import access
from backend.storage import operators, visitors
from backend.storage.database import Connection
from backend.web.context import runtime


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A visitor as lists show them; `email` may be a mere claim."""

    id: str
    name: str
    email: str | None = None
    known: bool = False


def name_of(profile: Profile | None, visitor_id: str) -> str:
    """What to call a visitor: by the name they gave, else by an address, else by the beginning of their id."""
    if profile is not None:
        traits = profile.traits
        told = traits.get("name")
        if not isinstance(told, str) or not told.strip():
            parts = [traits.get("first_name"), traits.get("last_name")]
            told = " ".join(each.strip() for each in parts if isinstance(each, str))
        found = " ".join(told.split())[:80] or visitors.email_of(profile) or profile.user_id
        if found:
            return found[:80]
    return f"Visitor {visitor_id[:4].upper()}"


def persons(connection: Connection, ids: Collection[str]) -> dict[str, Person]:
    """By each of these visitors' ids the person that it belongs to now."""
    found = visitors.load(connection, set(ids)) if ids else {}
    roots = {each.merged_into for each in found.values() if each.merged_into is not None} - set(found)
    found |= visitors.load(connection, roots) if roots else {}
    told = {}
    for each in ids:
        stored = found.get(each)
        while stored is not None and stored.merged_into is not None and stored.merged_into in found:
            stored = found[stored.merged_into]
        profile = None if stored is None else stored.profile
        told[each] = Person(
            id=each if profile is None else profile.id,
            name=name_of(profile, each),
            email=None if profile is None else visitors.email_of(profile),
            known=profile is not None and profile.user_id is not None,
        )
    return told


def colleagues(connection: Connection, site: Site) -> list[Operator]:
    """Those to whom a conversation of the site may be given."""
    found = operators.list_operators(connection, site_id=site.id)
    fit = [each for each in found if (member := each.on(site.id)) is not None and member.role != "read_only"]
    return sorted(fit, key=lambda each: each.name.casefold())


def speakers(connection: Connection, conversation: Conversation, parts: Iterable[Part]) -> dict[str, Face]:
    """The names and photos of the operators who speak in these parts, or are named by their events, by id."""
    ids = {each.author_id for each in parts if each.author == "operator"} | {conversation.assignee_id}
    ids |= {each.content.get("to") for each in parts if each.content.get("event") == "assigned"}
    return operators.faces(connection, {each for each in ids if isinstance(each, str)})


def looked(site: Site, visitor_ids: Iterable[str], where: str) -> None:
    """Notes that whoever asks is about to see these visitors; raises where that cannot be noted."""
    who = g.principal
    access.note(runtime(), site.id, (who.name, who.role), "read", dict.fromkeys(visitor_ids), where)


def listed(site: Site, shown: int, asked: Mapping[str, object], where: str) -> None:
    """Notes that whoever asks is about to see a list with so many visitors; raises where that cannot be noted."""
    who = g.principal
    access.note_list(runtime(), site.id, (who.name, who.role), "list", shown, asked, where)
