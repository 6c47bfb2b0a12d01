"""The three rules that the demo site starts with, as the API would take them."""

import json
from pathlib import Path
from typing import Any

RULES = Path(__file__).with_name("rules.json")


def ready_rules() -> list[dict[str, Any]]:
    """The rules of rules.json, in the contract's language; each call answers fresh copies."""
    rules: list[dict[str, Any]] = json.loads(RULES.read_text(encoding="utf-8"))
    return rules
