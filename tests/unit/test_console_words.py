"""How the console puts people into words."""

import pytest

from backend.domain.decide import NO_OPERATOR
from backend.web.console.phrases import GATES, REASONS
from backend.web.console.words import initials


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Anna Berg", "AB"), ("lea@x.example", "L"), ("jo.ann@x.example", "JA"), ("@", "?"), ("", "?"), ("анна", "А")],
)
def test_a_round_picture_has_letters_of_the_name_and_none_of_the_host(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_each_reason_for_which_nothing_is_said_has_a_sentence() -> None:
    assert {NO_OPERATOR, "missing_value", "goal_met", "rule_changed"} <= set(REASONS)
    assert "operator" in GATES
