"""Who looks at visitors through the API is noted here, before the answer leaves."""

from collections.abc import Iterable

from flask import request

from backend.domain.site import Site
from backend.pipeline import access
from backend.pipeline.access import Reader
from backend.web.auth import principal
from backend.web.context import runtime


def reader() -> Reader:
    """Whoever asks, as the access log names them."""
    who = principal()
    return who.name, who.role


def looked(site: Site, action: str, visitor_ids: Iterable[str]) -> None:
    """Notes that whoever asks is about to see these visitors; raises where that cannot be noted."""
    detail = (request.endpoint or "").rpartition(".")[2]
    access.note(runtime(), site.id, reader(), action, dict.fromkeys(visitor_ids), detail)
