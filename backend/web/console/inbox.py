"""The inbox: which conversations there are, for whom, and what waits longest for an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import make_response, request
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.conversation import STATES, Conversation
from backend.domain.department import Department
from backend.domain.site import Site
from backend.errors import Invalid
from backend.pipeline.transfer import change_all
from backend.schemas.page import read_cursor, write_cursor
from backend.storage import conversations, departments, operators
from backend.web.console import guard, people, shell
from backend.web.console.people import Person
from backend.web.console.shell import blueprint, page
from backend.web.context import runtime

shell.entry("inbox", "Inbox", "console.inbox")

AT_ONCE = 40
MOST_CHANGED = 100
"""Conversations that are changed by one click."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What of the inbox is looked at: `view` is mine, unassigned, all, or the id of a department."""

    view: str
    state: str
    words: str
    cursor: str = ""

    def address(self, **other: str) -> str:
        """The query of this look, or of another one that differs so."""
        told = {"view": self.view, "state": self.state, "q": self.words, **other}
        usual = {"view": "all", "state": "open", "q": ""}
        return urlencode({name: value for name, value in told.items() if value != usual.get(name)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A conversation as the list shows it."""

    conversation: Conversation
    person: Person
    assignee: str | None

    @property
    def unread(self) -> bool:
        """Whether the visitor said something that no operator has seen."""
        return self.conversation.waiting_since is not None and self.conversation.last > self.conversation.read


@dataclass(frozen=True, kw_only=True, slots=True)
class Tab:
    """A view with how many open conversations it holds, and how many of them wait."""

    view: str
    label: str
    number: int
    waiting: int


@blueprint.get("/<site>/inbox")
@guard.allow("read")
def inbox(*, site: Site) -> BaseResponse:
    """The list, and room for a conversation beside it."""
    return whole(site)


@blueprint.get("/<site>/inbox/list")
@guard.allow("read")
def inbox_list(*, site: Site) -> str:
    """The list alone, as it is now."""
    look = asked()
    return page("console/_list.html", alone=not look.cursor, **_values(site, look, noted=bool(look.cursor)))


@blueprint.post("/<site>/inbox/bulk")
@guard.allow("record")
def change_many(*, site: Site) -> BaseResponse:
    """Closes, opens or assigns those that were chosen."""
    ids = list(dict.fromkeys(request.form.getlist("ids")))
    if not ids or len(ids) > MOST_CHANGED:
        raise Invalid(f"Choose 1 to {MOST_CHANGED} conversations.")
    changes: dict[str, Any] = {}
    if (state := request.form.get("state")) in ("open", "closed"):
        changes["state"] = state
    if (assignee := request.form.get("assignee")) is not None:
        changes["assignee_id"] = guard.seat().id if assignee == "me" else assignee or None
    if not changes:
        raise Invalid("Nothing to change.")
    done = change_all(runtime(), site, ids, changes, guard.speaker())
    response = make_response("", 204)
    response.headers["X-Done"] = str(done)
    return response


def whole(site: Site, **values: Any) -> BaseResponse:
    """The page with its list; `values` are what the place of the conversation is filled with."""
    return make_response(page("console/inbox.html", here="inbox", **_values(site, asked(), noted=True), **values))


def asked() -> Asked:
    """What this request looks at; what makes no sense is as if it had not been said."""
    args = request.args
    state = args.get("state", "open")
    return Asked(
        view=args.get("view", "all")[:64],
        state=state if state in STATES else "open",
        words=" ".join(args.get("q", "").split())[:200],
        cursor=args.get("cursor", "")[:500],
    )


def _values(site: Site, look: Asked, *, noted: bool) -> dict[str, Any]:
    rt, me = runtime(), guard.seat()
    with rt.db.read() as connection:
        groups = departments.list_departments(connection, site.id)
        numbers = conversations.numbers(connection, site.id)
        found = conversations.list_conversations(
            connection,
            site.id,
            # Whoever searches looks everywhere.
            state=None if look.words else look.state,
            assignee_id=me.id if look.view == "mine" else None,
            unassigned=look.view == "unassigned",
            department_ids=None if look.view in ("mine", "unassigned", "all") else [look.view],
            words=look.words or None,
            limit=AT_ONCE + 1,
            before=read_cursor(look.cursor or None, int, str),
        )
        shown = found[:AT_ONCE]
        known = people.persons(connection, {each.visitor_id for each in shown})
        names = operators.names(connection, {each.assignee_id for each in shown if each.assignee_id is not None})
    if noted:
        people.listed(site, len(shown), {"view": look.view, "state": look.state, "q": look.words or None}, "inbox")
    rows = [
        Row(conversation=each, person=known[each.visitor_id], assignee=names.get(each.assignee_id or ""))
        for each in shown
    ]
    cursor = write_cursor(conversations.place(shown[-1])) if len(found) > AT_ONCE else None
    return {"look": look, "rows": rows, "tabs": _tabs(numbers, groups, me.id), "cursor": cursor}


def _tabs(
    numbers: Mapping[tuple[str | None, str | None], tuple[int, int]], groups: list[Department], mine: str
) -> list[Tab]:
    def tab(view: str, label: str, fits: Any) -> Tab:
        found = [counted for key, counted in numbers.items() if fits(*key)]
        return Tab(view=view, label=label, number=sum(a for a, _ in found), waiting=sum(b for _, b in found))

    return [
        tab("all", "All", lambda *_: True),
        tab("mine", "Mine", lambda assignee, _: assignee == mine),
        tab("unassigned", "Unassigned", lambda assignee, _: assignee is None),
        *(tab(each.id, each.name, lambda _, told, own=each.id: told == own) for each in groups),
    ]
