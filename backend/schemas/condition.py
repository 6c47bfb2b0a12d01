"""How a condition is written, for the documentation; `domain.condition.read_condition` reads and judges."""

from backend.domain.condition.operators import OPERATORS
from backend.domain.condition.parse import DEEPEST, MOST_NODES
from backend.domain.consent import CATEGORIES
from backend.domain.fact import BELOW, BY_PRODUCT, FACTS

_FACTS = ", ".join(
    f"{each}.({'|'.join(BELOW[each])})" if each in BELOW else f"{each}.PRODUCT" if each in BY_PRODUCT else each
    for each in FACTS
)
CONDITION = {
    "type": "object",
    "description": (
        'One of {"all": [condition]}, {"any": [condition]}, {"not": condition}, {"field", "op", "value"}, '
        '{"performed": event, "where": condition, "count": {"op", "value"}, "within": duration, "since": "entry"}, '
        '{"segment": its id or name}, {"local_time": {"from", "to", "weekdays"}}. performed also takes first and last '
        '({"op": "before" or "after", "value": time}), sum, min, max, avg ({"of": "properties.price", "op", "value"}), '
        'between ({"from": "7d", "to": "2d"}), since and until as times, and same ("properties.cart_id": equal to the '
        "trigger's). "
        f"At most {DEEPEST} deep, with at most {MOST_NODES} parts. Fields start with event., profile. "
        "(profile.bucket: 0 to 100 by chance, steady; profile.consent.: " + "|".join(CATEGORIES) + ", true or false as "
        "answered, missing where nobody asked; profile.facts.: " + _FACTS + ") or site. (site.operator_online: "
        "whether an operator is online within working hours; in simulations, whether these hold); "
        "op is one of " + ", ".join(OPERATORS) + ". A missing field makes every op false except is_not_set, ne, not_in "
        "and not_contains. Values are never coerced; regex is RE2; before and after take RFC 3339 times or dates, "
        'or relative ones: {"ago": "30d"}, {"in": "3d"}; unchanged_for is asked of a trait.'
    ),
}
