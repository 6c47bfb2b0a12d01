"""Who looks at visitors through the API is noted here, before the answer leaves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flask import request

from backend.domain.site import Site
from backend.pipeline import access
from backend.pipeline.access import Reader
from backend.web.auth import principal
from backend.web.context import runtime

Notes = tuple[Callable[[Iterable[str]], None], Callable[[int], None]]
"""What notes the visitors of a piece of an answer, and what notes how many they were at its end."""


def reader() -> Reader:
    """Whoever asks, as the access log names them."""
    who = principal()
    return who.name, who.role


def looked(site: Site, action: str, visitor_ids: Iterable[str]) -> None:
    """Notes that whoever asks is about to see these visitors; raises where that cannot be noted."""
    access.note(runtime(), site.id, reader(), action, dict.fromkeys(visitor_ids), _operation())


def listed(site: Site, visitor_ids: Sequence[str], asked: Mapping[str, Any]) -> None:
    """Notes that whoever asks is about to see a list with these visitors (as often as they stand in it), by a filter.

    That is noted of the list as a whole, also where it is empty, and of each visitor; raises where it cannot be.
    """
    told = {name: value for name, value in asked.items() if name not in ("limit", "cursor")}
    access.note_list(runtime(), site.id, reader(), "list", len(visitor_ids), told, _operation())
    looked(site, "list", visitor_ids)


def noting(site: Site, action: str, asked: Mapping[str, Any]) -> Notes:
    """The notes for an answer that is made as it is sent, after the request is gone."""
    rt, who, operation = runtime(), reader(), _operation()

    def piece(visitor_ids: Iterable[str]) -> None:
        access.note(rt, site.id, who, action, dict.fromkeys(visitor_ids), operation)

    def whole(shown: int) -> None:
        access.note_list(rt, site.id, who, action, shown, asked, operation)

    return piece, whole


def _operation() -> str:
    return (request.endpoint or "").rpartition(".")[2]
