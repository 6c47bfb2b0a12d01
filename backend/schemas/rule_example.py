"""A rule to show: whole, and as people would write it."""

from typing import Any

EXAMPLE: dict[str, Any] = {
    "name": "Cart left for half an hour",
    "priority": 10,
    "category": "promotional",
    "trigger": {
        "event": "Product Added",
        "where": {"field": "event.properties.price", "op": "gte", "value": 100},
    },
    "audience": {
        "all": [
            {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
            {"not": {"performed": "Order Completed", "within": "30d"}},
        ]
    },
    "delay": "30m",
    "cancel": [{"event": "Order Completed"}],
    "reentry": {"policy": "every", "at_most": 1, "per": "7d"},
    "message": {
        "channels": ["popup", "email"],
        "variants": [
            {
                "name": "A",
                "weight": 1,
                "content": {
                    "title": "Still yours, {{ first_name | default: 'friend' }}",
                    "body": "Your cart is worth {{ cart.total }} {{ cart.currency }}.",
                    "button": {"text": "Finish", "url": "/cart"},
                    "subject": "You left something behind",
                },
            }
        ],
        "holdout": 10,
    },
    "goal": {"event": "Order Completed", "within": "3d"},
}
"""A whole rule, as people would write it."""
