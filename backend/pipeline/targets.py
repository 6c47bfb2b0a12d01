"""The verb `refuse_targets`: finds the webhooks of a rule that would never be called here, when the rule is written."""

from collections.abc import Iterator
from typing import Any

from backend.channels.outbound import Allowed, refusal
from backend.domain.mistakes import Mistakes
from backend.domain.rule.read_webhook import constant_part
from backend.domain.web_address import parse_web_address

Path = tuple[str | int, ...]


def refuse_targets(steps: object, allow_private: str, mistakes: Mistakes) -> None:
    """Notes each webhook of these steps (of a rule that was read without mistakes) whose host may not be called."""
    allowed = Allowed.of(allow_private)
    for path, url in _urls(steps, ("steps",)):
        reason = refusal(parse_web_address(constant_part(url)), allowed)
        if reason is not None:
            mistakes.add(path, reason)


def _urls(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _urls(each, (*path, index))
    elif isinstance(value, dict):
        webhook: Any = value.get("webhook")
        if isinstance(webhook, dict):
            yield (*path, "webhook", "url"), webhook["url"]
            return
        for key in ("then", "else", "steps", "branch", "split"):
            yield from _urls(value.get(key), (*path, key))
