"""How the API's lists are cut into pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from backend.schemas.page import write_cursor

Item = TypeVar("Item")


def page(
    found: Sequence[Item],
    limit: int,
    view: Callable[[Item], Mapping[str, Any]],
    place: Callable[[Item], tuple[int | str, ...]],
) -> dict[str, Any]:
    """One page of what was found with one more than `limit`: that one only tells that there is more."""
    items = found[:limit]
    cursor = write_cursor(place(items[-1])) if len(found) > limit else None
    return {"items": [view(item) for item in items], "next_cursor": cursor}
