"""What do they use? Device, locale, time zone and screen, read from an event's context."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from backend.domain.profile import Device

AGENT_LIMIT = 400
"""Characters of a user agent that are looked at: parsing takes time in proportion."""


def device_of(context: Mapping[str, Any]) -> Device | None:
    """The device that this context tells of; None when it tells of none."""
    agent, locale, timezone = context.get("userAgent"), context.get("locale"), context.get("timezone")
    screen = context.get("screen")
    if not agent and not locale and not timezone and not screen:
        return None
    width = height = None
    if screen.__class__ is dict:
        width, height = screen.get("width"), screen.get("height")
        width = width if width.__class__ is int else None
        height = height if height.__class__ is int else None
    return _device(
        agent[:AGENT_LIMIT] if agent.__class__ is str else "",
        locale[:35] if locale.__class__ is str else "",
        timezone[:64] if timezone.__class__ is str else "",
        width,
        height,
    )


@lru_cache(maxsize=10_000)
def _device(agent: str, locale: str, timezone: str, width: int | None, height: int | None) -> Device:
    kind, browser, system = agent_of(agent) if agent else (None, None, None)
    return Device(
        type=kind,
        browser=browser,
        os=system,
        locale=locale or None,
        timezone=timezone or None,
        screen=f"{width}x{height}" if width is not None and height is not None else None,
    )


@lru_cache(maxsize=10_000)
def agent_of(agent: str) -> tuple[str, str | None, str | None]:
    """Device type (desktop, mobile, tablet, bot, other), browser and system of a user agent."""
    from user_agents import parse  # whose thousand expressions take a tenth of a second, and few processes need them

    parsed = parse(agent)
    if parsed.is_bot:
        kind = "bot"
    elif parsed.is_tablet:
        kind = "tablet"
    elif parsed.is_mobile:
        kind = "mobile"
    elif parsed.is_pc:
        kind = "desktop"
    else:
        kind = "other"
    return kind, _known(parsed.browser.family), _known(parsed.os.family)


def _known(family: str) -> str | None:
    return None if family in {"", "Other"} else family
