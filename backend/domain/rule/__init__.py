"""What is a rule? When this happens, to such a visitor, after this long, say that."""

from backend.domain.rule.compile import compile_rule
from backend.domain.rule.compiled import CompiledCancel, CompiledRule
from backend.domain.rule.limits import Category, SiteLimits
from backend.domain.rule.model import (
    Cancel,
    Message,
    Policy,
    Reentry,
    Rule,
    RuleSpec,
    Status,
    Variant,
    messages_of,
)
from backend.domain.rule.parse import parse_rule
from backend.domain.rule.trigger import EventTrigger, StageTrigger, Trigger

__all__ = [
    "Cancel",
    "Category",
    "CompiledCancel",
    "CompiledRule",
    "EventTrigger",
    "Message",
    "Policy",
    "Reentry",
    "Rule",
    "RuleSpec",
    "SiteLimits",
    "StageTrigger",
    "Status",
    "Trigger",
    "Variant",
    "compile_rule",
    "messages_of",
    "parse_rule",
]
