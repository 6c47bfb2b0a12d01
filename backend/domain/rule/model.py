"""What is a rule? When this happens, to such a visitor, after this long, say that: the parts, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from backend.domain.condition import Condition

Status: TypeAlias = Literal["draft", "active", "paused", "archived"]
Category: TypeAlias = Literal["promotional", "transactional"]
Policy: TypeAlias = Literal["once", "every", "per_key"]

ZERO = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventTrigger:
    """An event of this name, for which `where` holds."""

    event: str
    where: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTrigger:
    """The visitor entered this stage of the funnel."""

    stage: str


Trigger: TypeAlias = EventTrigger | StageTrigger


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """An event that ends the enrolment; `same` is the path (below the event) of a value that both must carry."""

    event: str
    where: Condition | None = None
    same: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reentry:
    """How often one visitor may enter; `at_most` entries within the last `per`, or once for each value at `key`."""

    policy: Policy = "once"
    at_most: int | None = None
    per: timedelta | None = None
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One wording: `content` holds Liquid sources by field (`title`, `body`, `subject`, `button`: {text, url}, …)."""

    name: str
    weight: float = 1
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is said and how it travels; `holdout` is a percentage, `channels` stand in order of preference."""

    channels: tuple[str, ...]
    variants: tuple[Variant, ...]
    holdout: float = 0
    fallback_after: timedelta | None = None
    expires_after: timedelta = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSpec:
    """Everything a person writes down about a rule; `document` is that JSON again, with the defaults filled in."""

    name: str
    trigger: Trigger
    message: Message
    priority: int = 0
    category: Category = "promotional"
    audience: Condition | None = None
    delay: timedelta = ZERO
    cancel: tuple[Cancel, ...] = ()
    reentry: Reentry = Reentry()
    goal: Mapping[str, Any] | None = None
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule of a site: what was written down, and where it stands. `version` grows with every edit."""

    id: str
    site_id: str
    spec: RuleSpec
    status: Status = "draft"
    version: int = 1
