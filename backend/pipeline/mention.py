"""The step `mention`: whom a note mentions is written down with it."""

from collections.abc import Mapping
from typing import Any

from backend.domain.mention import mentioned
from backend.storage import operators
from backend.storage.database import Connection


def with_mentions(connection: Connection, site_id: str, text: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a note with this text, and with the operators of the site whom that mentions."""
    if "@" not in text:
        return {name: value for name, value in content.items() if name != "mentions"}
    found = operators.list_operators(connection, site_id=site_id)
    names = {each.id: each.name for each in found if each.on(site_id) is not None}
    return {**content, "mentions": mentioned(text, names)}
