"""What the pages about a site share: a route with its right, addresses of the others, what templates may say."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

from flask import g, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from backend.pipeline.access import Reader
from backend.pipeline.watch import source_of
from backend.web.auth import Right, principal
from backend.web.console import guard, phrases, shell
from backend.web.console.shell import blueprint

View = TypeVar("View", bound=Callable[..., Any])
Answer: TypeAlias = str | BaseResponse

DONE: Mapping[str, str] = {
    "erased": "Erased. Nothing is kept of this person any more.",
    "saved": "Saved.",
    "revoked": "The token is revoked.",
    "activated": "The rule is on.",
    "paused": "The rule is paused. Nothing more is sent in its name.",
    "archived": "The rule is archived.",
    "restored": "That version is the rule's again.",
    "created": "Created.",
    "deleted": "Deleted.",
    "removed": "They are nothing on this site any more.",
    "joined": "They were known on other sites, and may come in here from now on with the password that they have.",
    "disabled": "They are shut out, and logged out everywhere.",
    "enabled": "They may come in again.",
    "password": "Your password is another one. All other sessions have ended.",
    "sessions": "All other sessions have ended.",
}
"""What a page says after something was done: the address carries the word, never the text."""

_KEYS: dict[str, list[str]] = {}
"""The parts of each page's address besides the site."""


def page(
    path: str, *, right: Right = "read", methods: tuple[str, ...] = ("GET",), name: str | None = None
) -> Callable[[View], View]:
    """Makes a view a page about a site, at `/console/SITE` and this path, for who has the right."""

    def decorate(view: View) -> View:
        guarded = guard.allow(right)(view)
        endpoint = name or view.__name__
        _KEYS[endpoint] = re.findall(r"<(?:\w+:)?(\w+)>", path)
        blueprint.add_url_rule(f"/<site>{path}", endpoint=endpoint, view_func=guarded, methods=list(methods))
        return guarded

    return decorate


def address(name: str, *parts: Any, **query: Any) -> str:
    """The address of a page about the present site; `parts` are those of its path, in order."""
    told = dict(zip(_KEYS.get(name, ("conversation_id",)), parts, strict=False))
    return url_for(f"console.{name}", site=g.site.id, **told, **query)


def show(here: str, template: str, **values: Any) -> str:
    """A whole page; `here` is the name of its entry in the navigation."""
    return shell.page(f"console/{template}.html", here=here, **values)


def fragment(template: str, **values: Any) -> str:
    """A piece of a page, for htmx."""
    return shell.page(f"console/{template}.html", **values)


def redirected(target: str) -> BaseResponse:
    """On to another page, after a form."""
    return redirect(target, 303)


def reader() -> Reader:
    """Whoever asks, as the log of looks names them."""
    who = principal()
    return who.name, who.role


@blueprint.context_processor
def _shared() -> dict[str, Any]:
    return {"address": address, "fresh_id": lambda: uuid4().hex, "done_words": DONE}


for _name, _label in (
    ("live", "Live"),
    ("visitors", "Visitors"),
    ("segments", "Segments"),
    ("rules", "Rules"),
    ("overview", "Overview"),
    ("settings", "Settings"),
):
    shell.entry(_name, _label, f"console.{_name}")


def _filters() -> None:
    for name, said in {**phrases.FILTERS, "came_from": source_of}.items():
        blueprint.add_app_template_filter(said, name)


_filters()
