"""The verb `transfer`: what operators change of a conversation, with whom they may give it to, and a note why."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from backend.domain.conversation import Conversation, Part
from backend.domain.operator import Operator
from backend.domain.site import Site
from backend.errors import ChimeinError, Invalid, NotFound
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.tell import publish, seat_of
from backend.runtime import Runtime
from backend.storage import conversations, departments, operators
from backend.storage.desks import READERS

NOBODY: Mapping[str, str] = {}
"""No heirs."""


def transfer(
    rt: Runtime, site: Site, conversation_id: str, changes: Mapping[str, Any], speaker: Speaker, note: str = ""
) -> Conversation:
    """The conversation with these changes (as `converse.change` takes them), behind the note. NotFound, Invalid."""
    check(rt, site, changes)
    if note.strip():
        converse.say(rt, site, conversation_id, note, speaker, kind="note")
    return converse.change(rt, site, conversation_id, changes, speaker)[0]


def change_all(rt: Runtime, site: Site, ids: Sequence[str], changes: Mapping[str, Any], speaker: Speaker) -> int:
    """Changes many; those that are gone meanwhile are passed over. How many were changed."""
    check(rt, site, changes)
    done = 0
    for each in ids:
        try:
            done += bool(converse.change(rt, site, each, changes, speaker)[1])
        except ChimeinError as error:
            if error.status != 404:
                raise
    return done


def check(rt: Runtime, site: Site, changes: Mapping[str, Any]) -> None:
    """Raises Invalid where a conversation would be given to somebody who is not there."""
    assignee, department = changes.get("assignee_id"), changes.get("department_id")
    if assignee is None and department is None:
        return
    with rt.db.read() as connection:
        if assignee is not None and not answers(operators.find(connection, assignee), site.id):
            raise Invalid("There is no such operator here.", {"assignee_id": ["No operator of this site."]})
        if department is not None and departments.find(connection, site.id, department) is None:
            raise Invalid("There is no such department.", {"department_id": ["No department of this site."]})


def release(rt: Runtime, operator_id: str, heirs: Mapping[str, str] = NOBODY) -> int:
    """Takes from an operator what they had yet to answer on sites where they answer nobody any more; how many it was.

    Each goes to the site's heir, where `heirs` names one who may answer there; else to nobody, so that it is given out.
    Their consoles are told to look whether they may go on.
    """
    with rt.db.read() as connection:
        held = conversations.held_by(connection, operator_id)
        found = operators.find(connection, operator_id)
        fit = {site: each for site, each in heirs.items() if answers(operators.find(connection, each), site)}
    gone = 0
    for site_id, conversation_id in held:
        site = None if answers(found, site_id) else rt.sites.by_id(site_id)
        if site is not None:
            with suppress(NotFound):  # erased in between
                gone += bool(_pass_on(rt, site, conversation_id, operator_id, fit.get(site_id)))
    call_away(rt, operator_id)
    return gone


def _pass_on(rt: Runtime, site: Site, conversation_id: str, operator_id: str, heir: str | None) -> list[Part]:
    """Takes a conversation from an operator who is gone, for the heir or nobody; nothing where it is theirs no more."""
    with rt.db.read() as connection:
        found = conversations.find(connection, site.id, conversation_id)
    if found is None or found.assignee_id != operator_id:
        return []
    return converse.change(rt, site, conversation_id, {"assignee_id": heir}, Speaker(None, "chimein"))[1]


def call_away(rt: Runtime, operator_id: str) -> None:
    """Tells the streams of an operator's consoles that their session, or what they may, is another now."""
    publish(rt, [(seat_of(operator_id), {"event": "moved", "data": {}})])


def answers(operator: Operator | None, site_id: str) -> bool:
    """Whether somebody answers conversations on this site."""
    member = None if operator is None else operator.on(site_id)
    return member is not None and member.role != READERS
