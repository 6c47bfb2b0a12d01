"""What follows from what a person did? Facts that are derived from a profile when they are asked for."""

from backend.domain.fact.facts import BELOW, BY_PRODUCT, FACTS, LISTS, TOLD, Asks, Fact, facts_of, forecasts
from backend.domain.fact.favourite import SPAN, WEIGHTS, Counted
from backend.domain.fact.standards import STANDARD, Standards, read_levels, read_rfm

__all__ = [
    "BELOW",
    "BY_PRODUCT",
    "FACTS",
    "LISTS",
    "SPAN",
    "STANDARD",
    "TOLD",
    "WEIGHTS",
    "Asks",
    "Counted",
    "Fact",
    "Standards",
    "facts_of",
    "forecasts",
    "read_levels",
    "read_rfm",
]
