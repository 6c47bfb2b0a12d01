"""What is a rule? When this happens, to such a visitor, after this long, say that."""

from backend.domain.rule.compile import compile_rule
from backend.domain.rule.compiled import CompiledCancel, CompiledRule
from backend.domain.rule.model import (
    Cancel,
    Category,
    EventTrigger,
    Message,
    Policy,
    Reentry,
    Rule,
    RuleSpec,
    StageTrigger,
    Status,
    Trigger,
    Variant,
)
from backend.domain.rule.parse import parse_rule

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
    "StageTrigger",
    "Status",
    "Trigger",
    "Variant",
    "compile_rule",
    "parse_rule",
]
